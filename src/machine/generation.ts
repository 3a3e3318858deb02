/**
 * The generation of a virtual machine (Microsoft, "Virtual Machine Generation ID", 2012): 128 bits that change when the
 * machine becomes a copy of another one, so that its system knows that what it had kept to itself is no secret any more.
 */

export const generationBytes = 16;

/** A number of 64 bits that looks random and differs where `seed` does (Steele, Lea, Flood: SplitMix64). No secret in it is safe. */
function splitMix(seed: bigint): bigint {
  const word = (value: bigint): bigint => BigInt.asUintN(64, value);
  let z = word(seed + 0x9e3779b97f4a7c15n);
  z = word((z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n);
  z = word((z ^ (z >> 27n)) * 0x94d049bb133111ebn);
  return z ^ (z >> 31n);
}

/**
 * The generation that follows one (of all zeros: the first).
 *
 * @param drawn at random for this alone, since the guest can read what comes of it; the same in all runs that are to repeat
 * @param copies tells copies of one machine from one another
 */
export function nextGeneration(before: Uint8Array, drawn: bigint, copies: number): Uint8Array {
  const words = new BigUint64Array(before.slice().buffer);
  return new Uint8Array(words.map((word, n) => splitMix(word ^ splitMix(drawn + BigInt(2 * copies + n)))).buffer);
}
