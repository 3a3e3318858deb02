import { describe, expect, it } from 'vitest';
import type { MemoryStatistics } from '../vmm/index.ts';
import { answerText } from './balloon-control.ts';

const mib = 2 ** 20;

const memory = (balloonDriver: MemoryStatistics['balloonDriver'], ballooned = 0, target = 0): MemoryStatistics => ({
  residentBytes: 0,
  balloonedBytes: ballooned * mib,
  reportedFreeBytes: 0,
  balloonDriver,
  balloonTargetBytes: target * mib,
  guest: undefined,
});

describe('what the page says of a guest’s balloon', () => {
  it('names a driver that is not there, or has broken the rules', () => {
    expect(answerText(memory('absent', 0, 64))).toContain('no balloon driver');
    expect(answerText(memory('failed'))).toContain('broke the rules');
  });

  it('tells how far the guest has come', () => {
    expect(answerText(memory('ready'))).toBe('It has all of it.');
    expect(answerText(memory('ready', 10, 64))).toBe('It gave up 10 MiB of 64 MiB so far.');
    expect(answerText(memory('ready', 64, 64))).toBe('It gave up 64 MiB.');
  });
});
