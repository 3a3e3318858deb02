/**
 * Scalar floating-point operands that a block does not test again (`ScalarFloats`), where they are no ordinary numbers, on
 * each tier. What must come out follows from SDM vol. 1 §4.9 and §11.5: DE for each operand that is denormal, and none
 * for results.
 */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { createCoreMachine } from './core-machine.ts';
import { runToHalt, words } from './paging-code.ts';
import { AVAILABLE_TIERS } from './tiers.ts';

const core = new URL('../../../build/core/core.wasm', import.meta.url);
const data = 0x8000;
/** All exceptions masked; PE is set. */
const usual = 0x1fa0;
const DE = 2;
const ZE = 4;
const roundUp = 0x4000;

const doubles = (...numbers: readonly number[]): string =>
  Buffer.from(new Float64Array(numbers).buffer).toString('hex');
/** Smallest normal number. */
const tiny = 2 ** -1022;

// XMM0 is loaded from [EBX] and works with [EBX+8] and [EBX+10h].
const load = 'f2 0f 10 03';
const add8 = 'f2 0f 58 43 08';
const add10 = 'f2 0f 58 43 10';
const subtract8 = 'f2 0f 5c 43 08';
const multiply10 = 'f2 0f 59 43 10';
const divide8 = 'f2 0f 5e 43 08';
const compare10 = '66 0f 2f 43 10';
/** MOVAPD XMM1, XMM0, and XMM1 += [EBX+10h]. */
const copy = '66 0f 28 c8';
const addCopy10 = 'f2 0f 58 4b 10';
/** LDMXCSR [EBX+1Ch]. */
const loadControl = '0f ae 53 1c';

describe.each(AVAILABLE_TIERS)('on the %s tier', (tier) => {
  const machine = createCoreMachine(tier, new WebAssembly.Module(readFileSync(core)), () => [0, 0, 0, 0]);

  /** Runs the code ten times with MXCSR as it should be: its last MXCSR, and XMM0. */
  function run(code: readonly string[], numbers: readonly [number, number, number]): { mxcsr: number; result: number } {
    // MOV EBX, data; MOV ECX, 10; again: LDMXCSR [EBX+18h] …
    const setUp = `bb ${words(data)}  b9 ${words(10)}`;
    const body = ['0f ae 53 18', ...code, '0f ae 5b 20', 'f2 0f 11 43 28', '49'].join(' ');
    const back = 0x100 - (body.replaceAll(' ', '').length / 2 + 2);
    runToHalt(machine, [
      [0x1000, `${setUp} ${body} 75 ${back.toString(16)} f4`],
      [data, doubles(...numbers)],
      [data + 0x18, words(usual, usual | roundUp)],
    ]);
    const view = new DataView(Uint8Array.from(machine.readMem(data, 0x30)).buffer);
    return { mxcsr: view.getUint32(0x20, true), result: view.getFloat64(0x28, true) };
  }

  it('ordinary numbers leave no flag', () => {
    expect(run([load, add8, add10, compare10], [1, 0.5, 3])).toEqual({ mxcsr: usual, result: 4.5 });
  });

  it('zeros leave no flag', () => {
    expect(run([load, add8, multiply10, subtract8, compare10], [0, 0, -3])).toEqual({ mxcsr: usual, result: -0 });
  });

  it('a denormal result leaves none, but sets DE when it is an operand', () => {
    expect(run([load, subtract8], [1.5 * tiny, tiny, 1])).toEqual({ mxcsr: usual, result: 0.5 * tiny });
    expect(run([load, subtract8, add10], [1.5 * tiny, tiny, 1])).toEqual({ mxcsr: usual | DE, result: 1 });
    expect(run([load, subtract8, multiply10], [1.5 * tiny, tiny, 2 ** 60]).mxcsr).toBe(usual | DE);
    expect(run([load, subtract8, compare10], [1.5 * tiny, tiny, 1]).mxcsr).toBe(usual | DE);
    expect(run([load, subtract8, copy, addCopy10], [1.5 * tiny, tiny, 1]).mxcsr).toBe(usual | DE);
  });

  it('a denormal operand sets DE, in a comparison too', () => {
    expect(run([load, add10], [tiny / 4, 0, 1])).toEqual({ mxcsr: usual | DE, result: 1 });
    expect(run([load, compare10, add10], [tiny / 4, 0, 1])).toEqual({ mxcsr: usual | DE, result: 1 });
  });

  it('infinities and what they give', () => {
    expect(run([load, divide8, add10], [1, 0, 1])).toEqual({ mxcsr: usual | ZE, result: Infinity });
    expect(run([load, divide8, compare10], [1, 0, 1])).toEqual({ mxcsr: usual | ZE, result: Infinity });
    expect(run([load, add8, add10], [Infinity, 1, -Infinity])).toEqual({ mxcsr: usual | 1, result: NaN });
  });

  it('another rounding in the middle of a block', () => {
    const up = run([load, add8, loadControl, add8], [1, 2 ** -60, 0]);
    expect(up).toEqual({ mxcsr: usual | roundUp, result: 1 + 2 ** -52 });
  });
});
