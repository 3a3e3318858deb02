/** Builds harness.c, and runs drafts on the host's processor through it. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Bits, Draft, Window } from './draft.ts';

/** What the processor did with a draft. */
export interface NativeResult {
  trap: number;
  error: number;
  cr2: bigint;
  rip: number;
  regs: bigint[];
  flags: number;
  fx: Uint8Array;
  /** Changed memory, in multiples of 8 bytes. */
  changes: Window[];
}

const REGISTERS_SIZE = 16 * 8 + 8 + 512;

export class NativeHarness {
  private readonly folder = mkdtempSync(join(tmpdir(), 'oracle-'));
  private readonly program = new Map<Bits, string>();

  constructor(source: string) {
    for (const bits of [32, 64] as const) {
      const program = join(this.folder, `harness${bits}`);
      const flags = [`-m${bits}`, '-O1', '-static', '-no-pie', '-fno-stack-protector', '-Wall', '-o', program, source];
      execFileSync('gcc', flags, { stdio: 'inherit' });
      this.program.set(bits, program);
    }
  }

  dispose(): void {
    rmSync(this.folder, { recursive: true });
  }

  /** Runs all drafts, which must have the same mode, in order. */
  run(bits: Bits, drafts: readonly Draft[]): NativeResult[] {
    const done = spawnSync(this.program.get(bits) ?? '', {
      input: Buffer.concat(drafts.map(encode)),
      maxBuffer: 1 << 30,
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    if (done.status !== 0) {
      const at = Number(/case (\d+)/.exec(done.stderr.toString())?.[1] ?? -1);
      const bytes = drafts[at]?.code.map((b) => b.toString(16).padStart(2, '0')).join(' ');
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
  const head = Buffer.alloc(16 + REGISTERS_SIZE);
  head.writeBigUInt64LE(BigInt(draft.rip), 0);
  head.writeUInt32LE(code.length, 8);
  head.writeUInt32LE(windows.length, 12);
  draft.regs.forEach((value, i) => head.writeBigUInt64LE(value, 16 + 8 * i));
  head.writeBigUInt64LE(BigInt(draft.flags), 16 + 128);
  head.set(draft.fxImage(), 16 + 136);
  return Buffer.concat([head, code, ...windows]);
}

function decode(data: Buffer, count: number): NativeResult[] {
  const results: NativeResult[] = [];
  let at = 0;
  for (let i = 0; i < count; i++) {
    const trap = data.readUInt32LE(at);
    const error = data.readUInt32LE(at + 4);
    const cr2 = data.readBigUInt64LE(at + 8);
    const rip = Number(data.readBigUInt64LE(at + 16));
    const base = at + 24;
    const regs = Array.from({ length: 16 }, (_, k) => data.readBigUInt64LE(base + 8 * k));
    const flags = Number(data.readBigUInt64LE(base + 128));
    const fx = Uint8Array.from(data.subarray(base + 136, base + 648));
    at = base + REGISTERS_SIZE;
    const changeCount = data.readUInt32LE(at);
    at += 4;
    const changes: Window[] = [];
    for (let k = 0; k < changeCount; k++) {
      const address = Number(data.readBigUInt64LE(at));
      const length = data.readUInt32LE(at + 8);
      changes.push({ address, bytes: Uint8Array.from(data.subarray(at + 12, at + 12 + length)) });
      at += 12 + length;
    }
    results.push({ trap, error, cr2, rip, regs, flags, fx, changes });
  }
  if (at !== data.length) throw new Error(`harness: ${data.length - at} bytes too many for ${count} cases`);
  return results;
}
