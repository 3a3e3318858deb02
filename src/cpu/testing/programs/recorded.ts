/** Programs with a processor's answers as lines of JSON. */
import { Draft } from '../oracle/draft.ts';
import { Random } from '../oracle/random.ts';
import type { Stop } from './machine.ts';

interface StopLine {
  readonly vector: number;
  readonly error?: number;
  readonly cr2?: string;
  readonly rip: number;
  /** Registers by number that changed since the stop before, or the start. */
  readonly regs: Readonly<Record<string, string>>;
  readonly flags: number;
  readonly mxcsr: number;
  readonly fcw: number;
  readonly fsw: number;
  readonly tags: number;
  readonly xmm: Readonly<Record<string, string>>;
  readonly x87: Readonly<Record<string, string>>;
  readonly memory: number;
}

interface ProgramLine {
  readonly name: string;
  readonly bits: 32 | 64;
  readonly rip: number;
  readonly regs: readonly string[];
  readonly flags: number;
  readonly flagsMask: number;
  readonly mxcsr: number;
  readonly xmm: Readonly<Record<string, string>>;
  readonly windows: readonly (readonly [number, string])[];
  readonly resumes: readonly [number, number][];
  readonly stopLimit: number;
  readonly stops: readonly StopLine[];
}

const toHex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const fromHex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'hex'));

/** The values that differ from those of before, by number. */
function changed<T>(
  values: readonly (T | undefined)[],
  before: readonly (T | undefined)[],
  text: (v: T) => string,
): Record<string, string> {
  const out: Record<string, string> = {};
  values.forEach((value, n) => {
    const old = before[n];
    if (value !== undefined && (old === undefined || text(old) !== text(value))) out[n] = text(value);
  });
  return out;
}

const bigText = (v: bigint): string => v.toString(16);

export function encodeRecorded(name: string, draft: Draft, stops: readonly Stop[]): string {
  let regs: readonly bigint[] = draft.regs;
  let xmm: readonly (Uint8Array | undefined)[] = startVectors(draft);
  let x87: readonly (Uint8Array | undefined)[] = [];
  const lines = stops.map((s): StopLine => {
    const line: StopLine = {
      vector: s.vector,
      ...(s.error ? { error: s.error } : {}),
      ...(s.cr2 ? { cr2: bigText(s.cr2) } : {}),
      rip: s.rip,
      regs: changed(s.regs, regs, bigText),
      flags: s.flags,
      mxcsr: s.mxcsr,
      fcw: s.fcw,
      fsw: s.fsw,
      tags: s.tags,
      xmm: changed(s.xmm, xmm, toHex),
      x87: changed(s.x87, x87, toHex),
      memory: s.memory,
    };
    ({ regs, xmm, x87 } = s);
    return line;
  });
  const line: ProgramLine = {
    name,
    bits: draft.bits,
    rip: draft.rip,
    regs: draft.regs.map(bigText),
    flags: draft.flags,
    flagsMask: draft.flagsMask,
    mxcsr: draft.mxcsr,
    xmm: Object.fromEntries([...draft.xmm].map(([n, bytes]) => [n, toHex(bytes)])),
    windows: draft.windows.map((w) => [w.address, toHex(w.bytes)] as const),
    resumes: draft.resumes,
    stopLimit: draft.stopLimit,
    stops: lines,
  };
  return JSON.stringify(line);
}

function startVectors(draft: Draft): Uint8Array[] {
  return Array.from({ length: draft.bits === 64 ? 16 : 8 }, (_, n) => draft.xmm.get(n) ?? new Uint8Array(16));
}

export function decodeRecorded(text: string): { name: string; draft: Draft; stops: Stop[] } {
  const line = JSON.parse(text) as ProgramLine;
  const draft = new Draft(line.bits, new Random(''));
  line.regs.forEach((value, n) => (draft.regs[n] = BigInt(`0x${value}`)));
  draft.rip = line.rip;
  draft.flags = line.flags;
  draft.flagsMask = line.flagsMask;
  draft.mxcsr = line.mxcsr;
  for (const [n, value] of Object.entries(line.xmm)) draft.xmm.set(Number(n), fromHex(value));
  for (const [address, bytes] of line.windows) draft.window(address, fromHex(bytes));
  draft.resumes.push(...line.resumes);
  draft.stopLimit = line.stopLimit;
  const regs = [...draft.regs];
  const xmm = startVectors(draft);
  const x87: (Uint8Array | undefined)[] = Array.from({ length: 8 }, () => undefined);
  const stops = line.stops.map((s): Stop => {
    for (const [n, value] of Object.entries(s.regs)) regs[Number(n)] = BigInt(`0x${value}`);
    for (const [n, value] of Object.entries(s.xmm)) xmm[Number(n)] = fromHex(value);
    for (let n = 0; n < 8; n++) {
      const value = s.x87[n];
      if (!((s.tags >> n) & 1)) x87[n] = undefined;
      else if (value !== undefined) x87[n] = fromHex(value);
    }
    return {
      vector: s.vector,
      error: s.error ?? 0,
      cr2: BigInt(`0x${s.cr2 ?? '0'}`),
      rip: s.rip,
      regs: [...regs],
      flags: s.flags,
      mxcsr: s.mxcsr,
      fcw: s.fcw,
      fsw: s.fsw,
      tags: s.tags,
      xmm: [...xmm],
      x87: [...x87],
      memory: s.memory,
    };
  });
  return { name: line.name, draft, stops };
}
