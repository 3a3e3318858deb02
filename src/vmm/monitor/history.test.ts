import { describe, expect, it } from 'vitest';
import { History } from './history.ts';

describe('history', () => {
  it('keeps the last rows of each column in the order of time', () => {
    const history = new History(['time', 'cpu'], 3);
    expect(history.rows).toBe(0);
    expect(history.last('cpu')).toBe(0);
    expect([...history.column('cpu')]).toEqual([]);
    for (let n = 1; n <= 7; n++) {
      history.push([n, n * 10]);
      const first = Math.max(1, n - 2);
      const times = Array.from({ length: n - first + 1 }, (_, at) => first + at);
      expect([...history.column('time')]).toEqual(times);
      expect([...history.column('cpu')]).toEqual(times.map((time) => time * 10));
      expect(history.last('cpu')).toBe(n * 10);
    }
    expect(history.rows).toBe(3);
    expect([...history.column('time', 2)]).toEqual([6, 7]);
    expect([...history.column('time', 9)]).toEqual([5, 6, 7]);
  });

  it('gives views and copies nothing', () => {
    const history = new History(['time'], 4);
    history.push([1]);
    expect(history.column('time').buffer).toBe(history.column('time').buffer);
  });
});
