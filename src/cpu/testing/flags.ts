/** Arithmetic flags in plain TypeScript: what each rule says, and how the lazy words of Vcpu hold them. */
import type { FlagName, FlagRule } from '../isa/builder.ts';
import type { Vcpu } from '../state.ts';

export type ArithmeticFlags = Readonly<Record<FlagName, boolean>>;

const positions: Readonly<Record<FlagName, number>> = { cf: 0, pf: 2, af: 4, zf: 6, sf: 7, of: 11 };
const names = Object.keys(positions) as FlagName[];

/** The six bits of EFLAGS. */
export const flagBits = names.reduce((bits, name) => bits | (1 << positions[name]), 0);

export function wordOfFlags(f: ArithmeticFlags): number {
  return names.reduce((word, name) => word | (f[name] ? 1 << positions[name] : 0), 0);
}

export function flagsOfWord(word: number): ArithmeticFlags {
  const has = (name: FlagName): boolean => ((word >> positions[name]) & 1) !== 0;
  return { cf: has('cf'), pf: has('pf'), af: has('af'), zf: has('zf'), sf: has('sf'), of: has('of') };
}

function evenParity(low: number): boolean {
  let x = low & 0xff;
  x ^= x >> 4;
  x ^= x >> 2;
  x ^= x >> 1;
  return (x & 1) === 0;
}

type FlagWords = Pick<ReturnType<typeof Vcpu.at>, 'flagResult' | 'flagOverflow' | 'flagCarry' | 'flagAux'>;

/** Reads the lazy words, as `state.ts` defines them. */
export function loadFlags(v: FlagWords): ArithmeticFlags {
  const aux = v.flagAux >>> 0;
  return {
    zf: v.flagResult === 0n,
    sf: v.flagResult < 0n !== (aux >>> 31 !== 0),
    of: v.flagOverflow < 0n,
    cf: v.flagCarry !== 0,
    af: ((aux >>> 4) & 1) !== 0,
    pf: evenParity(Number(v.flagResult & 0xffn) ^ (aux >>> 8)),
  };
}

/** Writes them, in the form of flags that are loaded outright: SF and PF by the corrections in flagAux. */
export function storeFlags(v: FlagWords, f: ArithmeticFlags): void {
  v.flagResult = f.zf ? 0n : 0x100n;
  v.flagOverflow = f.of ? -1n : 0n;
  v.flagCarry = f.cf ? 1 : 0;
  v.flagAux = ((f.af ? 0x10 : 0) | (f.pf ? 0 : 0x100) | (f.sf ? 0x80000000 : 0)) >>> 0;
}

export interface FlagOperands {
  /** Bits. */
  readonly width: number;
  /** Zero-extended. */
  readonly x: bigint;
  readonly y: bigint;
  readonly r: bigint;
  readonly carryIn: bigint;
}

/** The flags after an operation, by the rules of `Builder.setFlags`. */
export function flagsAfter(rule: FlagRule, o: FlagOperands, before: ArithmeticFlags): ArithmeticFlags {
  const top = BigInt(o.width - 1);
  const negative = (v: bigint): boolean => ((v >> top) & 1n) === 1n;
  const zsp = { zf: o.r === 0n, sf: negative(o.r), pf: evenParity(Number(o.r & 0xffn)) };
  if (rule === 'logic' || rule === 'zsp') return { ...zsp, cf: false, of: false, af: false };
  const af = (((o.x ^ o.y ^ o.r) >> 4n) & 1n) === 1n;
  if (rule === 'add' || rule === 'inc') {
    const of = negative((o.x ^ o.r) & (o.y ^ o.r));
    const cf = rule === 'inc' ? before.cf : o.x + o.y + o.carryIn >= 1n << BigInt(o.width);
    return { ...zsp, cf, of, af };
  }
  const of = negative((o.x ^ o.y) & (o.x ^ o.r));
  return { ...zsp, cf: rule === 'dec' ? before.cf : o.x < o.y + o.carryIn, of, af };
}

/** Condition codes in the order of the opcodes; the lowest bit negates. */
export function conditionHolds(cc: number, f: ArithmeticFlags): boolean {
  const base = [f.of, f.cf, f.zf, f.cf || f.zf, f.sf, f.pf, f.sf !== f.of, f.zf || f.sf !== f.of][cc >> 1] ?? false;
  return base !== ((cc & 1) === 1);
}
