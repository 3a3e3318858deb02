/**
 * Kernels and initial RAM disks in shared memory. An executor needs them for as long as its guest lives, to boot it anew
 * after a reset; guests that boot the same bytes have them in common.
 */
export class SharedImages {
  /** Whoever uses an image keeps it alive. */
  readonly #images = new Set<WeakRef<SharedArrayBuffer>>();

  /** The bytes of these chunks, one after the other: a living image that is the same, or a new one. */
  share(chunks: readonly Uint8Array[]): SharedArrayBuffer {
    for (const reference of this.#images) {
      const image = reference.deref();
      if (image === undefined) this.#images.delete(reference);
      else if (consistsOf(new Uint8Array(image), chunks)) return image;
    }
    const image = new SharedArrayBuffer(length(chunks));
    const bytes = new Uint8Array(image);
    let at = 0;
    for (const chunk of chunks) {
      bytes.set(chunk, at);
      at += chunk.length;
    }
    this.#images.add(new WeakRef(image));
    return image;
  }
}

function length(chunks: readonly Uint8Array[]): number {
  return chunks.reduce((sum, chunk) => sum + chunk.length, 0);
}

function consistsOf(image: Uint8Array, chunks: readonly Uint8Array[]): boolean {
  if (image.length !== length(chunks)) return false;
  let at = 0;
  for (const chunk of chunks) {
    for (let i = 0; i < chunk.length; i++) if (image[at + i] !== chunk[i]) return false;
    at += chunk.length;
  }
  return true;
}
