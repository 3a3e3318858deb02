/** FCOM, FUCOM, FTST, FXAM (SDM vol. 2A). Condition codes come in their status-word positions. */
import {
  C0,
  C1,
  C2,
  C3,
  DE,
  EXP_MASK,
  IE,
  QUIET_BIT,
  SIGN_BIT,
  isDenormal,
  isInfinity,
  isNaN80,
  isNormal,
  isUnsupported,
  isZero,
  normalExponent,
  normalSignificand,
  seAt,
  sigAt,
} from './f80.ts';

/**
 * Compares a with b: C3 C2 C0 = 000 a > b, 001 a < b, 100 equal, 111 unordered. Quiet NaNs raise IE unless `quiet`
 * (FUCOM). The condition codes are set whether or not the exceptions are masked.
 */
export function f80_compare(a: usize, b: usize, quiet: bool): u32 {
  const seA = seAt(a);
  const seB = seAt(b);
  const sigA = sigAt(a);
  const sigB = sigAt(b);
  if (isNormal(seA, sigA) & isNormal(seB, sigB)) return compareNormal(seA, sigA, seB, sigB);
  return compareWords(seA, sigA, seB, sigB, quiet);
}

/** Two normal numbers: sign and exponent words, equal in sign, are in the order of the magnitudes. */
@inline
function compareNormal(seA: u32, sigA: u64, seB: u32, sigB: u64): u32 {
  const negative = seA >> 15;
  const smaller = (<u32>(seA < seB)) | ((<u32>(seA == seB)) & (<u32>(sigA < sigB)));
  const equal = (<u32>(seA == seB)) & (<u32>(sigA == sigB));
  const less = (seA ^ seB) & SIGN_BIT ? negative : (smaller ^ negative) & (equal ^ 1);
  return (less * C0) | (equal * C3);
}

/** FTST: compares a with zero. */
export function f80_tst(a: usize): u32 {
  return compareWords(seAt(a), sigAt(a), 0, 0, false);
}

function compareWords(seA: u32, sigA: u64, seB: u32, sigB: u64, quiet: bool): u32 {
  if (isUnsupported(seA, sigA) || isUnsupported(seB, sigB)) return C3 | C2 | C0 | IE;
  const nanA = isNaN80(seA, sigA);
  const nanB = isNaN80(seB, sigB);
  if (nanA | nanB) {
    const signals = (nanA && !(sigA & QUIET_BIT)) || (nanB && !(sigB & QUIET_BIT));
    return C3 | C2 | C0 | (signals || !quiet ? IE : 0);
  }
  const flags = <bool>(isDenormal(seA, sigA) | isDenormal(seB, sigB)) ? DE : 0;
  const zeroA = isZero(seA, sigA);
  const zeroB = isZero(seB, sigB);
  if (zeroA & zeroB) return C3 | flags;
  const negativeA = seA >= SIGN_BIT;
  const negativeB = seB >= SIGN_BIT;
  if (zeroA) return flags | (negativeB ? 0 : C0);
  if (zeroB) return flags | (negativeA ? C0 : 0);
  if (negativeA != negativeB) return flags | (negativeA ? C0 : 0);
  const expA = normalExponent(seA, sigA);
  const expB = normalExponent(seB, sigB);
  const normA = normalSignificand(sigA);
  const normB = normalSignificand(sigB);
  if (expA == expB && normA == normB) return flags | C3;
  const smaller = expA != expB ? expA < expB : normA < normB;
  return flags | (smaller != negativeA ? C0 : 0);
}

/** FXAM for a register that is not empty: the class in C3 C2 C0, the sign in C1. */
export function f80_xam(a: usize): u32 {
  const se = seAt(a);
  const sig = sigAt(a);
  const sign = se & SIGN_BIT ? C1 : 0;
  if (isUnsupported(se, sig)) return sign;
  if (isNaN80(se, sig)) return sign | C0;
  if (isInfinity(se, sig)) return sign | C2 | C0;
  if (isZero(se, sig)) return sign | C3;
  return sign | (se & EXP_MASK ? C2 : C3 | C2);
}
