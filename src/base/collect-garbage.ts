/** What is allocated, and in how many pieces: together more than V8 lets grow outside of its heap before it collects. */
const pieces = 16;
const pieceBytes = 32 * 2 ** 20;

/**
 * Makes the engine collect this thread's garbage, for memory that lies outside of its heap and that it does not feel: a
 * dropped WebAssembly memory otherwise stays until an idle thread has another reason to collect, which may be never.
 * Browsers have no call for that; but buffers that are never touched, and so cost nothing, count as such memory.
 * Returns their size.
 */
export function provokeGarbageCollection(): number {
  const held = Array.from({ length: pieces }, () => new ArrayBuffer(pieceBytes));
  return held.reduce((sum, { byteLength }) => sum + byteLength, 0);
}
