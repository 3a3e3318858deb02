/** Figures of the monitor for people: with units, and as many digits as mean something. */

/** `37 %`; below ten with one digit behind the point. */
export function percentText(percent: number): string {
  if (percent < 0.05) return '0 %';
  return `${percent < 9.95 ? percent.toFixed(1) : Math.round(percent)} %`;
}

const prefixes = ['', ' k', ' M', ' G'] as const;

/** `950`, `1.2 k`, `34 M`. */
export function countText(count: number): string {
  let value = count;
  let prefix = 0;
  while (value >= 999.5 && prefix < prefixes.length - 1) {
    value /= 1000;
    prefix++;
  }
  const digits = value > 0 && value < 9.95 && (prefix > 0 || value % 1 !== 0) ? 1 : 0;
  return `${value.toFixed(digits)}${prefixes[prefix] ?? ''}`;
}

/** `1.2 k/s`. */
export function rateText(perSecond: number): string {
  return `${countText(perSecond)}/s`;
}

/** `1.2 kB/s`. */
export function byteRateText(bytesPerSecond: number): string {
  const [number = '0', prefix = ''] = countText(bytesPerSecond).split(' ');
  return `${number} ${prefix}B/s`;
}

/** `231 M/s`, of a figure in millions. */
export function millionsText(millions: number): string {
  return millions === 0 ? '0' : `${countText(millions * 1e6)}/s`;
}

/** `96 MiB`, `1.5 GiB`; 0 too. */
export function bytesText(bytes: number): string {
  const mib = bytes / 2 ** 20;
  if (mib >= 1024) return `${(mib / 1024).toFixed(1)} GiB`;
  return mib > 0 && mib < 9.95 ? `${mib.toFixed(1)} MiB` : `${Math.round(mib)} MiB`;
}

/** `1.2 ms`, `34 s`. */
export function nanosecondsText(ns: number): string {
  if (ns < 1e6) return `${(ns / 1e3).toFixed(ns < 1e4 ? 1 : 0)} µs`;
  if (ns < 1e9) return `${(ns / 1e6).toFixed(ns < 1e7 ? 1 : 0)} ms`;
  return `${(ns / 1e9).toFixed(1)} s`;
}

/** `14:03:07` of local time. */
export function clockText(unixMs: number): string {
  return new Date(unixMs).toLocaleTimeString('en-GB');
}
