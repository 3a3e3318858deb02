/**
 * The mode key: what decoded and compiled code depends on besides its bytes (`core/mode.ts` computes it). Code of one key
 * never runs under another.
 */
export const modeKey = {
  /** Two bits: 0 = 16-bit code, 1 = 32, 2 = 64. */
  code: 3,
  code16: 0,
  code32: 1,
  code64: 2,
  /** CPL is 3. */
  user: 4,
  /** SS has base 0, limit 4 GiB and B = 1; or 64-bit code. */
  stackFlat: 8,
  /** DS and ES have base 0 and limit 4 GiB and are writable; or 64-bit code. */
  dataFlat: 16,
  /** CS has base 0 and limit 4 GiB; or 64-bit code. */
  codeFlat: 32,
  /** Reserved: nested guest. */
  guest: 64,
  /** CPL is 3, and CR0.AM and EFLAGS.AC are set: accesses must be aligned. */
  alignmentCheck: 256,
  /** Protected mode but not virtual-8086: where instructions such as LLDT and VERR exist. */
  protectedMode: 128,
} as const;

/** Bits that a key has. */
export const modeKeyBits = 9;

/** Whether code of this key is 64-bit code. */
export function isLong(key: number): boolean {
  return (key & modeKey.code) === modeKey.code64;
}
