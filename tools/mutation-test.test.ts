import { describe, expect, it } from 'vitest';
import { runMutationTest } from './mutation-test.ts';

describe('wrong definitions', () => {
  it('are noticed by the cases on every tier, and nothing else is: a sample of 50', async () => {
    const report = await runMutationTest(50);
    expect(report.mutants).toBe(50);
    expect(report.survivors).toEqual([]);
    expect(report.controls).toBeGreaterThan(1000);
    expect(report.brokenControls).toEqual([]);
  }, 120_000);

  it('are noticed in every row that has cases of its own', async () => {
    const report = await runMutationTest(Number.POSITIVE_INFINITY);
    expect(report.mutants).toBeGreaterThan(700);
    expect(report.survivors).toEqual([]);
  }, 120_000);
});
