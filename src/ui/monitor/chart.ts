/**
 * A chart of some columns of a history over the last minutes (uPlot on a canvas), with a legend that tells the values now,
 * or where the pointer is. It draws only while it is on the screen, and straight from the history's arrays.
 */
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import { h, setText } from '../dom.ts';

/** Names of colours in `styles/tokens.css`. */
export type ChartColour = 'series-1' | 'series-2' | 'series-3' | 'series-4';

export interface ChartSeries<Column extends string> {
  readonly column: Column;
  readonly label: string;
  readonly colour: ChartColour;
  /** Down to 0: for what is a part of the series before it. */
  readonly filled?: boolean;
}

export interface ChartSpec<Column extends string> {
  readonly title: string;
  readonly series: readonly ChartSeries<Column>[];
  /** A value with its unit. */
  readonly text: (value: number) => string;
  /** The least upper end of the scale, so that noise does not fill a chart; `fixed`: it is the end. */
  readonly top: number;
  /** Distances between lines of the grid; default: decimal ones. */
  readonly steps?: readonly number[];
  readonly fixed?: boolean;
}

/** What a chart draws: a history of the coordinator. */
export interface ChartData<Column extends string> {
  column(name: Column | 'time', rows?: number): Float64Array;
}

export interface Chart<Column extends string> {
  readonly element: HTMLElement;
  /** The newest data; `seconds`: how much of it. */
  draw(data: ChartData<Column>, seconds: number): void;
  /** Takes the colours of the page's theme. */
  paint(): void;
  dispose(): void;
}

const heightPx = 132;

/** 1, 2, 5 and their decades. */
const decimalSteps = Array.from({ length: 12 }, (_, n) => [1, 2, 5].map((step) => step * 10 ** n)).flat();

export function chart<Column extends string>(spec: ChartSpec<Column>): Chart<Column> {
  const values = spec.series.map(() => h('span', { class: 'legend-value' }));
  const legend = h(
    'div',
    { class: 'legend' },
    ...spec.series.map(({ label, colour }, n) =>
      h('span', { class: 'legend-item' }, h('span', { class: `swatch ${colour}` }), label, values[n]),
    ),
  );
  const canvas = h('div', { class: 'chart-canvas', role: 'img', 'aria-label': `${spec.title} over time` });
  const element = h(
    'figure',
    { class: 'chart' },
    h('figcaption', {}, h('span', { class: 'chart-title' }, spec.title), legend),
    canvas,
  );
  let colours = themeColours();
  let plot: uPlot | undefined;
  let visible = false;
  /** As observed: to ask for it after texts have changed would have the page laid out for each chart. */
  let width = 0;
  let latest: { readonly data: ChartData<Column>; readonly seconds: number } | undefined;

  const seen = new IntersectionObserver(([entry]) => {
    visible = entry?.isIntersecting === true;
    if (visible) show();
  });
  seen.observe(canvas);
  const resized = new ResizeObserver(([entry]) => {
    width = Math.floor(entry?.contentRect.width ?? 0);
    if (width === 0) return;
    plot?.setSize({ width, height: heightPx });
    show();
  });
  resized.observe(canvas);

  const texts = (_self: uPlot, splits: number[]): string[] => splits.map(spec.text);

  function make(): uPlot {
    const axis: uPlot.Axis = {
      stroke: () => colours.muted,
      grid: { stroke: () => colours.line, width: 1 },
      ticks: { show: false },
      font: '11px system-ui, sans-serif',
    };
    return new uPlot(
      {
        width,
        height: heightPx,
        legend: { show: false },
        cursor: { y: false, points: { size: 5 }, drag: { x: false, y: false } },
        scales: {
          x: { time: false, range: (self) => windowOf(self, latest?.seconds ?? 60) },
          y: { range: (_self, _least, most) => [0, spec.fixed === true ? spec.top : Math.max(spec.top, most * 1.05)] },
        },
        axes: [
          { ...axis, size: 24, splits: (self) => splitsOf(self), values: (self, splits) => agoTexts(self, splits) },
          { ...axis, size: 62, space: 30, incrs: spec.steps ? [...spec.steps] : decimalSteps, values: texts },
        ],
        series: [
          {},
          ...spec.series.map(({ label, colour, filled }) => ({
            label,
            width: 1.5,
            stroke: () => colours[colour],
            ...(filled === true ? { fill: () => `${colours[colour]}40` } : {}),
            points: { show: false },
          })),
        ],
        hooks: { setCursor: [tell] },
      },
      [[], ...spec.series.map(() => [])],
      canvas,
    );
  }

  function show(): void {
    if (latest === undefined || !visible || width === 0) return;
    plot ??= make();
    const { data, seconds } = latest;
    const rows = seconds + 1;
    plot.setData([data.column('time', rows), ...spec.series.map(({ column }) => data.column(column, rows))]);
    tell(plot);
  }

  function tell({ data, cursor }: uPlot): void {
    for (const [n, element] of values.entries()) {
      const column = data[n + 1];
      const value = column?.[cursor.idx ?? column.length - 1];
      setText(element, value === undefined || value === null ? '–' : spec.text(value));
    }
  }

  return {
    element,
    draw: (data, seconds) => {
      latest = { data, seconds };
      show();
    },
    paint: () => {
      colours = themeColours();
      plot?.redraw();
    },
    dispose: () => {
      seen.disconnect();
      resized.disconnect();
      plot?.destroy();
    },
  };
}

function windowOf({ data: [times] }: uPlot, seconds: number): [number, number] {
  const last = times.at(-1) ?? 0;
  return [last - seconds, last];
}

/** From the right end back in even steps, so that labels stand still while the curve moves. */
function splitsOf({ scales: { x } }: uPlot): number[] {
  const most = x?.max ?? 0;
  const span = most - (x?.min ?? 0);
  const step = span / 4;
  return [4, 3, 2, 1, 0].map((n) => most - n * step);
}

function agoTexts({ scales: { x } }: uPlot, splits: readonly number[]): string[] {
  return splits.map((split) => {
    const seconds = Math.round((x?.max ?? 0) - split);
    if (seconds === 0) return 'now';
    return seconds < 120 ? `−${seconds} s` : `−${Number((seconds / 60).toFixed(1))} min`;
  });
}

/** uPlot draws on a canvas, which knows no custom properties. */
function themeColours(): Record<ChartColour | 'muted' | 'line', string> {
  const style = getComputedStyle(document.documentElement);
  const of = (name: string): string => style.getPropertyValue(`--${name}`).trim();
  return {
    'series-1': of('series-1'),
    'series-2': of('series-2'),
    'series-3': of('series-3'),
    'series-4': of('series-4'),
    muted: of('muted'),
    line: of('line'),
  };
}
