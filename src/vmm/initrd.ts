/**
 * Looks whether an initial RAM disk is whole, before a guest boots it: a kernel that gets half of one panics a minute
 * later, with a message that nobody connects with a broken download. What the page cannot read (xz, zstd, lz4, and
 * whatever follows the first archive) it lets pass.
 */
import { messageOf } from './errors.ts';

/** The problem as the end of a sentence that starts with "The initrd …", or undefined if none was seen. */
export async function initrdProblem(bytes: ArrayBufferLike): Promise<string | undefined> {
  const head = new Uint8Array(bytes, 0, Math.min(6, bytes.byteLength));
  if (head[0] === 0x1f && head[1] === 0x8b) return gzipProblem(bytes);
  if (/^07070[12]$/.test(String.fromCharCode(...head))) return cpioProblem(new Uint8Array(bytes));
  return undefined;
}

/** What decompressors say of bytes after the end, which the kernel permits (padding, further archives). */
const afterTheEnd = /junk|trailing|after (the )?end/i;

async function gzipProblem(bytes: ArrayBufferLike): Promise<string | undefined> {
  try {
    const stream = new Blob([new Uint8Array(bytes).slice()]).stream().pipeThrough(new DecompressionStream('gzip'));
    await stream.pipeTo(new WritableStream());
    return undefined;
  } catch (error) {
    const message = messageOf(error);
    if (afterTheEnd.test(message)) return undefined;
    return `is truncated or damaged: its gzip data cannot be read to the end (${message}).`;
  }
}

/** Offsets within the header of the `newc` format (Linux, initramfs-buffer-format): 8 hexadecimal digits each. */
const cpio = { headerBytes: 110, fileSize: 54, nameSize: 94 } as const;

function cpioProblem(bytes: Uint8Array): string | undefined {
  const text = (from: number, length: number) => String.fromCharCode(...bytes.subarray(from, from + length));
  for (let at = 0; at + cpio.headerBytes <= bytes.length;) {
    if (!text(at, 6).startsWith('07070')) return `is damaged: there is no archive header at byte ${at}.`;
    const nameSize = Number.parseInt(text(at + cpio.nameSize, 8), 16);
    const fileSize = Number.parseInt(text(at + cpio.fileSize, 8), 16);
    if (Number.isNaN(nameSize) || Number.isNaN(fileSize)) return `is damaged: the header at byte ${at} is unreadable.`;
    if (text(at + cpio.headerBytes, nameSize - 1) === 'TRAILER!!!') return undefined;
    const align = (value: number) => Math.ceil(value / 4) * 4;
    at = align(align(at + cpio.headerBytes + nameSize) + fileSize);
  }
  return 'is truncated: its archive ends in the middle.';
}
