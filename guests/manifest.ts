/** What `images/manifest.json` says: the built part of the catalogue, as the page and the tests read it. */
import type { Architecture } from './schema.ts';

/** A built file; `file` is relative to the manifest. */
export interface ImageFile {
  readonly file: string;
  readonly sizeBytes: number;
  /** Hex. */
  readonly sha256: string;
}

/** A Debian package that parts of an image come from. */
export interface PackageSource {
  readonly name: string;
  readonly version: string;
  /** Short names as in the package's copyright file. */
  readonly licences: readonly string[];
  /** Where a copy of that file lies, relative to the manifest; undefined if the package has none. */
  readonly copyright: string | undefined;
}

/** A disk in compressed chunks (`src/storage/packed.ts`). */
export interface DiskImage {
  readonly index: ImageFile;
  /** As the guest sees it. */
  readonly sizeBytes: number;
  /** What all of its chunks take. */
  readonly packedBytes: number;
}

/** One bootable guest. */
export interface GuestImage {
  readonly id: string;
  readonly name: string;
  readonly description: string;
  readonly arch: Architecture;
  /** Not for the page's catalogue. */
  readonly hidden: boolean;
  readonly memoryMiB: number;
  readonly commandLine: string;
  readonly stockCommandLine: string;
  readonly kernel: ImageFile;
  readonly initrd: ImageFile;
  /** What its disks stand on; absent: it has none of its own. */
  readonly disk?: DiskImage | undefined;
  readonly packages: readonly PackageSource[];
  /** ISO 8601. */
  readonly built: string;
}

/** The whole file. */
export interface ImageManifest {
  readonly format: 1;
  readonly guests: readonly GuestImage[];
}
