import { describe, expect, it } from 'vitest';
import type { ScheduleEntry } from '../../vmm/index.ts';
import { Timeline } from './timeline.ts';

function entry(
  atNs: number,
  processor: number,
  guest: string | undefined,
  more: Partial<ScheduleEntry> = {},
): ScheduleEntry {
  return {
    atNs,
    ranNs: 0,
    processor,
    guest,
    before: undefined,
    from: processor,
    reason: 'slice',
    boosted: false,
    ...more,
  };
}

describe('timeline', () => {
  it('makes stretches of decisions, also of those that come later', () => {
    const timeline = new Timeline(1000);
    timeline.take([entry(10, 0, 'a'), entry(20, 1, 'b', { from: 0, boosted: true }), entry(30, 0, undefined)]);
    expect(timeline.processors).toBe(2);
    expect(timeline.between(0, 0, 100).map(({ guest, startNs, endNs }) => [guest, startNs, endNs])).toEqual([
      ['a', 10, 30],
    ]);
    expect(timeline.at(1, 1e9)).toMatchObject({ guest: 'b', endNs: Infinity, from: 0, boosted: true });
    expect(timeline.at(0, 29)).toMatchObject({ guest: 'a', from: undefined });
    expect(timeline.at(0, 30)).toBeUndefined();
    timeline.take([entry(40, 1, 'a', { reason: 'preempt' })]);
    expect(timeline.at(1, 39)?.guest).toBe('b');
    expect(timeline.at(1, 40)).toMatchObject({ guest: 'a', reason: 'preempt' });
    expect(timeline.between(1, 0, 35)).toHaveLength(1);
  });

  it('forgets what ended long ago, and nothing that is under way', () => {
    const timeline = new Timeline(100);
    timeline.take([entry(0, 0, 'a'), entry(10, 1, 'b'), entry(20, 0, 'c'), entry(30, 0, 'a')]);
    timeline.take([entry(500, 0, 'c')]);
    expect(timeline.between(0, 0, 1000).map(({ guest }) => guest)).toEqual(['a', 'c']);
    expect(timeline.at(1, 400)?.guest).toBe('b');
    timeline.clear();
    expect(timeline.at(1, 400)).toBeUndefined();
  });
});
