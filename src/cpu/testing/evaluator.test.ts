import { describe, expect, it } from 'vitest';
import type { CodeMode } from '../isa/match.ts';
import { createMatcher } from '../isa/match.ts';
import { instructionTable } from '../isa/table.ts';
import { status } from '../status.ts';
import { FlatEnvironment } from './flat-environment.ts';

const match = createMatcher(instructionTable);
const names = ['ax', 'cx', 'dx', 'bx', 'sp', 'bp', 'si', 'di'] as const;
type Name = (typeof names)[number];
const flag = { cf: 1, pf: 4, af: 0x10, zf: 0x40, sf: 0x80, df: 0x400, of: 0x800 };

interface Setup {
  readonly mode?: CodeMode;
  readonly regs?: Partial<Record<Name, bigint>>;
  readonly flags?: number;
  readonly memory?: Readonly<Record<number, readonly number[]>>;
  readonly unmapped?: (linear: bigint) => boolean;
}

/** Runs one instruction at 0x1000. */
function run(code: string, setup: Setup = {}): FlatEnvironment & { ended: number } {
  const env = new FlatEnvironment(match, setup.mode ?? 64);
  const put = (at: number, bytes: readonly number[]): void =>
    bytes.forEach((b, k) => env.memory.set(BigInt(at + k), b));
  put(
    0x1000,
    code.split(' ').map((b) => parseInt(b, 16)),
  );
  for (const [at, bytes] of Object.entries(setup.memory ?? {})) put(Number(at), bytes);
  names.forEach((name, n) => (env.vcpu.gpr[n] = setup.regs?.[name] ?? 0n));
  env.vcpu.rip = 0x1000n;
  env.flags = setup.flags ?? 2;
  const { unmapped } = setup;
  if (unmapped) env.pageFault = (linear, write) => (unmapped(linear) ? (write ? 6 : 4) : undefined);
  return Object.assign(env, { ended: env.step() });
}
function reg(env: FlatEnvironment, name: Name): bigint {
  return env.vcpu.gpr[names.indexOf(name)] ?? 0n;
}
function arithmetic(env: FlatEnvironment): number {
  return env.flags & 0x8d5;
}

describe('arithmetic', () => {
  it('adds with carry out and auxiliary carry', () => {
    const e = run('00 c8', { regs: { ax: 0xffn, cx: 1n } });
    expect(reg(e, 'ax')).toBe(0n);
    expect(arithmetic(e)).toBe(flag.cf | flag.zf | flag.af | flag.pf);
    expect(e.vcpu.rip).toBe(0x1002n);
  });

  it('counts the borrow in where subtrahend plus borrow wraps', () => {
    const e = run('18 c8', { regs: { ax: 0n, cx: 0xffn }, flags: flag.cf });
    expect(reg(e, 'ax')).toBe(0n);
    expect(arithmetic(e)).toBe(flag.cf | flag.zf | flag.af | flag.pf);
  });

  it('clears the upper half by 32-bit writes, and only by them', () => {
    expect(reg(run('01 c8', { regs: { ax: 0xffff_ffff_0000_0001n, cx: 1n } }), 'ax')).toBe(2n);
    expect(reg(run('66 01 c8', { regs: { ax: 0xffff_ffff_0000_ffffn, cx: 1n } }), 'ax')).toBe(0xffff_ffff_0000_0000n);
  });

  it('keeps CF in INC', () => {
    const e = run('fe c0', { regs: { ax: 0x7fn }, flags: flag.cf });
    expect(arithmetic(e)).toBe(flag.cf | flag.of | flag.sf | flag.af);
  });

  it('leaves the sum where XADD has one register twice', () => {
    expect(reg(run('0f c1 c0', { regs: { ax: 21n } }), 'ax')).toBe(42n);
  });

  it('leaves a register destination of a failed CMPXCHG alone', () => {
    const e = run('0f b1 d1', { regs: { ax: 1n, cx: 0x5_0000_0002n, dx: 3n } });
    expect(reg(e, 'cx')).toBe(0x5_0000_0002n);
    expect(reg(e, 'ax')).toBe(2n);
  });

  it('demands alignment of CMPXCHG16B', () => {
    expect(run('48 0f c7 0f', { regs: { di: 0x2008n } }).vcpu.exceptionVector).toBe(13);
    const e = run('48 0f c7 0f', { regs: { di: 0x2000n, bx: 7n, cx: 8n } });
    expect(arithmetic(e) & flag.zf).toBe(flag.zf);
    expect([e.memory.get(0x2000n), e.memory.get(0x2008n)]).toEqual([7, 8]);
  });
});

