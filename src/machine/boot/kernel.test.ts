import { describe, expect, it } from 'vitest';
import { testMachine } from '../testing.ts';
import { bootKernel } from './kernel.ts';

/** A bzImage of one setup sector and `code` bytes of protected-mode code. */
function bzImage(options: { xload?: number; code?: number; initSize?: number; preferred?: number } = {}) {
  const code = options.code ?? 4096;
  const bytes = new Uint8Array(1024 + code);
  const view = new DataView(bytes.buffer);
  view.setUint8(0x1f1, 1);
  view.setUint32(0x1f4, code / 16, true);
  view.setUint16(0x1fe, 0xaa55, true);
  view.setUint16(0x200, 0x6aeb, true); // jump over the header: it ends at 26Ch
  view.setUint32(0x202, 0x53726448, true);
  view.setUint16(0x206, 0x020f, true);
  view.setUint8(0x211, 1);
  view.setUint32(0x22c, 0x7fffffff, true);
  view.setUint32(0x230, 0x200000, true);
  view.setUint8(0x234, 1);
  view.setUint16(0x236, options.xload ?? 0, true);
  view.setUint32(0x238, 2047, true);
  view.setBigUint64(0x258, BigInt(options.preferred ?? 0x1000000), true);
  view.setUint32(0x260, options.initSize ?? 0x200000, true);
  bytes.fill(0x90, 1024);
  return bytes;
}

describe('Linux boot protocol', () => {
  it('enters a 64-bit kernel in long mode with everything in boot_params', () => {
    const { pc } = testMachine();
    const initrd = new Uint8Array(5000).fill(7);
    expect(bootKernel(pc, { kernel: bzImage({ xload: 1 }), initrd, commandLine: 'console=ttyS0' }).bits).toBe(64);
    const v = pc.vcpu;
    expect([v.rip, v.gpr[6], v.efer, v.cr4]).toEqual([0x1000200n, 0x2000n, 0x500n, 0x20n]);
    expect(v.cr0 & 0x80000001n).toBe(0x80000001n);
    expect([v.segAttributes[1], v.segSelector[1], v.segSelector[3]]).toEqual([0xa9b, 0x10, 0x18]);
    const params = new DataView(pc.dma.read(0x2000, 4096).buffer);
    expect(params.getUint32(0x202, true)).toBe(0x53726448);
    expect(params.getUint8(0x210)).toBe(0xff);
    expect(params.getBigUint64(0x70, true)).toBe(0xe0000n);
    const ramdisk = params.getUint32(0x218, true);
    expect([ramdisk, params.getUint32(0x21c, true)]).toEqual([(32 << 20) - 8192, 5000]);
    expect([...pc.dma.read(ramdisk, 2)]).toEqual([7, 7]);
    expect(new TextDecoder().decode(pc.dma.read(params.getUint32(0x228, true), 14))).toBe('console=ttyS0\0');
    expect(params.getUint8(0x1e8)).toBe(4);
    const seed = new DataView(pc.dma.read(Number(params.getBigUint64(0x250, true)), 48).buffer);
    expect([seed.getUint32(8, true), seed.getUint32(12, true)]).toEqual([9, 32]);
    expect([...pc.dma.read(0x1000200, 2)]).toEqual([0x90, 0x90]);
    // PML4 → PDPT → directory → 2 MiB pages.
    const cr3 = Number(v.cr3);
    const entry = (gpa: number) => new DataView(pc.dma.read(gpa, 8).buffer).getBigUint64(0, true);
    const directory = Number(entry(Number(entry(cr3)) - 3)) - 3;
    expect(entry(directory + 8)).toBe(0x200083n);
  });

  it('enters a 32-bit kernel in flat protected mode', () => {
    const { pc } = testMachine();
    expect(bootKernel(pc, { kernel: bzImage(), commandLine: '' }).bits).toBe(32);
    const v = pc.vcpu;
    expect([v.rip, v.cr0, v.efer, v.segAttributes[1], v.segLimit[1]]).toEqual([
      0x1000000n,
      0x11n,
      0n,
      0xc9b,
      0xffffffff,
    ]);
  });

  it('is the same for the same seed', () => {
    const seedOf = (seed: bigint) => {
      const { pc } = testMachine({ seed });
      bootKernel(pc, { kernel: bzImage(), commandLine: '' });
      return [...pc.dma.read(0x20010, 32)].join();
    };
    expect(seedOf(5n)).toBe(seedOf(5n));
    expect(seedOf(5n)).not.toBe(seedOf(6n));
  });

  it('says what is wrong with an image', () => {
    const { pc } = testMachine();
    const boot =
      (kernel: Uint8Array, initrd?: Uint8Array, commandLine = '') =>
      () =>
        bootKernel(pc, { kernel, initrd, commandLine });
    expect(boot(new Uint8Array(0))).toThrow('the kernel file is empty');
    expect(boot(new TextEncoder().encode('<!doctype html>'))).toThrow('this is no kernel');
    expect(boot(new Uint8Array(2000))).toThrow('this is no kernel');
    expect(boot(bzImage().subarray(0, 3000))).toThrow(
      'the kernel is truncated: its header announces 5120 bytes, the file has 3000',
    );
    expect(boot(bzImage(), new Uint8Array(20 << 20))).toThrow(
      /the initrd \(20.0 MiB\) does not fit .* at least 39 MiB/,
    );
    expect(boot(bzImage({ initSize: 64 << 20 }))).toThrow(
      'the kernel needs 80 MiB of memory to start, the guest has 32',
    );
    expect(boot(bzImage(), undefined, 'x'.repeat(3000))).toThrow(
      'the command line has 3000 bytes; this kernel takes 2047',
    );
  });
});

