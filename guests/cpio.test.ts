import { describe, expect, it } from 'vitest';
import { CpioWriter } from './cpio.ts';

interface Member {
  name: string;
  mode: number;
  device: [number, number];
  data: string;
}

/** An independent reader of the format, by cpio(5): fixed fields of eight hex digits after the magic number. */
function readArchive(archive: Uint8Array): Member[] {
  const bytes = Buffer.from(archive);
  const aligned = (offset: number) => (offset + 3) & ~3;
  const members: Member[] = [];
  for (let at = 0; ;) {
    expect(bytes.toString('latin1', at, at + 6)).toBe('070701');
    const field = (index: number) =>
      Number.parseInt(bytes.toString('latin1', at + 6 + index * 8, at + 14 + index * 8), 16);
    const name = bytes.toString('utf8', at + 110, at + 110 + field(11) - 1);
    if (name === 'TRAILER!!!') return members;
    const start = aligned(at + 110 + field(11));
    members.push({
      name,
      mode: field(1),
      device: [field(9), field(10)],
      data: bytes.toString('utf8', start, start + field(6)),
    });
    at = aligned(start + field(6));
  }
}

describe('CpioWriter', () => {
  it('writes files, links, directories and devices that an independent reader finds again', () => {
    const writer = new CpioWriter();
    writer.directory('tmp', 0o1777);
    writer.characterDevice('dev/console', 0o600, 5, 1);
    writer.file('/init', 0o755, Buffer.from('#!/bin/sh\n'));
    writer.symlink('bin/sh', 'busybox');
    const archive = writer.finish();
    expect(archive.length % 512).toBe(0);
    expect(readArchive(archive)).toEqual([
      { name: 'tmp', mode: 0o041777, device: [0, 0], data: '' },
      { name: 'dev', mode: 0o040755, device: [0, 0], data: '' },
      { name: 'dev/console', mode: 0o020600, device: [5, 1], data: '' },
      { name: 'init', mode: 0o100755, device: [0, 0], data: '#!/bin/sh\n' },
      { name: 'bin', mode: 0o040755, device: [0, 0], data: '' },
      { name: 'bin/sh', mode: 0o120777, device: [0, 0], data: 'busybox' },
    ]);
  });

  it('keeps every length of name and data aligned', () => {
    const writer = new CpioWriter();
    const names = Array.from({ length: 9 }, (_, index) => 'n'.repeat(index + 1));
    for (const name of names) writer.file(name, 0o644, Buffer.from('d'.repeat(name.length - 1)));
    expect(readArchive(writer.finish()).map((member) => [member.name, member.data.length])).toEqual(
      names.map((name) => [name, name.length - 1]),
    );
  });

  it('refuses what an unpacker would do something surprising with', () => {
    const writer = new CpioWriter();
    writer.file('a', 0o644, new Uint8Array(0));
    expect(() => writer.file('/a', 0o644, new Uint8Array(0))).toThrow('/a is given twice');
    expect(() => writer.symlink('a', 'b')).toThrow('/a is given twice');
    expect(() => writer.file('a/b', 0o644, new Uint8Array(0))).toThrow('/a is not a directory');
    expect(() => writer.file('x/../../b', 0o644, new Uint8Array(0))).toThrow('not a path in the archive');
  });
});
