/**
 * 128-bit by 64-bit division for DIV and IDIV with 64-bit operands: no wasm operation does it. The quotient must fit
 * 64 bits; div128Overflow tells beforehand (SDM vol. 2, DIV: #DE).
 */

/** Quotient of (high, low) / divisor, by shift and subtract in two 32-bit digits (Knuth, TAOCP 4.3.1 D). */
function divideDigits(high: u64, low: u64, divisor: u64): u64 {
  if (high == 0) return low / divisor;
  const shift = clz<u64>(divisor);
  const d = divisor << shift;
  const n32 = shift ? (high << shift) | (low >> (64 - shift)) : high;
  const n10 = low << shift;
  const d1 = d >> 32;
  const d0 = d & 0xffffffff;
  const n1 = n10 >> 32;
  const n0 = n10 & 0xffffffff;
  let q1 = n32 / d1;
  let r = n32 - q1 * d1;
  while (q1 >> 32 || q1 * d0 > ((r << 32) | n1)) {
    q1--;
    r += d1;
    if (r >> 32) break;
  }
  const n21 = (n32 << 32) + n1 - q1 * d;
  let q0 = n21 / d1;
  r = n21 - q0 * d1;
  while (q0 >> 32 || q0 * d0 > ((r << 32) | n0)) {
    q0--;
    r += d1;
    if (r >> 32) break;
  }
  return (q1 << 32) + q0;
}

// @ts-ignore: decorator
@inline
function magnitude(value: u64): u64 {
  return <i64>value < 0 ? 0 - value : value;
}

/** High half of the magnitude of the signed (high, low). */
// @ts-ignore: decorator
@inline
function magnitudeHigh(high: u64, low: u64): u64 {
  if (<i64>high >= 0) return high;
  return ~high + (low == 0 ? 1 : 0);
}

// @ts-ignore: decorator
@inline
function magnitudeLow(high: u64, low: u64): u64 {
  return <i64>high < 0 ? 0 - low : low;
}

/** 1 when the division must raise #DE: divisor 0, or a quotient that does not fit. */
export function div128Overflow(cpu: usize, signed: i32, high: u64, low: u64, divisor: u64): i32 {
  if (divisor == 0) return 1;
  if (!signed) return high >= divisor ? 1 : 0;
  const h = magnitudeHigh(high, low);
  const l = magnitudeLow(high, low);
  const d = magnitude(divisor);
  if (h >= d) return 1;
  const quotient = divideDigits(h, l, d);
  const negative = <i64>(high ^ divisor) < 0;
  return quotient > (negative ? <u64>0x8000000000000000 : <u64>0x7fffffffffffffff) ? 1 : 0;
}

export function div128QuotientU(cpu: usize, high: u64, low: u64, divisor: u64): u64 {
  return divideDigits(high, low, divisor);
}

export function div128QuotientS(cpu: usize, high: u64, low: u64, divisor: u64): u64 {
  const quotient = divideDigits(magnitudeHigh(high, low), magnitudeLow(high, low), magnitude(divisor));
  return <i64>(high ^ divisor) < 0 ? 0 - quotient : quotient;
}
