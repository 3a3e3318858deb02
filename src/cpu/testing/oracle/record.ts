/** Turns a draft and what the processor did with it into a line of the case format. */
import { REGISTER_NAMES, REGION } from './draft.ts';
import type { Draft, Window } from './draft.ts';
import type { NativeResult } from './native.ts';

const TRAP = { invalidOpcode: 6, generalProtection: 13, pageFault: 14 } as const;
/** Exceptions that push an error code (SDM vol. 3 table 6-1). */
export const WITH_ERROR_CODE: ReadonlySet<number> = new Set([8, 10, 11, 12, 13, 14, 17]);
/** Windows longer than this appear in the expectation only when they changed. */
const SHORT_WINDOW = 64;

export class UnusableResult extends Error {}

const toHex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const number = (value: bigint | number): string => {
  const big = BigInt(value);
  return big <= BigInt(Number.MAX_SAFE_INTEGER) ? big.toString() : `"0x${big.toString(16)}"`;
};
const object = (entries: readonly [string, string][]): string =>
  `{${entries.map(([key, value]) => `"${key}":${value}`).join(',')}}`;

/** The line, without its newline. */
export function recordCase(name: string, asm: string, draft: Draft, result: NativeResult): string {
  const next = draft.rip + draft.code.length;
  const inCode = result.rip >= REGION.code.base && result.rip < REGION.code.base + REGION.code.size;
  const reachedHlt = result.trap === TRAP.generalProtection && result.rip !== draft.rip && inCode;
  const faulted = !reachedHlt && result.rip === draft.rip;
  if (!reachedHlt && !faulted) throw new UnusableResult(`${name}: trap ${result.trap} at ${result.rip.toString(16)}`);
  if (reachedHlt && draft.end === 'next' && result.rip !== next) {
    throw new UnusableResult(`${name}: stopped at ${result.rip.toString(16)} instead of ${next.toString(16)}`);
  }
  const fields: [string, string][] = [
    ['name', JSON.stringify(name)],
    ['asm', JSON.stringify(asm)],
    ['mode', draft.bits === 32 ? '"protected32"' : '"long64"'],
  ];
  if (draft.cpl) fields.push(['cpl', String(draft.cpl)]);
  if (draft.pages) fields.push(['pages', JSON.stringify(draft.pages)]);
  fields.push(['regs', startRegs(draft)]);
  const vec = startVectors(draft);
  if (vec !== '{}') fields.push(['vec', vec]);
  fields.push([
    'mem',
    memoryText([{ address: draft.rip, bytes: Uint8Array.from(draft.code) }, ...flatten(draft.windows)]),
  ]);
  const zero = [...draft.zero, ...uncovered(draft, result.changes)];
  if (zero.length) fields.push(['zero', JSON.stringify(zero)]);
  const single = draft.end === 'step' || faulted;
  fields.push(['end', single ? '{"steps":1}' : `{"rip":${next}}`]);
  fields.push(['expect', expectation(draft, result, faulted)], ['flags_mask', String(draft.flagsMask)]);
  return object(fields);
}

function ipName(draft: Draft): string {
  return draft.bits === 64 ? 'rip' : 'eip';
}

function flagsName(draft: Draft): string {
  return draft.bits === 64 ? 'rflags' : 'eflags';
}

function startRegs(draft: Draft): string {
  const entries = draft.regs.map((value, i): [string, string] => [REGISTER_NAMES[draft.bits][i] ?? '', number(value)]);
  entries.push([ipName(draft), String(draft.rip)], [flagsName(draft), String(draft.flags)]);
  if (draft.usesMxcsr && draft.mxcsr !== 0x1f80) entries.push(['mxcsr', String(draft.mxcsr)]);
  if (draft.usesX87) entries.push(['fcw', String(draft.fcw)], ['fsw', String(draft.fsw)], ['ftw', String(draft.tags)]);
  for (const [key, value] of Object.entries(draft.extraRegs)) entries.push([key, String(value)]);
  return object(entries);
}

function startVectors(draft: Draft): string {
  const sorted = (from: Map<number, Uint8Array>) => [...from].sort(([x], [y]) => x - y);
  return object([
    ...sorted(draft.xmm).map(([i, bytes]): [string, string] => [`xmm${i}`, `"${toHex(bytes)}"`]),
    ...sorted(draft.x87).map(([i, bytes]): [string, string] => [`r${i}`, `"${toHex(bytes)}"`]),
  ]);
}

