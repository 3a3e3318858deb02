/** Reads Debian copyright files (Debian Policy 12.5; "Machine-readable debian/copyright file" 1.0). */

/** The short names of the licences that a copyright file speaks of, sorted, each once. */
export function licencesOf(copyright: string): string[] {
  const names = new Set<string>();
  if (/^Format:/m.test(copyright)) {
    for (const match of copyright.matchAll(/^License: *(.+)$/gm)) {
      for (const name of match[1]!.split(/,? +(?:or|and) +|, */)) names.add(name.trim());
    }
  } else {
    // Free text: it points at the common licences, which every Debian system has as files.
    for (const match of copyright.matchAll(/\/usr\/share\/common-licenses\/([A-Za-z0-9.+-]*[A-Za-z0-9])/g)) {
      names.add(match[1]!);
    }
  }
  names.delete('');
  return [...names].sort();
}
