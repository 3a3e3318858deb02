/**
 * The CPU case format: one JSON object a line, a start state, where to stop, and what must be true then. The project's
 * own vectors and all published ones come in it.
 *
 *     {"name":"ADD Eb,Gb/0","mode":"protected32","regs":{"eax":1,"eip":4096},"mem":[[4096,"00c0"]],
 *      "end":{"steps":1},"expect":{"regs":{"eax":2,"eip":4098}},"flags_mask":2261}
 *
 * A parsed case is complete and checked: numbers are bigint, memory is runs of bytes, and every default of the format
 * is filled in where it doesn't depend on the machine. Parsing throws CaseFormatError with the place and the reason.
 */

export type CaseMode = 'real' | 'protected16' | 'protected32' | 'long64';

/** Where a case stops. `hlt`: after HLT has executed. `steps`: a repeated string instruction is one step. */
export type CaseEnd =
  | { readonly kind: 'hlt' }
  | { readonly kind: 'steps'; readonly count: number }
  | { readonly kind: 'rip'; readonly address: bigint };

/** Bytes at a linear address. */
export interface MemoryRun {
  readonly address: number;
  readonly bytes: Uint8Array;
}

export interface PageRange {
  readonly address: number;
  readonly length: number;
  /** Present (r), writable (w), executable (x), user (u). */
  readonly rights: { readonly r: boolean; readonly w: boolean; readonly x: boolean; readonly u: boolean };
}

/** The exception that ends a case, undelivered. Only what is given is compared. */
export interface ExpectedException {
  readonly vector: number;
  readonly error?: number;
  readonly cr2?: bigint;
}

export type RegisterValues = Readonly<Record<string, bigint>>;
export type VectorValues = Readonly<Record<string, Uint8Array>>;

export interface CpuCase {
  readonly name: string;
  readonly asm: string;
  readonly mode: CaseMode;
  readonly cpl: 0 | 1 | 2 | 3;
  readonly pages: readonly PageRange[] | undefined;
  readonly regs: RegisterValues;
  readonly vec: VectorValues;
  readonly mem: readonly MemoryRun[];
  /** [address, length]: memory that exists and reads 0. */
  readonly zero: readonly (readonly [number, number])[];
  readonly end: CaseEnd;
  readonly expect: {
    readonly regs: RegisterValues;
    readonly vec: VectorValues;
    readonly mem: readonly MemoryRun[];
    readonly exception: ExpectedException | undefined;
  };
  /** Bits of the flags register that are compared. */
  readonly flagsMask: bigint;
  /** For information: the case takes this exception through the vector table and goes on. */
  readonly takesException: number | undefined;
  /** How `ftw` is written: FXSAVE's byte (bit i: r`i` in use) or the full tag word (2 bits a register). */
  readonly tagForm: 'abridged' | 'full';
}

export class CaseFormatError extends Error {
  override readonly name = 'CaseFormatError';
}

const MODES: readonly CaseMode[] = ['real', 'protected16', 'protected32', 'long64'];

const REGISTER_NAMES: ReadonlySet<string> = new Set([
  ...['ax', 'cx', 'dx', 'bx', 'sp', 'bp', 'si', 'di', 'ip', 'flags'].flatMap((name) => [name, `e${name}`, `r${name}`]),
  ...Array.from({ length: 8 }, (_, i) => `r${i + 8}`),
  ...['cs', 'ds', 'es', 'fs', 'gs', 'ss'],
  ...['cr0', 'cr2', 'cr3', 'cr4', 'cr8', 'efer', 'mxcsr', 'fcw', 'fsw', 'ftw'],
  ...['dr0', 'dr1', 'dr2', 'dr3', 'dr6', 'dr7', 'fs_base', 'gs_base', 'kernel_gs_base'],
]);

/** Bytes in a vector register, by the letters of its name. */
const VECTOR_LENGTH: Readonly<Record<string, number>> = { xmm: 16, ymm: 32, mm: 8, st: 10, r: 10 };
const VECTOR_COUNT: Readonly<Record<string, number>> = { xmm: 16, ymm: 16, mm: 8, st: 8, r: 8 };