function expectation(draft: Draft, result: NativeResult, faulted: boolean): string {
  const fields: [string, string][] = [];
  if (faulted) {
    const vector = result.trap;
    const details: [string, string][] = [['vector', String(vector)]];
    if (WITH_ERROR_CODE.has(vector)) details.push(['error', String(result.error)]);
    if (vector === TRAP.pageFault) details.push(['cr2', number(result.cr2)]);
    fields.push(['exception', object(details)]);
  }
  const regs: [string, string][] = [];
  draft.regs.forEach((_, i) => {
    const name = REGISTER_NAMES[draft.bits][i] ?? '';
    if (!draft.unspecified.has(name)) regs.push([name, number(result.regs[i] ?? 0n)]);
  });
  regs.push([ipName(draft), String(result.rip)], [flagsName(draft), String(result.flags)]);
  const fx = Buffer.from(result.fx);
  if (draft.usesMxcsr) regs.push(['mxcsr', String(fx.readUInt32LE(24))]);
  if (draft.usesX87) {
    regs.push(['fcw', String(fx.readUInt16LE(0))], ['fsw', String(fx.readUInt16LE(2))], ['ftw', String(fx[4])]);
  }
  fields.push(['regs', object(regs)]);
  const vec: [string, string][] = [];
  for (const i of [...draft.comparedXmm].sort((x, y) => x - y)) {
    vec.push([`xmm${i}`, `"${toHex(fx.subarray(160 + 16 * i, 176 + 16 * i))}"`]);
  }
  const top = (fx.readUInt16LE(2) >> 11) & 7;
  if (draft.comparesValidX87) {
    for (let i = 0; i < 8; i++) if (((fx[4] ?? 0) >> i) & 1) draft.comparedX87.add(i);
  }
  for (const i of [...draft.comparedX87].sort((x, y) => x - y)) {
    const at = 32 + 16 * ((i - top) & 7);
    vec.push([`r${i}`, `"${toHex(fx.subarray(at, at + 10))}"`]);
  }
  if (vec.length) fields.push(['vec', object(vec)]);
  const memory = comparedMemory(draft, result.changes);
  if (memory.length) fields.push(['mem', memoryText(memory)]);
  return object(fields);
}

/** The windows as bytes without overlaps, in order of address. */
function flatten(windows: readonly Window[]): Window[] {
  const pieces: Window[] = [];
  const bytes = new Map<number, number>();
  for (const w of windows) w.bytes.forEach((byte, i) => bytes.set(w.address + i, byte));
  for (const address of [...bytes.keys()].sort((x, y) => x - y)) {
    const last = pieces.at(-1);
    if (last && address < last.address + last.bytes.length) continue;
    let length = 1;
    while (bytes.has(address + length)) length++;
    pieces.push({ address, bytes: Uint8Array.from({ length }, (_, i) => bytes.get(address + i) ?? 0) });
  }
  return pieces;
}

/** Changed memory outside the windows and the declared zero ranges: it must exist in the case too. */
function uncovered(draft: Draft, changes: readonly Window[]): [number, number][] {
  const covers = (address: number, length: number, at: number) => at >= address && at < address + length;
  const known = (at: number) =>
    draft.zero.some(([address, length]) => covers(address, length, at)) ||
    draft.windows.some((w) => covers(w.address, w.bytes.length, at));
  return changes
    .filter((change) => change.bytes.some((_, i) => !known(change.address + i)))
    .map((change) => [change.address, change.bytes.length]);
}

function comparedMemory(draft: Draft, changes: readonly Window[]): Window[] {
  const final = (address: number): number => {
    for (const c of changes) {
      const byte = c.bytes[address - c.address];
      if (byte !== undefined) return byte;
    }
    return draft.byteAt(address);
  };
  const read = (address: number, length: number): Window => ({
    address,
    bytes: Uint8Array.from({ length }, (_, i) => final(address + i)),
  });
  if (draft.comparedMemory) return draft.comparedMemory.map(([address, length]) => read(address, length));
  const short = flatten(draft.windows).filter((w) => w.bytes.length <= SHORT_WINDOW);
  return flatten([...short.map((w) => read(w.address, w.bytes.length)), ...changes]);
}

function memoryText(pieces: readonly Window[]): string {
  return `[${pieces.map((p) => `[${p.address},"${toHex(p.bytes)}"]`).join(',')}]`;
}
