/**
 * The scheduler's timeline, live: a lane for each processor, a colour for each guest. It is read from the ring of
 * decisions twice a second while it is on the screen, and stands still where one wants to look closely.
 */
import type { Coordinator } from '../../vmm/index.ts';
import { button, h, setAttribute, setText } from '../dom.ts';
import { callName } from '../format.ts';
import { nanosecondsText } from '../monitor/numbers.ts';
import { Timeline, type Stretch } from './timeline.ts';

const laneHeight = 30;
const laneGap = 6;
const axisHeight = 18;
const leftWidth = 42;
const redrawMs = 500;
/** Colours of guests, `--guest-1` … in `styles/tokens.css`. */
const guestColours = 8;

const spans = [
  [0.2e9, '200 ms'],
  [1e9, '1 second'],
  [5e9, '5 seconds'],
] as const;

const reasons: Record<Stretch['reason'], string> = {
  slice: 'the slice of the one before was over',
  halt: 'the one before halted',
  preempt: 'it was woken and preempted the one before',
  cap: 'the one before had used up its cap',
  left: 'the one before left',
  idle: 'the processor was idle',
};

export interface TimelineView {
  readonly element: HTMLElement;
  /** It is on the screen, and there is a scheduler to look at; or not. */
  watch(on: boolean): void;
  paint(): void;
}

