/** Builds harness.c, and runs drafts on the host's processor through it. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Bits, Draft, Window } from './draft.ts';

/** The state where a fault stopped a case. */
export interface NativeStop {
  trap: number;
  error: number;
  cr2: bigint;
  rip: number;
  /** Hash of the data and code regions. */
  memory: number;
  regs: bigint[];
  flags: number;
  fx: Uint8Array;
}

/** What the processor did with a draft: its last stop, those before it, and what it changed. */
export interface NativeResult extends NativeStop {
  /** All stops; the last one is the end. */
  stops: NativeStop[];
  /** Changed memory, in multiples of 8 bytes. */
  changes: Window[];
}

const REGISTERS_SIZE = 16 * 8 + 8 + 512;
const REQUEST_HEAD = 24;
const STOP_HEAD = 28;

export class NativeHarness {
  private readonly folder = mkdtempSync(join(tmpdir(), 'oracle-'));
  private readonly source: string;
  private readonly programs = new Map<Bits, string>();

  constructor(source: string) {
    this.source = source;
  }

  private program(bits: Bits): string {
    const known = this.programs.get(bits);
    if (known !== undefined) return known;
    const made = join(this.folder, `harness${bits}`);
    const flags = [`-m${bits}`, '-O1', '-static', '-no-pie', '-fno-stack-protector', '-Wall', '-o', made, this.source];
    execFileSync('gcc', flags, { stdio: 'inherit' });
    this.programs.set(bits, made);
    return made;
  }

  dispose(): void {
    rmSync(this.folder, { recursive: true });
  }

  /** Runs all drafts, which must have the same mode, in order. */
  run(bits: Bits, drafts: readonly Draft[]): NativeResult[] {
    if (drafts.length === 0) return [];
    const done = spawnSync(this.program(bits), {
      input: Buffer.concat(drafts.map(encode)),
      maxBuffer: 1 << 30,
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    if (done.status !== 0) {
      const at = Number(/case (\d+)/.exec(done.stderr.toString())?.[1] ?? -1);
      const bytes = drafts[at]?.code.map((b) => b.toString(16).padStart(2, '0')).join(' ');
      if (done.status === 126 || done.status === 2) {
        throw new Error(`the host's kernel may run no ${bits}-bit programs: ${done.stderr.toString().trim()}`);
      }
      throw new Error(`harness: ${done.signal ?? done.status}: ${done.stderr.toString()} code ${bytes}`);
    }
    return decode(done.stdout, drafts.length);
  }
}

function encode(draft: Draft): Buffer {
  const code = Uint8Array.from(draft.code);
  const windows = draft.windows.map((w) => {
    const head = Buffer.alloc(12);
    head.writeBigUInt64LE(BigInt(w.address), 0);
    head.writeUInt32LE(w.bytes.length, 8);
    return Buffer.concat([head, w.bytes]);
  });
  const head = Buffer.alloc(REQUEST_HEAD + REGISTERS_SIZE);
  head.writeBigUInt64LE(BigInt(draft.rip), 0);
  head.writeUInt32LE(code.length, 8);
  head.writeUInt32LE(windows.length, 12);
  head.writeUInt32LE(draft.resumes.length, 16);
  head.writeUInt32LE(draft.stopLimit, 20);
  draft.regs.forEach((value, i) => head.writeBigUInt64LE(value, REQUEST_HEAD + 8 * i));
  head.writeBigUInt64LE(BigInt(draft.flags), REQUEST_HEAD + 128);
  head.set(draft.fxImage(), REQUEST_HEAD + 136);
  const resumes = Buffer.from(Uint32Array.from(draft.resumes.flat()).buffer);
  return Buffer.concat([head, code, ...windows, resumes]);
}

function decodeStop(data: Buffer, at: number): NativeStop {
  const base = at + STOP_HEAD;
  return {
    trap: data.readUInt32LE(at),
    error: data.readUInt32LE(at + 4),
    cr2: data.readBigUInt64LE(at + 8),
    rip: Number(data.readBigUInt64LE(at + 16)),
    memory: data.readUInt32LE(at + 24),
    regs: Array.from({ length: 16 }, (_, k) => data.readBigUInt64LE(base + 8 * k)),
    flags: Number(data.readBigUInt64LE(base + 128)),
    fx: Uint8Array.from(data.subarray(base + 136, base + 648)),
  };
}

function decode(data: Buffer, count: number): NativeResult[] {
  const results: NativeResult[] = [];
  let at = 0;
  for (let i = 0; i < count; i++) {
    const stops: NativeStop[] = [];
    const stopCount = data.readUInt32LE(at);
    at += 4;
    for (let k = 0; k < stopCount; k++, at += STOP_HEAD + REGISTERS_SIZE) stops.push(decodeStop(data, at));
    const changeCount = data.readUInt32LE(at);
    at += 4;
    const changes: Window[] = [];
    for (let k = 0; k < changeCount; k++) {
      const address = Number(data.readBigUInt64LE(at));
      const length = data.readUInt32LE(at + 8);
      changes.push({ address, bytes: Uint8Array.from(data.subarray(at + 12, at + 12 + length)) });
      at += 12 + length;
    }
    const last = stops.at(-1);
    if (!last) throw new Error(`harness: case ${i} has no stop`);
    results.push({ ...last, stops, changes });
  }
  if (at !== data.length) throw new Error(`harness: ${data.length - at} bytes too many for ${count} cases`);
  return results;
}