/** A multiboot image with load addresses: header at 0, code behind it. */
function multiboot(flags = 0x10003) {
  const bytes = new Uint8Array(64);
  const view = new DataView(bytes.buffer);
  [0x1badb002, flags, -(0x1badb002 + flags), 0x100000, 0x100000, 0, 0x100100, 0x100020].forEach((value, i) => {
    view.setUint32(4 * i, value, true);
  });
  bytes[0x20] = 0xf4;
  return bytes;
}

describe('multiboot', () => {
  it('enters with magic and information', () => {
    const { pc } = testMachine();
    const report = bootKernel(pc, { kernel: multiboot(), initrd: new Uint8Array(10), commandLine: 'hello' });
    expect(report.kind).toBe('multiboot');
    expect([pc.vcpu.rip, pc.vcpu.gpr[0]]).toEqual([0x100020n, 0x2badb002n]);
    const info = new DataView(pc.dma.read(Number(pc.vcpu.gpr[3]), 120).buffer);
    expect(info.getUint32(0, true)).toBe(0x24d);
    expect([info.getUint32(4, true), info.getUint32(8, true)]).toEqual([639, 31 * 1024]);
    expect(info.getUint32(20, true)).toBe(1);
    const map = new DataView(pc.dma.read(info.getUint32(48, true), 24).buffer);
    expect([map.getUint32(0, true), map.getBigUint64(12, true), map.getUint32(20, true)]).toEqual([20, 0x9fc00n, 1]);
    expect([...pc.dma.read(0x100020, 1)]).toEqual([0xf4]);
  });

  it('refuses what it does not understand', () => {
    const { pc } = testMachine();
    expect(() => bootKernel(pc, { kernel: multiboot(0x10008), commandLine: '' })).toThrow('features');
  });
});

