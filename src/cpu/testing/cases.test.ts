import { describe, expect, it } from 'vitest';
import { abridgeTags, CaseFormatError, mappedPages, parseCase, x87Start } from './cases.ts';

const minimal = { mode: 'real', end: 'hlt', expect: {} };
const parse = (more: object = {}) => parseCase(JSON.stringify({ ...minimal, ...more }), 'file:1');

describe('parseCase', () => {
  it('fills in the defaults of the format', () => {
    const c = parse();
    expect(c).toMatchObject({ name: 'file:1', mode: 'real', cpl: 0, regs: {}, vec: {}, mem: [], zero: [] });
    expect(c.end).toEqual({ kind: 'hlt' });
    expect(c.flagsMask).toBe(0xffff_ffff_ffff_ffffn);
    expect(c.pages).toBeUndefined();
    expect(c.expect.exception).toBeUndefined();
  });

  it('takes numbers up to 2^53 as they are and larger ones as hex strings', () => {
    const c = parse({ regs: { eax: 5, rbx: '0xffffffffffffffff', r15: Number.MAX_SAFE_INTEGER } });
    expect(c.regs).toEqual({ eax: 5n, rbx: 0xffff_ffff_ffff_ffffn, r15: 0x1f_ffff_ffff_ffffn });
  });

  it('joins single bytes into runs and keeps hex strings as runs', () => {
    const c = parse({ mem: [[4096, 1], [4097, 2], [8192, 3], [8193, '0aff'], [8195, 7]] }); // prettier-ignore
    expect(c.mem.map((run) => [run.address, [...run.bytes]])).toEqual([
      [4096, [1, 2]],
      [8192, [3]],
      [8193, [0x0a, 0xff]],
      [8195, [7]],
    ]);
  });

  it('reads vectors, pages, ends and exceptions', () => {
    const c = parse({
      mode: 'long64',
      cpl: 3,
      vec: { xmm1: '00'.repeat(16), st0: '11'.repeat(10) },
      pages: [[4096, 8192, 'rwu']],
      end: { rip: '0x7fffffffffff' },
      expect: { exception: { vector: 14, error: 6, cr2: '0xffff800000000000' } },
    });
    expect(c.vec.st0).toHaveLength(10);
    expect(c.pages).toEqual([{ address: 4096, length: 8192, rights: { r: true, w: true, x: false, u: true } }]);
    expect(c.end).toEqual({ kind: 'rip', address: 0x7fff_ffff_ffffn });
    expect(c.expect.exception).toEqual({ vector: 14, error: 6, cr2: 0xffff_8000_0000_0000n });
  });

  it.each([
    [{ mode: 'long' }, 'mode is one of'],
    [{ regs: { eaz: 1 } }, "no register 'eaz'"],
    [{ regs: { eax: -1 } }, 'regs.eax'],
    [{ regs: { eax: 1.5 } }, 'not an integer'],
    [{ regs: { rax: 2 ** 60 } }, '0x…'],
    [{ regs: { rax: '0x10000000000000000' } }, 'at most 16 digits'],
    [{ vec: { xmm16: '00' } }, "no vector register 'xmm16'"],
    [{ vec: { xmm0: '0011' } }, '2 bytes instead of 16'],
    [{ mem: [[1, 256]] }, 'neither a byte nor a hex string'],
    [{ mem: [[1, '0g']] }, 'hex digits'],
    [{ mem: [[1]] }, '[address, byte or "hex"]'],
    [{ pages: [[0, 1, 'rq']] }, 'rights'],
    [{ end: 'stop' }, 'end'],
    [{ end: { steps: -1 } }, 'end is'],
    [{ cpl: 3 }, 'CPL 0'],
    [{ expect: [] }, 'expect must be an object'],
  ])('refuses %j', (more, message) => {
    expect(() => parse(more)).toThrow(CaseFormatError);
    expect(() => parse(more)).toThrow(`file:1: `);
    expect(() => parse(more)).toThrow(message);
  });

  it('says where a line is not JSON', () => {
    expect(() => parseCase('{', 'file:7')).toThrow(/^file:7: not JSON/);
  });
});

describe('the tag word', () => {
  const one = '00'.repeat(10);

  it('is full when it has more than eight bits', () => {
    const c = parse({ regs: { ftw: 0x3fff, fsw: 7 << 11 }, vec: { st0: one } });
    expect(c.tagForm).toBe('full');
    expect(x87Start(c).tags).toBe(0x80);
  });

  it('is the byte of FXSAVE otherwise', () => {
    const c = parse({ regs: { ftw: 0x81 }, vec: { r0: one, r7: one } });
    expect(c.tagForm).toBe('abridged');
    expect(x87Start(c).tags).toBe(0x81);
  });

  it('is full when the byte would leave a given register empty', () => {
    expect(parse({ regs: { ftw: 0 }, vec: { st0: one } }).tagForm).toBe('full');
  });

  it('comes from the given registers when the case has none', () => {
    const start = x87Start(parse({ regs: { fsw: 6 << 11 }, vec: { st0: one, st1: one } }));
    expect(start).toMatchObject({ tags: 0xc0, fcw: 0x37f });
    expect(start.registers[6]).toHaveLength(10);
  });

  it('puts ones above an MMX register', () => {
    const { registers } = x87Start(parse({ vec: { mm2: '0102030405060708' } }));
    expect(registers[2]).toEqual(Uint8Array.from([1, 2, 3, 4, 5, 6, 7, 8, 0xff, 0xff]));
  });

  it('is abridged by emptiness alone', () => {
    expect(abridgeTags(0xffff)).toBe(0);
    expect(abridgeTags(0b11_10_01_00_11_11_11_11)).toBe(0x70);
  });
});

describe('mappedPages', () => {
  it('is every page that a long64 case names', () => {
    const pages = mappedPages(
      parse({ mode: 'long64', mem: [[0x1fff, '0000']], zero: [[0x8000, 1]], expect: { mem: [[0x5000, 1]] } }),
    );
    expect([...(pages?.keys() ?? [])]).toEqual([0x1000, 0x2000, 0x5000, 0x8000]);
  });

  it('is off in protected mode unless given, and leaves out pages without r', () => {
    expect(mappedPages(parse({ mode: 'protected32', mem: [[0, 1]] }))).toBeUndefined();
    const pages = mappedPages(parse({ mode: 'protected32', pages: [[0, 4096, 'rw'], [4096, 4096, 'w']] })); // prettier-ignore
    expect([...(pages?.keys() ?? [])]).toEqual([0]);
  });
});
