/** What the builder knows of busybox: the names that one binary answers to. */

/** The applet table begins so in every build that has `[` and `[[`, as the names are sorted and NUL-terminated. */
const TABLE_START = Buffer.from('\0[\0[[\0', 'latin1');

/**
 * The applet names of a busybox binary, read from its name table (`applet_names` in busybox's include/applet_tables.h).
 * The binary is not run: it may be for another architecture than the host's.
 * @throws Error if the table is not where it is expected.
 */
export function appletNames(binary: Uint8Array): string[] {
  const bytes = Buffer.from(binary.buffer, binary.byteOffset, binary.byteLength);
  const start = bytes.indexOf(TABLE_START);
  const names: string[] = [];
  if (start >= 0) {
    for (let at = start + 1; ;) {
      const end = bytes.indexOf(0, at);
      const name = bytes.toString('latin1', at, end);
      // The table ends with an empty name; what follows belongs to something else.
      if (end < 0 || !/^[a-z0-9_.+[-]+$/.test(name) || (names.length > 0 && name <= names[names.length - 1]!)) break;
      names.push(name);
      at = end + 1;
    }
  }
  if (!names.includes('sh') || !names.includes('mount')) {
    throw new Error('the busybox binary has no list of applets that this builder understands');
  }
  return names;
}
