/** What the host's processor did with a program, and how a run of the core differs from it. */
import { COMPARED_FLAGS, REGISTER_NAMES } from '../oracle/draft.ts';
import type { Draft } from '../oracle/draft.ts';
import type { NativeResult, NativeStop } from '../oracle/native.ts';
import { WITH_ERROR_CODE } from '../oracle/record.ts';
import type { Difference } from '../runner.ts';
import { PAGE_FAULT } from './machine.ts';
import type { Outcome, Stop } from './machine.ts';

function stopOf(draft: Draft, s: NativeStop): Stop {
  const fx = Buffer.from(s.fx);
  const count = draft.bits === 64 ? 16 : 8;
  const fsw = fx.readUInt16LE(2);
  const tags = fx[4] ?? 0;
  const top = (fsw >> 11) & 7;
  return {
    vector: s.trap,
    error: WITH_ERROR_CODE.has(s.trap) ? s.error : 0,
    cr2: s.trap === PAGE_FAULT ? s.cr2 : 0n,
    rip: s.rip,
    regs: s.regs.slice(0, count),
    flags: s.flags,
    mxcsr: fx.readUInt32LE(24),
    fcw: fx.readUInt16LE(0),
    fsw,
    tags,
    xmm: Array.from({ length: count }, (_, n) => s.fx.slice(160 + 16 * n, 176 + 16 * n)),
    x87: Array.from({ length: 8 }, (_, n) => {
      const from = 32 + 16 * ((n - top) & 7);
      return (tags >> n) & 1 ? s.fx.slice(from, from + 10) : undefined;
    }),
    memory: s.memory,
  };
}

export function nativeStops(draft: Draft, result: NativeResult): Stop[] {
  return result.stops.map((s) => stopOf(draft, s));
}

const hex = (value: number | bigint): string => `0x${value.toString(16)}`;
const bytesText = (bytes: Uint8Array | undefined): string =>
  bytes ? Array.from(bytes, (b) => b.toString(16).padStart(2, '0')).join('') : 'not in use';

/** Every difference of two states; `mask` has the flags that count. */
export function compareStops(bits: 32 | 64, expected: Stop, actual: Stop, mask: number): Difference[] {
  const out: Difference[] = [];
  const check = (what: string, want: number | bigint, have: number | bigint): void => {
    if (want !== have) out.push({ what, expected: hex(want), actual: hex(have) });
  };
  const checkBytes = (what: string, want: Uint8Array | undefined, have: Uint8Array | undefined): void => {
    const [a, b] = [bytesText(want), bytesText(have)];
    if (a !== b) out.push({ what, expected: a, actual: b });
  };
  for (const key of ['vector', 'error', 'cr2', 'rip'] as const) check(key, expected[key], actual[key]);
  expected.regs.forEach((value, n) => check(REGISTER_NAMES[bits][n] ?? '', value, actual.regs[n] ?? 0n));
  check('flags', (expected.flags & mask) >>> 0, (actual.flags & mask) >>> 0);
  for (const key of ['mxcsr', 'fcw', 'fsw', 'tags'] as const) check(key, expected[key], actual[key]);
  expected.xmm.forEach((bytes, n) => checkBytes(`xmm${n}`, bytes, actual.xmm[n]));
  for (let n = 0; n < 8; n++) checkBytes(`x87 register ${n}`, expected.x87[n], actual.x87[n]);
  check('hash of memory', expected.memory, actual.memory);
  return out;
}

/**
 * The first stop that differs, and how. Flags count as they are at all stops but the last, before which lowering has
 * defined them.
 */
export function compareOutcome(draft: Draft, expected: readonly Stop[], outcome: Outcome): Difference[] {
  const { stops, failure } = outcome;
  for (const [n, want] of expected.entries()) {
    const have = stops[n];
    const where = n + 1 === expected.length ? 'at the end: ' : `at stop ${n + 1}: `;
    if (!have) return [{ what: `${where}it`, expected: 'stops', actual: failure ?? 'has ended' }];
    const mask = n + 1 === expected.length ? draft.flagsMask : COMPARED_FLAGS;
    const differences = compareStops(draft.bits, want, have, mask);
    if (differences.length > 0) return differences.map((d) => ({ ...d, what: where + d.what }));
  }
  if (stops.length > expected.length)
    return [{ what: 'stops', expected: `${expected.length}`, actual: `${stops.length}` }];
  return [];
}

/** The counts of two runs at each stop. */
export function compareRetired(interpreted: Outcome, other: Outcome): Difference[] {
  for (const [n, count] of interpreted.retired.entries()) {
    const have = other.retired[n];
    if (have === count) continue;
    return [{ what: `instructions up to stop ${n + 1}`, expected: `${count}`, actual: `${have ?? 'none'}` }];
  }
  return [];
}