export function timelineView(vmm: Coordinator): TimelineView {
  const timeline = new Timeline(6e9);
  const canvas = h('canvas', { class: 'timeline-canvas', role: 'img' });
  const readout = h('p', { class: 'hint timeline-readout' });
  const legend = h('div', { class: 'legend' });
  const span = h(
    'select',
    { class: 'compact', 'aria-label': 'Time shown in the timeline' },
    ...spans.map(([ns, text]) => h('option', { value: String(ns), selected: ns === 1e9 }, text)),
  );
  const freeze = button('Freeze', 'pause', () => setFrozen(!frozen), 'Stand still, to look closely');
  freeze.setAttribute('aria-pressed', 'false');
  const element = h(
    'div',
    { class: 'timeline' },
    h('div', { class: 'view-head' }, h('h3', {}, 'Who runs where'), span, freeze),
    canvas,
    h('div', { class: 'timeline-foot' }, legend, readout),
  );
  let colour = themeColours();
  /** As of the last drawing. */
  let guests = vmm.list();
  let canvasWidth = 0;
  let next = 0;
  let timer: ReturnType<typeof setInterval> | undefined;
  let frozen = false;
  let endNs = 0;
  let pointer: { readonly x: number; readonly y: number } | undefined;

  const width = (): number => canvasWidth - leftWidth;
  const spanNs = (): number => Number(span.value);
  const nsAt = (x: number): number => endNs - spanNs() * (1 - (x - leftWidth) / width());

  function setFrozen(on: boolean): void {
    frozen = on;
    freeze.setAttribute('aria-pressed', String(on));
    if (!on) advance();
  }

  function advance(): void {
    const news = vmm.schedule(next);
    next = news.next;
    timeline.take(news.entries);
    if (frozen) return;
    endNs = performance.now() * 1e6;
    draw();
  }

  /** A guest keeps its colour while it is on the list. */
  function colourOf(guest: string): number {
    const at = guests.findIndex(({ id }) => id === guest);
    return ((at < 0 ? guestColours - 1 : at) % guestColours) + 1;
  }

  function draw(): void {
    guests = vmm.list();
    const { processors } = vmm.processorsNow;
    const height = processors.length * (laneHeight + laneGap) + axisHeight;
    const scale = devicePixelRatio;
    if (canvasWidth === 0 || processors.length === 0) return;
    if (canvas.width !== Math.round(canvasWidth * scale) || canvas.height !== Math.round(height * scale)) {
      canvas.width = Math.round(canvasWidth * scale);
      canvas.height = Math.round(height * scale);
      canvas.style.height = `${height}px`;
    }
    const context = canvas.getContext('2d');
    if (context === null) return;
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, canvasWidth, height);
    context.font = '12px system-ui, sans-serif';
    context.textBaseline = 'middle';
    const shown = new Set<string>();
    for (let n = 0; n < processors.length; n++) drawLane(context, colour, n, shown);
    drawAxis(context, colour, processors.length * (laneHeight + laneGap));
    showLegend(shown);
    tell();
    const names = [...shown].map(nameOf).join(', ');
    const label = `Timeline of ${processors.length} processors over ${span.selectedOptions[0]?.text ?? ''}: ${names || 'idle'}`;
    setAttribute(canvas, 'aria-label', label);
  }

  function drawLane(context: CanvasRenderingContext2D, colour: Colours, n: number, shown: Set<string>): void {
    const y = n * (laneHeight + laneGap);
    const fromNs = endNs - spanNs();
    const perNs = width() / spanNs();
    context.fillStyle = colour('--muted');
    context.textAlign = 'left';
    context.fillText(`CPU ${n}`, 0, y + laneHeight / 2);
    context.fillStyle = colour('--surface-2');
    context.fillRect(leftWidth, y, width(), laneHeight);
    for (const { guest, startNs, endNs: untilNs, boosted } of timeline.between(n, fromNs, endNs)) {
      const left = leftWidth + Math.max(0, startNs - fromNs) * perNs;
      const right = leftWidth + (Math.min(untilNs, endNs) - fromNs) * perNs;
      shown.add(guest);
      context.fillStyle = colour(`--guest-${colourOf(guest)}`);
      context.fillRect(left, y, Math.max(0.75, right - left), laneHeight);
      // A boost is marked by an edge: colour says who it is.
      if (boosted) {
        context.fillStyle = colour('--text');
        context.fillRect(left, y, Math.max(0.75, Math.min(right - left, 2)), 5);
      }
      if (right - left > 74) {
        context.fillStyle = colour('--guest-text');
        context.fillText(clipped(nameOf(guest), right - left), left + 6, y + laneHeight / 2, right - left - 10);
      }
    }
  }

  function drawAxis(context: CanvasRenderingContext2D, colour: Colours, y: number): void {
    context.fillStyle = colour('--muted');
    context.font = '11px system-ui, sans-serif';
    for (let n = 0; n <= 4; n++) {
      const ns = spanNs() * (1 - n / 4);
      context.textAlign = n === 0 ? 'left' : n === 4 ? 'right' : 'center';
      context.fillText(ns === 0 ? 'now' : `−${nanosecondsText(ns)}`, leftWidth + (width() * n) / 4, y + axisHeight / 2);
    }
  }

  function nameOf(guest: string): string {
    return callName(guests, guest);
  }

  function showLegend(shown: ReadonlySet<string>): void {
    const key = [...shown].sort().join('\n');
    if (legend.dataset['key'] === key) return;
    legend.dataset['key'] = key;
    legend.replaceChildren(
      ...[...shown]
        .sort()
        .map((guest) =>
          h('span', { class: 'legend-item' }, h('span', { class: `swatch guest-${colourOf(guest)}` }), nameOf(guest)),
        ),
    );
  }

  /** What lies under the pointer. */
  function tell(): void {
    const processor = pointer === undefined ? -1 : Math.floor(pointer.y / (laneHeight + laneGap));
    const under = pointer === undefined ? undefined : timeline.at(processor, nsAt(pointer.x));
    if (under === undefined) {
      setText(readout, pointer === undefined ? 'Point at a stretch to see how long it was and why it began.' : 'Idle.');
      return;
    }
    const took = nanosecondsText(Math.min(under.endNs, endNs) - under.startNs);
    const moved = under.from === undefined ? '' : `, taken over from CPU ${under.from}`;
    setText(
      readout,
      `${nameOf(under.guest)}: ${took} on CPU ${processor}${under.boosted ? ', boosted' : ''}${moved}; ${reasons[under.reason]}.`,
    );
  }

  new ResizeObserver(([entry]) => {
    canvasWidth = Math.floor(entry?.contentRect.width ?? 0);
    draw();
  }).observe(canvas);
  canvas.addEventListener('pointermove', ({ offsetX: x, offsetY: y }) => {
    pointer = x < leftWidth ? undefined : { x, y };
    tell();
  });
  canvas.addEventListener('pointerleave', () => {
    pointer = undefined;
    tell();
  });
  span.addEventListener('change', draw);

  return {
    element,
    watch: (on) => {
      if (on === (timer !== undefined)) return;
      if (on) {
        timer = setInterval(() => {
          if (!document.hidden) advance();
        }, redrawMs);
        advance();
      } else {
        clearInterval(timer);
        timer = undefined;
      }
    },
    paint: () => {
      colour = themeColours();
      draw();
    },
  };
}

type Colours = (name: string) => string;

/** Custom properties of the page, each looked up once: looking makes the browser compute all styles. */
function themeColours(): Colours {
  const style = getComputedStyle(document.documentElement);
  const known = new Map<string, string>();
  return (name) => {
    const found = known.get(name) ?? style.getPropertyValue(name).trim();
    known.set(name, found);
    return found;
  };
}

function clipped(name: string, width: number): string {
  const most = Math.floor(width / 7);
  return name.length <= most ? name : `${name.slice(0, Math.max(1, most - 1))}…`;
}
