import { describe, expect, it } from 'vitest';
import { parseOptions, UsageError } from './options.ts';

const parse = (text: string): ReturnType<typeof parseOptions> =>
  parseOptions(['-kernel', 'k', ...text.split(' ').filter(Boolean)]);

describe('command line of the headless machine', () => {
  it('has defaults', () => {
    expect(parse('')).toMatchObject({
      ramBytes: 256 * 2 ** 20,
      kernel: 'k',
      commandLine: '',
      serial: { kind: 'stdio' },
      noReboot: false,
      icount: undefined,
      debugExitPort: undefined,
    });
  });

  it('takes one dash or two, and values after a space or =', () => {
    expect(parse('--m 64M -initrd=i --timeout=5 --no-reboot')).toMatchObject({
      ramBytes: 64 * 2 ** 20,
      initrd: 'i',
      timeoutSeconds: 5,
      noReboot: true,
    });
    expect(parseOptions(['-kernel', 'k', '-append', 'a=b c']).commandLine).toBe('a=b c');
  });

  it('counts forms where there is a file for them', () => {
    expect(parse('--stats s.json --count-forms').countForms).toBe(true);
    expect(parse('').countForms).toBe(false);
    expect(() => parse('--count-forms')).toThrow(/--stats/);
  });

  it('takes addresses of regions', () => {
    expect(parse('').dumpRegions).toEqual([]);
    expect(parse('--dump-region c1000010 --dump-region 0xffffffff81000000').dumpRegions).toEqual([
      0xc1000010n,
      0xffffffff81000000n,
    ]);
    expect(() => parse('--dump-region main')).toThrow(/hexadecimal/);
  });

  it('knows sizes as QEMU does', () => {
    expect(parse('-m 128').ramBytes).toBe(128 * 2 ** 20);
    expect(parse('-m 1G').ramBytes).toBe(2 ** 30);
    expect(parse('-m size=4096k').ramBytes).toBe(2 ** 22);
    expect(() => parse('-m lots')).toThrow(/256M/);
  });

  it('takes -icount with and without a value', () => {
    expect(parse('-icount').icount).toEqual({ shift: undefined });
    expect(parse('-icount -nographic').icount).toEqual({ shift: undefined });
    expect(parse('-icount 3').icount).toEqual({ shift: 3 });
    expect(parse('-icount shift=1,sleep=off').icount).toEqual({ shift: 1 });
    expect(() => parse('-icount shift=auto')).toThrow(UsageError);
  });

  it('knows isa-debug-exit', () => {
    expect(parse('-device isa-debug-exit,iobase=0xf4,iosize=0x4').debugExitPort).toBe(0xf4);
    expect(parse('-device isa-debug-exit').debugExitPort).toBe(0x501);
    expect(() => parse('-device e1000')).toThrow(/there are isa-debug-exit and/);
    expect(() => parse('-device isa-debug-exit,iobase=x')).toThrow(UsageError);
  });

  it('knows the balloon, with what QEMU leaves off turned off, and what it is to ask for', () => {
    expect(parse('').balloon).toBeUndefined();
    expect(parse('-device virtio-balloon-pci').balloon).toEqual({ deflateOnOom: false, freePageReporting: false });
    const all = '-device virtio-balloon-pci,deflate-on-oom=on,free-page-reporting=on --balloon 64M';
    expect(parse(all)).toMatchObject({ balloon: { deflateOnOom: true, freePageReporting: true }, balloonMiB: 64 });
    expect(() => parse('-device virtio-balloon-pci,free-page-hint=on')).toThrow(/there are deflate-on-oom/);
    expect(() => parse('--balloon 64M')).toThrow(/needs the device/);
    expect(() => parse('-device virtio-balloon-pci -m 64 --balloon 64M')).toThrow(/only 64 MiB/);
  });

  it('knows disks', () => {
    expect(parse('').disks).toEqual([]);
    expect(parse('--disk a.img --disk b,c.img,ro --disk base.img,snapshot').disks).toEqual([
      { path: 'a.img', access: 'write' },
      { path: 'b,c.img', access: 'read' },
      { path: 'base.img', access: 'overlay' },
    ]);
  });

  it('knows serial targets', () => {
    expect(parse('-serial mon:stdio').serial).toEqual({ kind: 'stdio' });
    expect(parse('-serial file:log').serial).toEqual({ kind: 'file', path: 'log' });
    expect(() => parse('-serial tcp::1')).toThrow(UsageError);
  });

  it('refuses what it cannot do, and says why', () => {
    expect(() => parse('-smp 2')).toThrow(/one processor/);
    expect(() => parse('-cpu host')).toThrow(/tabvisor-v2/);
    expect(() => parse('--tier fast')).toThrow(/interpreter, auto, jit/);
    expect(() => parse('--disk a --disk b --disk c --disk d --disk e')).toThrow(/4 disks at most/);
    expect(() => parse('-hda disk')).toThrow(/--disk FILE/);
    expect(() => parse('-display gtk')).toThrow(/none/);
    expect(() => parse('--frobnicate')).toThrow(/unknown option --frobnicate/);
    expect(() => parse('stray')).toThrow(/unexpected argument/);
    expect(() => parse('--until (')).toThrow(UsageError);
    expect(() => parse('--timeout')).toThrow(/needs a value/);
    expect(() => parseOptions([])).toThrow(/-kernel/);
  });

  it('accepts the absence of what it does not have', () => {
    expect(() => parse('-nographic -display none -monitor none -nodefaults -smp cpus=1 -cpu max')).not.toThrow();
  });
});

describe('a guest of the catalogue', () => {
  const entry = {
    kernelUrl: 'file:///images/box/vmlinuz',
    initrdUrl: 'file:///images/box/initrd.gz',
    commandLine: 'root=/dev/vda',
    memoryMiB: 512,
    disk: { url: 'file:///images/box/disk/1.json', sha256: 'ab', sizeBytes: 1 << 20 },
  };
  const parse = (...args: string[]) =>
    parseOptions(args, (id) => {
      if (id === 'box') return entry;
      if (id === 'plain') return { ...entry, disk: undefined as never };
      throw new Error(`The catalogue has no guest "${id}".`);
    });

  it('brings what it boots, and its disk', () => {
    expect(parse('--guest', 'box')).toMatchObject({
      kernel: '/images/box/vmlinuz',
      initrd: '/images/box/initrd.gz',
      commandLine: 'root=/dev/vda',
      ramBytes: 512 << 20,
      guestDisk: { url: entry.disk.url, sha256: 'ab', keptIn: undefined },
    });
  });

  it('may be told otherwise', () => {
    const options = parse('--guest', 'box', '-m', '1G', '-append', 'x', '--guest-disk', 'kept.img');
    expect(options).toMatchObject({ ramBytes: 2 ** 30, commandLine: 'x', guestDisk: { keptIn: 'kept.img' } });
  });

  it('is refused in words where it makes no sense', () => {
    expect(() => parse('--guest', 'other')).toThrow(/no guest "other"/);
    expect(() => parse('--guest', 'plain', '--guest-disk', 'f')).toThrow(/no disk of its own/);
    expect(() => parse('-kernel', 'k', '--guest-disk', 'f')).toThrow(/--guest ID/);
    const four = ['a', 'b', 'c', 'd'].flatMap((file) => ['--disk', file]);
    expect(() => parse('--guest', 'box', ...four)).toThrow(/3 at most/);
  });
});
