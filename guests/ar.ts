/** Writes the archives that .deb files are (ar(5), deb(5)). */

export const arMagic: Uint8Array = Buffer.from('!<arch>\n', 'latin1');

/** One file of an archive, with its header. */
export function arMember(name: string, data: Uint8Array): Uint8Array {
  const field = (text: string, width: number): string => text.padEnd(width);
  const header =
    field(name, 16) + field('0', 12) + field('0', 6) + field('0', 6) + field('100644', 8) + field(`${data.length}`, 10);
  const end = data.length % 2 === 0 ? '' : '\n';
  return Buffer.concat([Buffer.from(`${header}\`\n`, 'latin1'), data, Buffer.from(end, 'latin1')]);
}