describe('shifts and rotates', () => {
  it('leaves flags alone when the count is 0, but clears the upper half', () => {
    const e = run('d3 e0', { regs: { ax: 0xf_0000_0001n, cx: 32n }, flags: flag.cf | flag.zf });
    expect(reg(e, 'ax')).toBe(1n);
    expect(arithmetic(e)).toBe(flag.cf | flag.zf);
  });

  it.each([
    ['shl by 1', 'd1 e0', 0xc000_0000n, 0x8000_0000n, flag.cf | flag.sf | flag.pf],
    ['shr by 1', 'd1 e8', 0x8000_0001n, 0x4000_0000n, flag.cf | flag.of | flag.pf],
    ['sar by 1', 'd1 f8', 0x8000_0001n, 0xc000_0000n, flag.cf | flag.sf | flag.pf],
    ['rol by 1', 'd1 c0', 0x8000_0000n, 1n, flag.cf | flag.of],
    ['ror by 1', 'd1 c8', 1n, 0x8000_0000n, flag.cf | flag.of],
  ])('%s', (_, code, before, after, flags) => {
    const e = run(code, { regs: { ax: before } });
    expect(reg(e, 'ax')).toBe(after);
    expect(arithmetic(e)).toBe(flags);
  });

  it('rotates 9 bits through carry in a byte', () => {
    for (let count = 0; count < 32; count++) {
      const all = (1n << 8n) | 0x35n;
      const n = BigInt(count % 9);
      const rotated = ((all << n) | (all >> (9n - n))) & 0x1ffn;
      const e = run('d2 d0', { regs: { ax: 0x35n, cx: BigInt(count) }, flags: flag.cf });
      expect(reg(e, 'ax'), `count ${count}`).toBe(rotated & 0xffn);
      expect(BigInt(e.flags & 1), `carry of ${count}`).toBe(rotated >> 8n);
    }
  });

  it('rotates 65 bits through carry', () => {
    for (const count of [1, 2, 31, 32, 63]) {
      const all = (1n << 64n) | 0x8123_4567_89ab_cdefn;
      const n = BigInt(count);
      const rotated = ((all >> n) | (all << (65n - n))) & ((1n << 65n) - 1n);
      const e = run('48 d3 d8', { regs: { ax: 0x8123_4567_89ab_cdefn, cx: n }, flags: flag.cf });
      expect(reg(e, 'ax')).toBe(rotated & 0xffff_ffff_ffff_ffffn);
      expect(BigInt(e.flags & 1)).toBe(rotated >> 64n);
    }
  });
});

describe('multiplication and division', () => {
  it('sets CF and OF where the product needs the upper half', () => {
    expect(run('f7 e1', { regs: { ax: 0x10000n, cx: 0x10000n } }).flags & 0x801).toBe(0x801);
    expect(run('48 0f af c1', { regs: { ax: -3n & 0xffff_ffff_ffff_ffffn, cx: 5n } }).flags & 0x801).toBe(0);
  });

  it.each([
    ['by zero', 'f7 f1', { ax: 1n }],
    ['beyond 32 bits', 'f7 f1', { dx: 1n, cx: 1n }],
    ['−2^63 by −1', '48 f7 f9', { ax: 1n << 63n, dx: (1n << 64n) - 1n, cx: (1n << 64n) - 1n }],
    ['128 bits beyond 64', '48 f7 f1', { dx: 5n, cx: 5n }],
  ])('raises #DE: %s', (_, code, regs) => {
    const e = run(code, { regs });
    expect(e.ended).toBe(status.fault);
    expect(e.vcpu.exceptionVector).toBe(0);
    expect(e.vcpu.rip).toBe(0x1000n);
  });

  it('divides 128 bits by 64, unsigned and signed', () => {
    const e = run('48 f7 f1', { regs: { dx: 1n, ax: 5n, cx: 1n << 32n } });
    expect([reg(e, 'ax'), reg(e, 'dx')]).toEqual([1n << 32n, 5n]);
    const minus = BigInt.asUintN(64, -1n);
    const s = run('48 f7 f9', { regs: { dx: minus, ax: BigInt.asUintN(64, -7n), cx: 2n } });
    expect([reg(s, 'ax'), reg(s, 'dx')]).toEqual([BigInt.asUintN(64, -3n), minus]);
  });
});

describe('bits', () => {
  it('reaches memory before and behind the operand by a register offset', () => {
    const back = run('0f ab 0f', { regs: { di: 0x2010n, cx: 0xffff_ffffn } });
    expect(back.memory.get(0x200fn)).toBe(0x80);
    const forth = run('0f ab 0f', { regs: { di: 0x2010n, cx: 40n } });
    expect(forth.memory.get(0x2015n)).toBe(1);
  });

  it('leaves the destination of BSF alone when the source is 0', () => {
    const e = run('0f bc c1', { regs: { ax: 0x1234_0000_5678n } });
    expect(reg(e, 'ax')).toBe(0x1234_0000_5678n);
    expect(e.flags & flag.zf).toBe(flag.zf);
  });

  it('swaps bytes', () => {
    expect(reg(run('48 0f c8', { regs: { ax: 0x0102030405060708n } }), 'ax')).toBe(0x0807060504030201n);
    expect(reg(run('0f c8', { regs: { ax: 0x01020304n } }), 'ax')).toBe(0x04030201n);
  });
});

