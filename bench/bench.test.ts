import { describe, expect, it } from 'vitest';
import { decodeImage } from './decode-once.ts';
import { parseBenchOptions, UsageError } from './options.ts';
import { callsFor, workloads } from './rows.ts';
import { SerialText } from './serial-text.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

describe('callsFor', () => {
  it('makes a call for each row, and one for all that share files', () => {
    expect(callsFor(['awk', 'sieve', 'sort', 'gunzip16'])).toEqual([
      ['sieve'],
      ['gen', 'gzip16', 'gunzip16', 'sort'],
      ['awk'],
    ]);
    expect(callsFor(workloads).flat()).toEqual([...workloads]);
    expect(callsFor([])).toEqual([]);
  });
});

describe('parseBenchOptions', () => {
  it('has defaults, and smaller ones for a quick run', () => {
    const full = parseBenchOptions([]);
    expect(full).toMatchObject({ rounds: 3, scale: '1', sections: ['workloads', 'boot', 'decode', 'memory'] });
    expect(full.workloads).toEqual([...workloads]);
    expect(parseBenchOptions(['--quick'])).toMatchObject({ rounds: 1, scale: '0.1' });
    expect(parseBenchOptions(['--quick', '--rounds', '5']).rounds).toBe(5);
  });

  it('takes rows by name', () => {
    const options = parseBenchOptions(['--only', 'awk,sieve,decode-1']);
    expect(options.workloads).toEqual(['sieve', 'awk']);
    expect(options.decodeRows).toEqual(['decode-1']);
    expect(options.sections).toEqual(['workloads', 'decode']);
    expect(parseBenchOptions(['--boot']).sections).toEqual(['boot']);
  });

  it('refuses what it does not know', () => {
    for (const args of [['--only', 'siev'], ['--peers', 'bochs'], ['--rounds', '0'], ['--scale', 'x'], ['--fast']]) {
      expect(() => parseBenchOptions(args)).toThrow(UsageError);
    }
  });
});

describe('SerialText', () => {
  it('gives matches with the time at which their last character came', async () => {
    const text = new SerialText();
    text.feed(bytes('one\r\ntw'), 10);
    text.feed(bytes('o\r\nthr'), 20);
    expect((await text.next(/^(\w+)\n/m, 1000)).atMs).toBe(10);
    const two = await text.next(/^(\w+)\n/m, 1000);
    expect([two.match[1], two.atMs]).toEqual(['two', 20]);
    const three = text.next(/^(\w+)\n/m, 1000);
    text.feed(bytes('ee\n'), 30);
    expect([(await three).match[1], (await three).atMs]).toEqual(['three', 30]);
  });

  it('says what was printed last when nothing comes', async () => {
    const text = new SerialText();
    text.feed(bytes('Kernel panic'));
    await expect(text.next(/ready/, 1)).rejects.toThrow(/no \/ready\/ within[^]*Kernel panic/);
    text.fail(new Error('it ended'));
    await expect(text.next(/ready/, 1000)).rejects.toThrow(/it ended/);
  });
});

describe('decodeImage', () => {
  it('is a multiboot image that counts its instructions', () => {
    const once = decodeImage(4096, 1);
    const view = new DataView(once.bytes.buffer);
    const word = (at: number): number => view.getUint32(at, true);
    expect((word(0) + word(4) + word(8)) >>> 0).toBe(0);
    expect(word(0)).toBe(0x1badb002);
    // Load end address and entry.
    expect(word(20) - word(16)).toBe(once.bytes.length);
    expect(word(28)).toBeGreaterThan(word(16));
    expect(once.instructions).toBeGreaterThan(4096 / 5);
    expect(decodeImage(4096, 10).instructions).toBe(once.instructions * 10);
  });
});