/** A case from its line. `where` names the line in errors, for example `file.jsonl:12`. */
export function parseCase(line: string, where = 'case'): CpuCase {
  let json: unknown;
  try {
    json = JSON.parse(line);
  } catch (error) {
    throw new CaseFormatError(`${where}: not JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
  return new Reader(where).case(json);
}

type Fields = Readonly<Record<string, unknown>>;

/** Reads one line; carries the place for its errors. */
class Reader {
  private readonly where: string;

  constructor(where: string) {
    this.where = where;
  }

  private fail(what: string): never {
    throw new CaseFormatError(`${this.where}: ${what}`);
  }

  case(json: unknown): CpuCase {
    const fields = this.fields(json, 'the line');
    const mode = MODES.find((m) => m === fields.mode) ?? this.fail(`mode is one of ${MODES.join(', ')}`);
    const cpl = fields.cpl ?? 0;
    if (cpl !== 0 && cpl !== 1 && cpl !== 2 && cpl !== 3) this.fail('cpl is 0, 1, 2 or 3');
    const end = this.end(fields.end);
    if (end.kind === 'hlt' && cpl !== 0) this.fail('a case that ends at HLT runs at CPL 0');
    const expect = this.fields(fields.expect, 'expect');
    const regs = this.registers(fields.regs, 'regs');
    const expectedRegs = this.registers(expect.regs, 'expect.regs');
    const vec = this.vectors(fields.vec, 'vec');
    return {
      name: typeof fields.name === 'string' ? fields.name : this.where,
      asm: typeof fields.asm === 'string' ? fields.asm : '',
      mode,
      cpl,
      pages: fields.pages === undefined ? undefined : this.pages(fields.pages),
      regs,
      vec,
      mem: this.memory(fields.mem, 'mem'),
      zero: this.list(fields.zero, 'zero').map((entry) => this.range(entry, 'zero')),
      end,
      expect: {
        regs: expectedRegs,
        vec: this.vectors(expect.vec, 'expect.vec'),
        mem: this.memory(expect.mem, 'expect.mem'),
        exception: expect.exception === undefined ? undefined : this.exception(expect.exception),
      },
      flagsMask:
        fields.flags_mask === undefined ? 0xffff_ffff_ffff_ffffn : this.number(fields.flags_mask, 'flags_mask'),
      takesException: this.takenException(fields.exception),
      tagForm: tagFormOf(regs, expectedRegs, vec),
    };
  }

  private fields(value: unknown, what: string): Fields {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) this.fail(`${what} must be an object`);
    return value as Fields;
  }

  private list(value: unknown, what: string): readonly unknown[] {
    if (value === undefined) return [];
    if (!Array.isArray(value)) this.fail(`${what} must be a list`);
    return value;
  }

  /** An unsigned number: a JSON number up to 2^53, or a string with 0x up to 2^64. */
  private number(value: unknown, what: string): bigint {
    if (typeof value === 'number') {
      if (Number.isSafeInteger(value) && value >= 0) return BigInt(value);
      this.fail(`${what}: ${value} is not an integer from 0 to 2^53; write larger ones as "0x…"`);
    }
    if (typeof value === 'string' && /^0x[0-9a-f]{1,16}$/i.test(value)) return BigInt(value);
    return this.fail(`${what} must be a number or a string "0x…" of at most 16 digits, not ${JSON.stringify(value)}`);
  }

  private address(value: unknown, what: string): number {
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
    const big = this.number(value, what);
    if (big > BigInt(Number.MAX_SAFE_INTEGER)) this.fail(`${what}: address 0x${big.toString(16)} is above 2^53`);
    return Number(big);
  }

  private registers(value: unknown, what: string): RegisterValues {
    const result: Record<string, bigint> = {};
    if (value === undefined) return result;
    for (const [name, entry] of Object.entries(this.fields(value, what))) {
      if (!REGISTER_NAMES.has(name)) this.fail(`${what}: no register '${name}'`);
      result[name] = this.number(entry, `${what}.${name}`);
    }
    return result;
  }

  private vectors(value: unknown, what: string): VectorValues {
    const result: Record<string, Uint8Array> = {};
    if (value === undefined) return result;
    for (const [name, entry] of Object.entries(this.fields(value, what))) {
      const parts = /^(xmm|ymm|mm|st|r)(\d+)$/.exec(name);
      const kind = parts?.[1] ?? '';
      if (!parts || Number(parts[2]) >= (VECTOR_COUNT[kind] ?? 0)) this.fail(`${what}: no vector register '${name}'`);
      const bytes = this.hex(entry, `${what}.${name}`);
      const length = VECTOR_LENGTH[kind] ?? 0;
      if (bytes.length !== length) this.fail(`${what}.${name} has ${bytes.length} bytes instead of ${length}`);
      result[name] = bytes;
    }
    return result;
  }

  private hex(value: unknown, what: string): Uint8Array {
    if (typeof value !== 'string' || value.length % 2 !== 0 || !/^[0-9a-f]*$/i.test(value)) {
      this.fail(`${what} must be a string of hex digits, two a byte`);
    }
    return Uint8Array.from({ length: value.length / 2 }, (_, i) => parseInt(value.slice(2 * i, 2 * i + 2), 16));
  }

  /** Adjoining bytes become one run, in the order given: a later entry wins over an earlier one. */
  private memory(value: unknown, what: string): MemoryRun[] {
    const runs: { address: number; bytes: Uint8Array | number[] }[] = [];
    for (const entry of this.list(value, what)) {
      if (!Array.isArray(entry) || entry.length !== 2) this.fail(`${what}: entries are [address, byte or "hex"]`);
      const address = this.address(entry[0], what);
      const content: unknown = entry[1];
      if (typeof content === 'string') runs.push({ address, bytes: this.hex(content, what) });
      else if (typeof content === 'number' && Number.isInteger(content) && content >= 0 && content < 256) {
        const last = runs.at(-1);
        const follows = last && Array.isArray(last.bytes) && last.address + last.bytes.length === address;
        if (follows) (last.bytes as number[]).push(content);
        else runs.push({ address, bytes: [content] });
      } else this.fail(`${what}: ${JSON.stringify(content)} at ${address} is neither a byte nor a hex string`);
    }
    return runs.map(({ address, bytes }) => ({ address, bytes: Uint8Array.from(bytes) }));
  }

  private range(entry: unknown, what: string): [number, number] {
    if (!Array.isArray(entry) || entry.length < 2) this.fail(`${what}: entries are [address, length]`);
    return [this.address(entry[0], what), this.address(entry[1], what)];
  }

  private pages(value: unknown): PageRange[] {
    return this.list(value, 'pages').map((entry) => {
      const [address, length] = this.range(entry, 'pages');
      const text: unknown = Array.isArray(entry) ? entry[2] : undefined;
      if (typeof text !== 'string' || !/^[rwxu]*$/.test(text)) this.fail('pages: rights are letters out of "rwxu"');
      const has = (letter: string): boolean => text.includes(letter);
      return { address, length, rights: { r: has('r'), w: has('w'), x: has('x'), u: has('u') } };
    });
  }

  private end(value: unknown): CaseEnd {
    if (value === 'hlt') return { kind: 'hlt' };
    const fields = this.fields(value, 'end');
    if (fields.rip !== undefined) return { kind: 'rip', address: this.number(fields.rip, 'end.rip') };
    const steps = fields.steps;
    if (typeof steps === 'number' && Number.isSafeInteger(steps) && steps >= 0) return { kind: 'steps', count: steps };
    return this.fail('end is "hlt", {"steps": n} or {"rip": address}');
  }

  private exception(value: unknown): ExpectedException {
    const fields = this.fields(value, 'expect.exception');
    return {
      vector: this.address(fields.vector, 'expect.exception.vector'),
      ...(fields.error === undefined ? {} : { error: this.address(fields.error, 'expect.exception.error') }),
      ...(fields.cr2 === undefined ? {} : { cr2: this.number(fields.cr2, 'expect.exception.cr2') }),
    };
  }

  private takenException(value: unknown): number | undefined {
    if (typeof value === 'number') return value;
    if (typeof value === 'object' && value !== null && 'vector' in value && typeof value.vector === 'number') {
      return value.vector;
    }
    return undefined;
  }
}

/**
 * The format doesn't say which of its two customary forms `ftw` has. A value above 0xFF can only be a full tag word.
 * A smaller one is FXSAVE's byte, unless that would leave a register empty which the case gives a value.
 */
function tagFormOf(start: RegisterValues, expected: RegisterValues, vec: VectorValues): 'abridged' | 'full' {
  const values = [start.ftw, expected.ftw].filter((value) => value !== undefined);
  if (values.some((value) => value > 0xffn)) return 'full';
  if (start.ftw === undefined) return 'abridged';
  const top = Number(((start.fsw ?? 0n) >> 11n) & 7n);
  const used = Object.keys(vec).flatMap((name) => physicalX87(name, top) ?? []);
  return used.every((i) => ((start.ftw ?? 0n) >> BigInt(i)) & 1n) ? 'abridged' : 'full';
}

/** The physical x87 register that `st0`…, `r0`…, `mm0`… names, or undefined for other vector registers. */
export function physicalX87(name: string, top: number): number | undefined {
  const parts = /^(st|r|mm)(\d)$/.exec(name);
  if (!parts) return undefined;
  const index = Number(parts[2]);
  return parts[1] === 'st' ? (top + index) & 7 : index;
}

/** x87 start state with the format's defaults: as after FNINIT, registers with a value are in use. */
export interface X87Start {
  fcw: number;
  fsw: number;
  /** Bit i: physical register i is in use. */
  tags: number;
  /** By physical number, 10 bytes. */
  registers: readonly (Uint8Array | undefined)[];
}

export function x87Start(c: CpuCase): X87Start {
  const fsw = Number(c.regs.fsw ?? 0n);
  const registers: (Uint8Array | undefined)[] = Array.from({ length: 8 }, () => undefined);
  let tags = 0;
  for (const [name, bytes] of Object.entries(c.vec)) {
    const index = physicalX87(name, (fsw >> 11) & 7);
    if (index === undefined) continue;
    const value = new Uint8Array(10).fill(0xff); // an MMX value has all ones above it
    value.set(bytes);
    registers[index] = value;
    tags |= 1 << index;
  }
  if (c.regs.ftw !== undefined) tags = c.tagForm === 'full' ? abridgeTags(Number(c.regs.ftw)) : Number(c.regs.ftw);
  return { fcw: Number(c.regs.fcw ?? 0x37fn), fsw, tags, registers };
}

/** FXSAVE's tag byte from a full tag word (3 is empty). */
export function abridgeTags(full: number): number {
  let tags = 0;
  for (let i = 0; i < 8; i++) if (((full >> (2 * i)) & 3) !== 3) tags |= 1 << i;
  return tags;
}

const PAGE = 4096;

/**
 * The identity-mapped 4 KiB pages of a case: those of `pages`, or for long64 without `pages` every page that it names
 * anywhere, with all rights. Undefined where paging is off. An address named twice in `pages` has the later rights.
 */
export function mappedPages(c: CpuCase): Map<number, PageRange['rights']> | undefined {
  const pages = new Map<number, PageRange['rights']>();
  const add = (address: number, length: number, rights: PageRange['rights']): void => {
    const first = Math.floor(address / PAGE);
    const last = Math.floor((address + Math.max(length, 1) - 1) / PAGE);
    for (let page = first; page <= last; page++) pages.set(page * PAGE, rights);
  };
  if (c.pages) {
    for (const range of c.pages) if (range.rights.r) add(range.address, range.length, range.rights);
    return pages;
  }
  if (c.mode !== 'long64') return undefined;
  const all = { r: true, w: true, x: true, u: true };
  for (const run of [...c.mem, ...c.expect.mem]) add(run.address, run.bytes.length, all);
  for (const [address, length] of c.zero) add(address, length, all);
  return pages;
}
