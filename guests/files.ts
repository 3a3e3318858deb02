/** Writing the files of an image. */
import { renameSync, writeFileSync } from 'node:fs';

/** Writes a file by renaming: whoever reads the old one keeps it whole, and two builders do not mix theirs. */
export function replaceFile(file: string, data: Uint8Array | string): void {
  const fresh = `${file}.${process.pid}.new`;
  writeFileSync(fresh, data);
  renameSync(fresh, file);
}