/** An ELF file with one segment, and a PVH note if wanted. */
function elf(bits: 32 | 64, options: { machine?: number; physical?: number; pvh?: boolean } = {}) {
  const bytes = new Uint8Array(512);
  const view = new DataView(bytes.buffer);
  const wide = bits === 64;
  bytes.set([0x7f, 0x45, 0x4c, 0x46, wide ? 2 : 1, 1, 1]);
  view.setUint16(18, options.machine ?? (wide ? 62 : 3), true);
  const at = options.physical ?? 0x200000;
  const headers: [type: number, offset: number, address: number, file: number, memory: number][] = [
    [1, 256, at, 16, 32],
  ];
  if (options.pvh) headers.push([4, 300, 0, 20, 20]);
  view.setUint32(wide ? 24 : 24, at, true);
  view.setUint32(wide ? 32 : 28, 64, true);
  view.setUint16(wide ? 54 : 42, wide ? 56 : 32, true);
  view.setUint16(wide ? 56 : 44, headers.length, true);
  headers.forEach(([type, offset, address, file, memory], i) => {
    const header = 64 + i * (wide ? 56 : 32);
    view.setUint32(header, type, true);
    const fields = wide ? [8, 24, 32, 40] : [4, 12, 16, 20];
    [offset, address, file, memory].forEach((value, j) => {
      view.setUint32(header + (fields[j] ?? 0), value, true);
    });
  });
  bytes.fill(0xcc, 256, 272);
  [4, 4, 18, 0x006e6558, 0x200004].forEach((value, i) => {
    view.setUint32(300 + 4 * i, value, true);
  });
  return bytes;
}

describe('ELF', () => {
  it('loads segments to their physical addresses and zeroes what is beyond the file', () => {
    const { pc } = testMachine();
    pc.dma.load(0x200010, Uint8Array.of(1));
    bootKernel(pc, { kernel: elf(32), commandLine: '' });
    expect([pc.vcpu.rip, pc.vcpu.efer]).toEqual([0x200000n, 0n]);
    expect([...pc.dma.read(0x20000f, 2)]).toEqual([0xcc, 0]);
    bootKernel(pc, { kernel: elf(64), commandLine: '' });
    expect([pc.vcpu.rip, pc.vcpu.efer]).toEqual([0x200000n, 0x500n]);
  });

  it('enters by the PVH note', () => {
    const { pc } = testMachine();
    bootKernel(pc, { kernel: elf(64, { pvh: true }), initrd: new Uint8Array(3), commandLine: 'a' });
    expect([pc.vcpu.rip, pc.vcpu.efer]).toEqual([0x200004n, 0n]);
    const info = new DataView(pc.dma.read(Number(pc.vcpu.gpr[3]), 56).buffer);
    expect([info.getUint32(0, true), info.getUint32(4, true), info.getUint32(12, true)]).toEqual([0x336ec578, 1, 1]);
    expect(info.getBigUint64(32, true)).toBe(0xe0000n);
  });

  it('says what is wrong', () => {
    const { pc } = testMachine();
    const boot = (kernel: Uint8Array) => () => bootKernel(pc, { kernel, commandLine: '' });
    expect(boot(elf(64, { machine: 183 }))).toThrow('another processor (machine 183)');
    expect(boot(elf(32, { physical: 0x10000000 }))).toThrow('wants memory at 0x10000000');
    expect(boot(elf(32).subarray(0, 260))).toThrow('truncated');
  });

  it('never breaks on damaged headers', () => {
    const { pc } = testMachine({ ramBytes: 4 << 20 });
    let state = 12345;
    const random = (limit: number) => {
      state = (Math.imul(state, 1103515245) + 12345) >>> 0;
      return (state >>> 8) % limit;
    };
    for (let round = 0; round < 2000; round++) {
      const image = [elf(32), elf(64, { pvh: true }), multiboot(), bzImage()][round % 4] ?? elf(32);
      const limit = Math.min(image.length, 0x270);
      for (let n = random(4) + 1; n > 0; n--) image[random(limit)] = random(256);
      try {
        bootKernel(pc, { kernel: image.subarray(0, image.length - random(2) * random(64)), commandLine: '' });
      } catch (error) {
        expect(error).toHaveProperty('name', 'BootError');
      }
    }
  });
});
