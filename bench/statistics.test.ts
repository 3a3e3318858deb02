import { describe, expect, it } from 'vitest';
import { figure, geometricMean, markdownTable, median } from './statistics.ts';

describe('median', () => {
  it('is the middle value, or the mean of the middle two', () => {
    expect(median([3, 1, 2])).toBe(2);
    expect(median([10, 1, 2, 3])).toBe(2.5);
    expect(median([7])).toBe(7);
    expect(median([])).toBeUndefined();
  });

  it('sorts by value and leaves its argument alone', () => {
    const values = [100, 9, 20];
    expect(median(values)).toBe(20);
    expect(values).toEqual([100, 9, 20]);
  });
});

describe('geometricMean', () => {
  it('multiplies', () => {
    expect(geometricMean([2, 8])).toBeCloseTo(4);
    expect(geometricMean([1, 1, 1])).toBe(1);
    expect(geometricMean([])).toBeUndefined();
  });
});

describe('figure', () => {
  it('shows three digits', () => {
    expect([0.01234, 0.5, 1.2345, 12.345, 123.45, 1234.5].map(figure)).toEqual([
      '0.0123',
      '0.500',
      '1.23',
      '12.3',
      '123',
      '1235',
    ]);
    expect(figure(undefined)).toBe('–');
    expect(figure(0)).toBe('0');
  });
});

describe('markdownTable', () => {
  it('aligns its columns', () => {
    expect(markdownTable(['row', 's'], [['sieve', '1.23']])).toBe(
      ['| row   |    s |', '|-------|-----:|', '| sieve | 1.23 |'].join('\n'),
    );
  });
});
