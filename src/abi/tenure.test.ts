import { describe, expect, it } from 'vitest';
import { Control, controlAddress, controlBytes } from './control.ts';
import { Tenure } from './tenure.ts';

function make() {
  const buffer = new SharedArrayBuffer(controlAddress + controlBytes);
  const word = new Int32Array(buffer, controlAddress + Control.offsets.tenure, 1);
  return { word, executor: new Tenure(buffer), next: new Tenure(buffer), coordinator: new Tenure(buffer) };
}

describe('tenure', () => {
  it('gives a guest to one executor at a time', () => {
    const { executor, next } = make();
    expect(executor.enter(0)).toBe(true);
    expect(next.enter(0)).toBe(false);
    expect(next.enter(next.value)).toBe(false);
    executor.rest();
    expect(executor.wake()).toBe(true);
    executor.rest();
    expect(next.enter(executor.left)).toBe(true);
    expect(executor.wake()).toBe(false);
    expect(executor.enter(executor.left)).toBe(false);
  });

  it('is not entered by who knows how it was left before it was claimed', () => {
    const { executor, next, coordinator } = make();
    executor.enter(0);
    executor.rest();
    const { left } = executor;
    expect(coordinator.claim()).toBe(true);
    expect(next.enter(left)).toBe(false);
    expect(next.enter(coordinator.value)).toBe(true);
  });

  it('cannot be claimed in the midst of a guest', () => {
    const { executor, coordinator } = make();
    expect(coordinator.atRest).toBe(true);
    executor.enter(0);
    expect(coordinator.atRest).toBe(false);
    expect(coordinator.claim()).toBe(false);
    executor.rest();
    expect(coordinator.claim()).toBe(true);
  });

  it('keeps an executor out whose guest was claimed while it slept, whatever the next one does', () => {
    const { executor, next, coordinator } = make();
    executor.enter(0);
    executor.rest();
    expect(coordinator.claim()).toBe(true);
    expect(executor.wake()).toBe(false);
    expect(next.enter(next.value)).toBe(true);
    expect(executor.wake()).toBe(false);
    next.rest();
    // At rest again, but not as the first one left it.
    expect(executor.wake()).toBe(false);
    expect(next.wake()).toBe(true);
  });

  it('goes on when the count wraps around', () => {
    const { word, executor, coordinator } = make();
    word[0] = 2 ** 31 - 2;
    expect(executor.enter(executor.value)).toBe(true);
    executor.rest();
    expect(word[0]).toBe(-(2 ** 31));
    expect(executor.wake()).toBe(true);
    executor.rest();
    expect(coordinator.claim()).toBe(true);
    expect(executor.wake()).toBe(false);
  });
});
