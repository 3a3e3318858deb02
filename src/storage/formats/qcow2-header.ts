/**
 * The header of a qcow2 image: what it says, and whether we can do with it.
 * Source: QEMU, docs/interop/qcow2.txt, "Header" and "Header extensions".
 */
import { checkSize } from '../block.ts';
import { StorageError } from '../errors.ts';
import { type ByteFile, corrupt } from './byte-file.ts';

export const qcow2Magic = 0x51_46_49_fb;
const headerBytes = 112;
/** Where fields lie that are written again. */
export const headerField = { refcountTable: 48, autoclear: 88 } as const;

/** Limits on what an image may make us hold in memory; they are QEMU's. */
const maxL1Bytes = 32 << 20;
const maxRefcountTableBytes = 8 << 20;
const maxBackingName = 1023;

const incompatible = { dirty: 1, corrupt: 2, externalData: 4, compressionType: 8 } as const;
const backingFormatExtension = 0xe2_79_2a_ca;

/** The file under an overlay, as the image names it. Whoever opens it decides whether it may. */
export interface BackingReference {
  readonly path: string;
  /** `raw`, `qcow2`, …; undefined: the image does not say. */
  readonly format: string | undefined;
}

export interface Qcow2Header {
  readonly version: 2 | 3;
  readonly clusterBits: number;
  readonly sizeBytes: number;
  readonly l1Entries: number;
  readonly l1Offset: number;
  readonly refcountTableOffset: number;
  readonly refcountTableClusters: number;
  readonly backing: BackingReference | undefined;
}

export function isQcow2(start: Uint8Array): boolean {
  return start.length >= 4 && new DataView(start.buffer, start.byteOffset).getUint32(0) === qcow2Magic;
}

function unsupported(what: string): StorageError {
  return new StorageError('io', `This qcow2 image ${what}: convert it with \`qemu-img convert -O qcow2\` first.`);
}

/** @throws StorageError `corrupt`, `badSize`; `io` for what is not supported */
export async function readHeader(file: ByteFile): Promise<Qcow2Header> {
  const bytes = await file.read(0, headerBytes);
  const view = new DataView(bytes.buffer);
  const u32 = (at: number): number => view.getUint32(at);
  const u64 = (at: number): number => Number(view.getBigUint64(at));
  if (!isQcow2(bytes)) throw corrupt('it does not begin with the magic number');
  const version = u32(4);
  if (version !== 2 && version !== 3) throw unsupported(`is of version ${version}, and 2 and 3 are known`);
  const clusterBits = u32(20);
  if (clusterBits < 9 || clusterBits > 21) throw corrupt(`clusters of 2^${clusterBits} bytes are not allowed`);
  if (u32(32) !== 0) throw unsupported('is encrypted');
  const features = version === 3 ? view.getBigUint64(72) : 0n;
  checkFeatures(features, file.writable);
  const compressed = BigInt(incompatible.compressionType);
  if ((features & compressed) !== 0n && bytes[104] !== 0) throw unsupported('has clusters compressed by zstd');
  const refcountBits = version === 3 ? 2 ** u32(96) : 16;
  if (file.writable && refcountBits !== 16) {
    throw unsupported(`counts references in ${refcountBits} bits, and it can be written only with 16`);
  }

  const header: Qcow2Header = {
    version,
    clusterBits,
    sizeBytes: u64(24),
    l1Entries: u32(36),
    l1Offset: u64(40),
    refcountTableOffset: u64(48),
    refcountTableClusters: u32(56),
    backing: await readBacking(file, u64(8), u32(16), version === 3 ? u32(100) : 72, 2 ** clusterBits),
  };
  checkSize(header.sizeBytes);
  checkTables(header, file.sizeBytes);
  return header;
}

function checkFeatures(features: bigint, writable: boolean): void {
  const has = (bit: number): boolean => (features & BigInt(bit)) !== 0n;
  if (has(incompatible.externalData)) throw unsupported('keeps its data in another file');
  const known = incompatible.dirty | incompatible.corrupt | incompatible.compressionType;
  if ((features & ~BigInt(known)) !== 0n) throw unsupported('has features that are not known here');
  if (writable && (has(incompatible.dirty) || has(incompatible.corrupt))) {
    throw new StorageError(
      'corrupt',
      'The qcow2 image was not closed well: run `qemu-img check -r all` on it, or open it read-only.',
    );
  }
}

function checkTables(header: Qcow2Header, fileBytes: number): void {
  const clusterBytes = 2 ** header.clusterBits;
  const within = (offset: number, length: number): boolean =>
    offset % clusterBytes === 0 && offset >= clusterBytes && offset + length <= fileBytes;
  const l1Bytes = header.l1Entries * 8;
  const needed = Math.ceil(header.sizeBytes / (clusterBytes * (clusterBytes / 8)));
  if (l1Bytes > maxL1Bytes || header.l1Entries < needed) {
    throw corrupt(`an L1 table of ${header.l1Entries} entries for a disk of ${header.sizeBytes} bytes`);
  }
  if (!within(header.l1Offset, l1Bytes)) throw corrupt('its L1 table lies outside of the file');
  const refcountBytes = header.refcountTableClusters * clusterBytes;
  if (refcountBytes === 0 || refcountBytes > maxRefcountTableBytes) {
    throw corrupt(`a refcount table of ${refcountBytes} bytes`);
  }
  if (!within(header.refcountTableOffset, refcountBytes)) throw corrupt('its refcount table lies outside of the file');
}

async function readBacking(
  file: ByteFile,
  offset: number,
  length: number,
  extensionsAt: number,
  clusterBytes: number,
): Promise<BackingReference | undefined> {
  if (offset === 0) return undefined;
  // Name and extensions belong into the first cluster.
  if (length === 0 || length > maxBackingName || offset + length > Math.min(file.sizeBytes, clusterBytes)) {
    throw corrupt('the name of its backing file lies outside of its header');
  }
  const text = new TextDecoder();
  const path = text.decode(await file.read(offset, length));
  let format: string | undefined;
  for (let at = extensionsAt; at + 8 <= offset;) {
    const { buffer } = await file.read(at, 8);
    const [kind, size] = [new DataView(buffer).getUint32(0), new DataView(buffer).getUint32(4)];
    if (kind === 0) break;
    if (at + 8 + size > offset) throw corrupt('an extension of its header is too long');
    if (kind === backingFormatExtension) format = text.decode(await file.read(at + 8, size));
    at += 8 + Math.ceil(size / 8) * 8;
  }
  return { path, format };
}
