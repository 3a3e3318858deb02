/** A curve of the last minute without axes, drawn only when it differs from what stands there. */
import { h } from '../dom.ts';

const points = 60;
/** Below this the curve is the base line: a guest that does its housekeeping makes nobody draw. */
const leastPercent = 2;
/** The curve of a guest that idles moves on this often: each drawing makes the browser composite a frame. */
const idleMs = 10_000;

export interface Sparkline {
  readonly element: HTMLCanvasElement;
  /** Values from 0 to 100, oldest first. */
  draw(values: Float64Array): void;
  /** Takes the colours of the page's theme. */
  paint(): void;
}

export function sparkline(width: number, height: number): Sparkline {
  const element = h('canvas', { class: 'sparkline', 'aria-hidden': 'true' });
  const scale = Math.max(1, Math.ceil(devicePixelRatio));
  element.width = width * scale;
  element.height = height * scale;
  const shown = new Uint8Array(points);
  const next = new Uint8Array(points);
  let drawn = false;
  let colour = '';
  let drawnMs = -Infinity;

  function stroke(): void {
    const context = element.getContext('2d');
    if (context === null) return;
    // Asked for once a theme: it makes the browser compute all styles.
    colour ||= getComputedStyle(element).color;
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, width, height);
    context.beginPath();
    for (let n = 0; n < points; n++) {
      context.lineTo((n * (width - 2)) / (points - 1) + 1, height - 1 - ((shown[n] ?? 0) * (height - 2)) / 100);
    }
    context.lineWidth = 1.25;
    context.strokeStyle = colour;
    context.stroke();
    context.lineTo(width - 1, height);
    context.lineTo(1, height);
    context.globalAlpha = 0.16;
    context.fillStyle = colour;
    context.fill();
    context.globalAlpha = 1;
    drawn = true;
    drawnMs = performance.now();
  }

  return {
    element,
    draw: (values) => {
      next.fill(0);
      const first = Math.max(0, values.length - points);
      for (let n = first; n < values.length; n++) {
        const value = values[n] ?? 0;
        next[points - values.length + n] = value < leastPercent ? 0 : value;
      }
      if (drawn && next.every((value, n) => value === shown[n])) return;
      const idle = next[points - 1] === 0 && shown[points - 1] === 0;
      if (idle && performance.now() - drawnMs < idleMs) return;
      shown.set(next);
      stroke();
    },
    paint: () => {
      colour = '';
      if (drawn) stroke();
    },
  };
}
