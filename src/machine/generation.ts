/**
 * The generation of a virtual machine (Microsoft, "Virtual Machine Generation ID", 2012): 128 bits that change when the
 * machine becomes a copy of another one, so that its system knows that what it had kept to itself is no secret any more.
 */

/** A number of 64 bits that looks random and differs where `seed` does (Steele, Lea, Flood: SplitMix64). */
function splitMix(seed: bigint): bigint {
  const word = (value: bigint): bigint => BigInt.asUintN(64, value);
  let z = word(seed + 0x9e3779b97f4a7c15n);
  z = word((z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n);
  z = word((z ^ (z >> 27n)) * 0x94d049bb133111ebn);
  return z ^ (z >> 31n);
}

/** The 16 bytes for a machine of this seed; under the virtual clock they are the same in all runs. */
export function generationId(seed: bigint): Uint8Array {
  // Not what random numbers are made from: the guest can read them.
  const words = [splitMix(seed ^ 0x67656e65726174n), splitMix(seed + 0x696f6e20696400n)];
  return new Uint8Array(new BigUint64Array(words).buffer);
}
