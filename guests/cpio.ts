/**
 * Writes the initramfs archive format: cpio, SVR4 "newc" (cpio(5); Linux Documentation/driver-api/early-userspace/
 * buffer-format.rst). Owners are root and times are zero whoever runs it, device nodes are mere records: no privilege
 * is needed, and the same input yields the same bytes.
 *
 * @example
 * const archive = new CpioWriter();
 * archive.directory('dev');
 * archive.characterDevice('dev/console', 0o600, 5, 1);
 * archive.file('init', 0o755, script);
 * const bytes = archive.finish();
 */

const S_IFDIR = 0o040000;
const S_IFCHR = 0o020000;
const S_IFREG = 0o100000;
const S_IFLNK = 0o120000;

interface Entry {
  readonly mode: number;
  readonly data: Uint8Array;
  readonly major: number;
  readonly minor: number;
}

const NOTHING = new Uint8Array(0);
const TRAILER = 'TRAILER!!!';

/** Collects entries, then yields the archive. Parents of an entry are made by themselves; a path is given once. */
export class CpioWriter {
  readonly #entries = new Map<string, Entry>();

  /** Adds a directory. Adding one that exists does nothing. */
  directory(path: string, permissions = 0o755): void {
    const name = normalize(path);
    const present = this.#entries.get(name);
    if (present && (present.mode & S_IFDIR) === S_IFDIR) return;
    this.#add(name, { mode: S_IFDIR | permissions, data: NOTHING, major: 0, minor: 0 });
  }

  /** Adds a regular file. */
  file(path: string, permissions: number, data: Uint8Array): void {
    this.#add(normalize(path), { mode: S_IFREG | permissions, data, major: 0, minor: 0 });
  }

  /** Adds a symbolic link whose text is `target`. */
  symlink(path: string, target: string): void {
    this.#add(normalize(path), { mode: S_IFLNK | 0o777, data: new TextEncoder().encode(target), major: 0, minor: 0 });
  }

  /** Adds a character device node with Linux's device numbers (Documentation/admin-guide/devices.txt). */
  characterDevice(path: string, permissions: number, major: number, minor: number): void {
    this.#add(normalize(path), { mode: S_IFCHR | permissions, data: NOTHING, major, minor });
  }

  has(path: string): boolean {
    return this.#entries.has(normalize(path));
  }

  #add(name: string, entry: Entry): void {
    if (name === '' || name.split('/').includes('..')) throw new Error(`cpio: '${name}' is not a path in the archive`);
    if (this.#entries.has(name)) throw new Error(`cpio: /${name} is given twice`);
    const slash = name.lastIndexOf('/');
    if (slash > 0) {
      const parent = name.slice(0, slash);
      const present = this.#entries.get(parent);
      if (present && (present.mode & 0o170000) !== S_IFDIR) throw new Error(`cpio: /${parent} is not a directory`);
      if (!present) this.directory(parent);
    }
    this.#entries.set(name, entry);
  }

  /** The whole archive, uncompressed, padded to 512 bytes as cpio(1) does. */
  finish(): Uint8Array {
    const parts: Uint8Array[] = [];
    let inode = 1;
    let size = 0;
    const push = (part: Uint8Array) => {
      parts.push(part);
      size += part.length;
    };
    for (const [name, entry] of [...this.#entries, [TRAILER, undefined] as const]) {
      push(header(name, entry ? inode++ : 0, entry));
      push(padding(size, 4));
      if (!entry) continue;
      push(entry.data);
      push(padding(size, 4));
    }
    push(padding(size, 512));
    const archive = new Uint8Array(size);
    let offset = 0;
    for (const part of parts) {
      archive.set(part, offset);
      offset += part.length;
    }
    return archive;
  }
}

function header(name: string, inode: number, entry: Entry | undefined): Uint8Array {
  const nameBytes = new TextEncoder().encode(name + '\0');
  const isDirectory = entry !== undefined && (entry.mode & 0o170000) === S_IFDIR;
  const fields = [
    inode,
    entry?.mode ?? 0,
    0, // uid
    0, // gid
    isDirectory ? 2 : 1, // nlink
    0, // mtime
    entry?.data.length ?? 0,
    0, // device of the file system, major
    0, // and minor
    entry?.major ?? 0,
    entry?.minor ?? 0,
    nameBytes.length,
    0, // checksum, unused in this flavour
  ];
  const text = '070701' + fields.map((value) => value.toString(16).padStart(8, '0')).join('');
  const bytes = new Uint8Array(text.length + nameBytes.length);
  bytes.set(new TextEncoder().encode(text));
  bytes.set(nameBytes, text.length);
  return bytes;
}

function padding(size: number, alignment: number): Uint8Array {
  return new Uint8Array((alignment - (size % alignment)) % alignment);
}

function normalize(path: string): string {
  return path
    .split('/')
    .filter((part) => part !== '' && part !== '.')
    .join('/');
}