describe('the stack', () => {
  it('pushes the old stack pointer, and pops into it', () => {
    const e = run('54', { regs: { sp: 0x3000n } });
    expect(e.read(2, 0x2ff8n, 8)).toBe(0x3000n);
    expect(reg(run('5c', { regs: { sp: 0x3000n }, memory: { 0x3000: [0x78, 0x56] } }), 'sp')).toBe(0x5678n);
  });

  it('computes the address of POP [rSP+n] after the increment', () => {
    const e = run('8f 44 24 08', { regs: { sp: 0x3000n }, memory: { 0x3000: [0x99] } });
    expect(e.memory.get(0x3010n)).toBe(0x99);
    expect(reg(e, 'sp')).toBe(0x3008n);
  });

  it('leaves no trace of a POP that cannot write', () => {
    const e = run('8f 00', { regs: { sp: 0x3000n, ax: 0x9000n }, unmapped: (a) => a >= 0x9000n });
    expect(e.ended).toBe(status.fault);
    expect(reg(e, 'sp')).toBe(0x3000n);
    expect(e.vcpu.exceptionCr2).toBe(0x9000n);
  });

  it('leaves no trace of a PUSHA that crosses into an unmapped page', () => {
    const e = run('60', { mode: 32, regs: { sp: 0x3010n, ax: 0xffn }, unmapped: (a) => a >= 0x2000n && a < 0x3000n });
    expect(e.ended).toBe(status.fault);
    expect(reg(e, 'sp')).toBe(0x3010n);
    expect(e.memory.get(0x300cn)).toBeUndefined();
  });

  it('keeps to 16 bits of the stack pointer in a 16-bit stack', () => {
    const e = run('50', { mode: 16, regs: { sp: 0n, ax: 0x1234n } });
    expect(reg(e, 'sp')).toBe(0xfffen);
    expect(e.memory.get(0xffffn)).toBe(0x12);
  });

  it('calls and returns, releasing arguments', () => {
    const call = run('e8 10 00 00 00', { regs: { sp: 0x3000n } });
    expect(call.ended).toBe(status.jump);
    expect(call.vcpu.rip).toBe(0x1015n);
    expect(call.read(2, 0x2ff8n, 8)).toBe(0x1005n);
    const ret = run('c2 08 00', { regs: { sp: 0x3000n }, memory: { 0x3000: [0x00, 0x50] } });
    expect(ret.vcpu.rip).toBe(0x5000n);
    expect(reg(ret, 'sp')).toBe(0x3010n);
  });

  it('does not push for a CALL whose target is not canonical', () => {
    const e = run('ff d0', { regs: { sp: 0x3000n, ax: 1n << 60n } });
    expect(e.vcpu.exceptionVector).toBe(13);
    expect(reg(e, 'sp')).toBe(0x3000n);
  });
});

describe('branches and strings', () => {
  it('counts LOOP by the address size', () => {
    const e = run('67 e2 10', { regs: { cx: 0xf_0000_0002n } });
    expect(reg(e, 'cx')).toBe(1n);
    expect(e.vcpu.rip).toBe(0x1013n);
    expect(run('e2 10', { regs: { cx: 1n } }).vcpu.rip).toBe(0x1002n);
  });

  it('moves down when DF is set', () => {
    const e = run('a4', { regs: { si: 0x2000n, di: 0x3000n }, flags: flag.df, memory: { 0x2000: [0x5a] } });
    expect(e.memory.get(0x3000n)).toBe(0x5a);
    expect([reg(e, 'si'), reg(e, 'di')]).toEqual([0x1fffn, 0x2fffn]);
  });

  it('stops REPNE SCAS at the match', () => {
    const memory = { 0x3000: [1, 2, 3, 4] };
    const e = run('f2 ae', { regs: { ax: 3n, cx: 9n, di: 0x3000n }, memory });
    expect([reg(e, 'cx'), reg(e, 'di')]).toEqual([6n, 0x3003n]);
    expect(e.flags & flag.zf).toBe(flag.zf);
  });

  it('keeps finished iterations when one faults', () => {
    const e = run('f3 aa', { regs: { ax: 7n, cx: 9n, di: 0x2ffen }, unmapped: (a) => a >= 0x3000n });
    expect(e.ended).toBe(status.fault);
    expect([reg(e, 'cx'), reg(e, 'di')]).toEqual([7n, 0x3000n]);
    expect(e.vcpu.rip).toBe(0x1000n);
  });
});

describe('decimal arithmetic', () => {
  it.each([
    ['DAA', '27', 0x9an, 0, 0x00n, flag.cf | flag.af | flag.zf | flag.pf],
    ['DAA after a carry', '27', 0x12n, flag.cf, 0x72n, flag.cf | flag.pf],
    ['DAS', '2f', 0x0fn, 0, 0x09n, flag.af | flag.pf],
    ['AAA', '37', 0x00fan, flag.af, 0x0200n, flag.cf | flag.af | flag.zf | flag.pf],
    ['AAM', 'd4 0a', 63n, 0, 0x0603n, flag.pf],
    ['AAD', 'd5 0a', 0x0603n, 0, 63n, flag.pf],
  ])('%s', (_, code, before, flags, after, expected) => {
    const e = run(code, { mode: 32, regs: { ax: before }, flags });
    expect(reg(e, 'ax')).toBe(after);
    expect(arithmetic(e)).toBe(expected);
  });
});
