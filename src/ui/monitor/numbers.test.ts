import { describe, expect, it } from 'vitest';
import { bytesText, byteRateText, countText, millionsText, nanosecondsText, percentText } from './numbers.ts';

describe('numbers', () => {
  it('writes figures with units, and as many digits as mean something', () => {
    expect([0, 0.04, 0.06, 9.94, 9.96, 99.6].map(percentText)).toEqual([
      '0 %',
      '0 %',
      '0.1 %',
      '9.9 %',
      '10 %',
      '100 %',
    ]);
    expect([0, 3, 3.21, 950, 999.6, 1234, 34_000_000, 2.5e12].map(countText)).toEqual([
      '0',
      '3',
      '3.2',
      '950',
      '1.0 k',
      '1.2 k',
      '34 M',
      '2500 G',
    ]);
    expect([0, 12, 1234].map(byteRateText)).toEqual(['0 B/s', '12 B/s', '1.2 kB/s']);
    expect([0, 0.5, 231.4, 1200].map(millionsText)).toEqual(['0', '500 k/s', '231 M/s', '1.2 G/s']);
    expect([0, 2 ** 21, 96 * 2 ** 20, 1.5 * 2 ** 30].map(bytesText)).toEqual(['0 MiB', '2.0 MiB', '96 MiB', '1.5 GiB']);
    expect([900, 45_000, 1.2e6, 30e6, 2e9].map(nanosecondsText)).toEqual([
      '0.9 µs',
      '45 µs',
      '1.2 ms',
      '30 ms',
      '2.0 s',
    ]);
  });
});
