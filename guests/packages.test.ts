import { describe, expect, it } from 'vitest';
import { mirrorSource, parseRecords, suiteOf } from './apt.ts';
import { appletNames } from './busybox.ts';
import { licencesOf } from './licences.ts';

describe('what apt says', () => {
  it('is read stanza by stanza', () => {
    const text = `Package: linux-image-686
Version: 6.1.176-1
Provides: wireguard-modules (= 1.0.0)
Depends: linux-image-6.1.0-50-686 (= 6.1.176-1), kmod | module-init-tools, libc6:any
Description: Linux for older PCs
 Depends: on nothing, this line is a continuation
SHA256: e6e6

Package: linux-image-686
Version: 6.1.170-1
`;
    expect(parseRecords(text)).toEqual([
      {
        name: 'linux-image-686',
        version: '6.1.176-1',
        depends: ['linux-image-6.1.0-50-686', 'kmod', 'libc6'],
        sha256: 'e6e6',
      },
      { name: 'linux-image-686', version: '6.1.170-1', depends: [], sha256: '' },
    ]);
  });
});

describe('a mirror in place of the sources', () => {
  it('has the suite of a Debian host', () => {
    expect(suiteOf('PRETTY_NAME="Debian"\nVERSION_CODENAME=bookworm\nID=debian\n')).toBe('bookworm');
  });

  it('has stable for derivatives and for hosts that say nothing', () => {
    expect(suiteOf('ID=ubuntu\nVERSION_CODENAME=noble\nID_LIKE=debian\n')).toBe('stable');
    expect(suiteOf('')).toBe('stable');
  });

  it('is verified by the archive keys where they are', () => {
    const options = { mirror: 'http://mirror.example/debian/', osRelease: '', keyring: '/keys.gpg' };
    expect(mirrorSource(options)).toBe('deb [signed-by=/keys.gpg] http://mirror.example/debian stable main\n');
    expect(mirrorSource({ ...options, keyring: undefined })).toBe('deb http://mirror.example/debian stable main\n');
  });
});

describe('licencesOf', () => {
  it('takes the short names of a machine-readable file', () => {
    const text = `Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Files: *
License: GPL-2

Files: a
License: GPL-2 or BSD-2-clause
 the text of it: License: no
`;
    expect(licencesOf(text)).toEqual(['BSD-2-clause', 'GPL-2']);
  });

  it('takes the common licences that free text points at', () => {
    expect(licencesOf("can be found in `/usr/share/common-licenses/GPL-2'.")).toEqual(['GPL-2']);
    expect(licencesOf('see /usr/share/common-licenses/LGPL-2.1.')).toEqual(['LGPL-2.1']);
  });
});

describe('appletNames', () => {
  const binary = (names: readonly string[]) => Buffer.from(`\x7fELF\0text\0${names.join('\0')}\0\0more\0`, 'latin1');

  it('reads the table up to its end', () => {
    expect(appletNames(binary(['[', '[[', 'ash', 'mount', 'sh']))).toEqual(['[', '[[', 'ash', 'mount', 'sh']);
  });

  it('says so when there is no table', () => {
    expect(() => appletNames(Buffer.from('\x7fELF'))).toThrow('no list of applets');
  });
});
