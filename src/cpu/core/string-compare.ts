/** PCMPESTRI and its kin: SDM vol. 2B §4.1. */

/** Operations of the immediate's bits 2 and 3. */
// @ts-ignore: decorator
@inline const EQUAL_ANY: u32 = 0;
// @ts-ignore: decorator
@inline const RANGES: u32 = 1;
// @ts-ignore: decorator
@inline const EQUAL_EACH: u32 = 2;

/**
 * x is the first operand, y the second; bit 8 of the immediate: strings end at a zero and the lengths don't matter.
 * Returns IntRes2 in bits 0 to 15, bit 16: y has an end (ZF), bit 17: x has (SF).
 */
export function sseStringCompare(cpu: usize, immediate: u32, x: usize, y: usize, lengthX: i64, lengthY: i64): u32 {
  switch (immediate & 3) {
    case 0:
      return compare<u8>(immediate, x, y, lengthX, lengthY);
    case 1:
      return compare<u16>(immediate, x, y, lengthX, lengthY);
    case 2:
      return compare<i8>(immediate, x, y, lengthX, lengthY);
    default:
      return compare<i16>(immediate, x, y, lengthX, lengthY);
  }
}

/** Elements of a register, and a bit for each. */
// @ts-ignore: decorator
@inline
function countOf<T>(): u32 {
  return 16 / sizeof<T>();
}

// @ts-ignore: decorator
@inline
function below(size: u32): u32 {
  return (1 << size) - 1;
}

function compare<T>(immediate: u32, x: usize, y: usize, lengthX: i64, lengthY: i64): u32 {
  const count = countOf<T>();
  const implicit = (immediate & 0x100) != 0;
  const sizeX = implicit ? lengthToZero<T>(x) : explicitLength<T>(lengthX);
  const sizeY = implicit ? lengthToZero<T>(y) : explicitLength<T>(lengthY);
  let result = aggregate<T>((immediate >> 2) & 3, x, v128.load(y), sizeX, sizeY);
  const polarity = (immediate >> 4) & 3;
  if (polarity == 1) result ^= below(count);
  else if (polarity == 3) result ^= below(sizeY);
  return result | ((<u32>(sizeY < count)) << 16) | ((<u32>(sizeX < count)) << 17);
}

/** Elements before the first zero. */
function lengthToZero<T>(at: usize): u32 {
  const zeros = v128.bitmask<T>(v128.eq<T>(v128.load(at), v128.splat<T>(<T>0)));
  return ctz<u32>(zeros | (1 << countOf<T>()));
}

/** The magnitude, at most all. */
function explicitLength<T>(length: i64): u32 {
  const size: u64 = length < 0 ? 0 - <u64>length : length;
  return size > countOf<T>() ? countOf<T>() : <u32>size;
}

/** IntRes1. */
function aggregate<T>(operation: u32, x: usize, y: v128, sizeX: u32, sizeY: u32): u32 {
  const inX = below(sizeX);
  const inY = below(sizeY);
  const all = below(countOf<T>());
  if (operation == EQUAL_EACH) {
    // Two ended strings are equal beyond their ends.
    const equal: u32 = v128.bitmask<T>(v128.eq<T>(v128.load(x), y));
    return (equal & inX & inY) | (all & ~inX & ~inY);
  }
  if (operation == EQUAL_ANY) {
    let equal = i64x2.splat(0);
    for (let i: u32 = 0; i < sizeX; i++) equal = v128.or(equal, v128.eq<T>(v128.splat<T>(at<T>(x, i)), y));
    return v128.bitmask<T>(equal) & inY;
  }
  if (operation == RANGES) {
    // Pairs of lowest and highest.
    let within = i64x2.splat(0);
    for (let i: u32 = 0; i + 1 < sizeX; i += 2) {
      const low = v128.ge<T>(y, v128.splat<T>(at<T>(x, i)));
      within = v128.or(within, v128.and(low, v128.le<T>(y, v128.splat<T>(at<T>(x, i + 1)))));
    }
    return v128.bitmask<T>(within) & inY;
  }
  // Equal ordered: x occurs in y there; what lies beyond the end of the register counts as equal.
  let result = all;
  for (let i: u32 = 0; i < sizeX; i++) {
    const equal: u32 = v128.bitmask<T>(v128.eq<T>(v128.splat<T>(at<T>(x, i)), y));
    result &= ((equal & inY) >> i) | ~(all >> i);
  }
  return result;
}

// @ts-ignore: decorator
@inline
function at<T>(string: usize, n: u32): T {
  return load<T>(string + <usize>n * sizeof<T>());
}
