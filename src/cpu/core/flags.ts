/**
 * EFLAGS as one word, from and to the lazy words that `cpu/state.ts` documents.
 *
 *   ZF = flagResult == 0                  SF = (flagResult < 0) XOR bit 31 of flagAux
 *   OF = flagOverflow < 0                 CF = flagCarry
 *   AF = bit 4 of flagAux                 PF = even parity of (flagResult XOR (flagAux >> 8)) & 0xFF
 */
import { Vcpu } from '../../../build/core/layout';
import { AF, ARITHMETIC, CF, OF, PF, SF, ZF } from './registers';

/** The six arithmetic flags in their places. */
export function arithmeticFlags(cpu: usize): u32 {
  const result = load<i64>(cpu, Vcpu.flagResult);
  const aux = load<u32>(cpu, Vcpu.flagAux);
  let flags = load<u32>(cpu, Vcpu.flagCarry) & 1;
  if ((popcnt<u32>(((<u32>result) ^ (aux >> 8)) & 0xff) & 1) == 0) flags |= PF;
  flags |= aux & AF;
  if (result == 0) flags |= ZF;
  if (((<u32>((<u64>result) >> 63)) ^ (aux >> 31)) & 1) flags |= SF;
  if (load<i64>(cpu, Vcpu.flagOverflow) < 0) flags |= OF;
  return flags;
}

/** All of EFLAGS, as an exception frame holds it (RF included). */
export function getFlags(cpu: usize): u32 {
  return load<u32>(cpu, Vcpu.eflags) | arithmeticFlags(cpu);
}

/** Loads the six arithmetic flags from their places in `flags`; the other bits are ignored. */
export function setArithmeticFlags(cpu: usize, flags: u32): void {
  // A result of 0 has even parity, one of 1 odd: flagAux corrects what that leaves wrong.
  const zero = (flags & ZF) != 0;
  const parityDiffers = ((flags & PF) != 0) != zero;
  store<i64>(cpu, zero ? 0 : 1, Vcpu.flagResult);
  store<u32>(cpu, (flags & AF) | (parityDiffers ? 0x100 : 0) | (flags & SF ? 0x80000000 : 0), Vcpu.flagAux);
  store<u32>(cpu, flags & CF, Vcpu.flagCarry);
  store<i64>(cpu, flags & OF ? -1 : 0, Vcpu.flagOverflow);
}

/** Takes the bits of `mask` from `flags`; bit 1 stays set, arithmetic flags go to the lazy words all together. */
export function setFlags(cpu: usize, flags: u32, mask: u32): void {
  const system = mask & ~ARITHMETIC;
  store<u32>(cpu, (load<u32>(cpu, Vcpu.eflags) & ~system) | (flags & system) | 2, Vcpu.eflags);
  if (mask & ARITHMETIC) setArithmeticFlags(cpu, flags);
}

/** The flags after a comparison x − y of operands of `size` bytes (zero-extended). */
export function setCompareFlags(cpu: usize, x: u64, y: u64, size: i32): void {
  const shift = <u64>(64 - 8 * size);
  const r = (<i64>((x - y) << shift)) >> shift;
  store<i64>(cpu, r, Vcpu.flagResult);
  store<i64>(cpu, (<i64>(((x ^ y) & (x ^ (<u64>r))) << shift)) >> shift, Vcpu.flagOverflow);
  store<u32>(cpu, x < y ? 1 : 0, Vcpu.flagCarry);
  store<u32>(cpu, (<u32>(x ^ y ^ (<u64>r))) & AF, Vcpu.flagAux);
}
