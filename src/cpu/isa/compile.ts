/**
 * Compiles the instruction table: rows become *forms* (mnemonic × operand shape × size), each with the static facts
 * that a builder needs, and binary decode tables for the core's decoder (`core/decode.ts`), which walks a decision
 * tree from the opcode to an entry and fills a record.
 *
 * Layout of the tables (little-endian; offsets from the start):
 *   0     u32 offsets of the nodes, of the entries, of the fusion table and of its groups (`interpreter/fusion.ts`)
 *   16    u16 root node of each opcode, maps 0, 0F, 0F38, 0F3A (4 × 256)
 *   nodes u16: a kind (see `nodeKind`), then its children (node numbers), or the entry of a leaf
 *   entries of `entryBytes`: see `writeEntry`
 */
import type { Instruction, Operand, Size } from './builder.ts';
import type { Row } from './row.ts';

/** Where the record says which register an operand is. */
export type Slot = 'rm' | 'reg' | 'fixed';

export interface FormOperand extends Operand {
  readonly slot: Slot;
  /** Register number of a fixed operand. */
  readonly number: number;
}

export interface Form extends Instruction {
  readonly id: number;
  readonly row: Row;
  readonly operands: readonly FormOperand[];
  /** Memory operands (and the stack) by the fast flat path, or by the segmented general one. */
  readonly general: boolean;
  /** The memory operand may have an index register. Only hot forms have a variant without. */
  readonly indexed: boolean;
  readonly repeat: 'none' | 'rep' | 'repne';
  readonly addressSize: 2 | 4 | 8;
  readonly name: string;
}

/** Pseudo-forms of the dispatch loop; real forms follow. `compiled` is an `Entry` of compiled code (`cpu/arena.ts`). */
export const pseudoForm = { stale: 0, link: 1, undefined: 2, compiled: 3, count: 4 } as const;

export const nodeKind = { invalid: 0, leaf: 1, prefix: 2, reg: 3, mod: 4, rm: 5, mode: 6, wide: 7, rexB: 8 } as const;
export const immediateKind = {
  none: 0,
  ib: 1,
  isb: 2,
  iw: 3,
  iz: 4,
  iv: 5,
  jb: 6,
  jz: 7,
  moffs: 8,
  far: 9,
  iwib: 10,
  one: 11,
  /** No immediate: the opcode of an x87 instruction takes its place in the record (`Builder.x87Opcode`). */
  x87: 12,
} as const;
export const registerKind = { none: 0, gpr: 1, xmm: 2, mmx: 3, raw: 4, opcode: 5, fixed: 6 } as const;
export const selectorKind = { normal: 0, string: 1, address: 2 } as const;
export const entryFlag = {
  modrm: 1,
  lock: 2,
  ends: 4,
  d64: 8,
  f64: 16,
  rmByte: 32,
  regByte: 64,
  no16: 128,
  relative: 256,
  protectedOnly: 512,
  segmentOperand: 1024,
  anyMod: 2048,
} as const;
export const entryBytes = 80;
export const tableHeaderBytes = 24;

export interface CompiledTable {
  readonly forms: readonly Form[];
  readonly tables: Uint8Array;
  /** Offsets in the tables of the u16 form numbers, so that the interpreter can number the forms as it likes. */
  readonly formPlaces: readonly number[];
}

interface Encoding {
  readonly prefix: 'any' | 'NP' | '66' | 'F3' | 'F2';
  readonly map: 0 | 1 | 2 | 3;
  readonly opcode: number;
  readonly modrm: boolean;
  readonly reg?: number;
  readonly mod?: 'mem' | 'reg';
  readonly rm?: number;
  readonly plus?: 'r' | 'cc';
}

export function parseEncoding(text: string): Encoding {
  const tokens = text.trim().split(/\s+/);
  let prefix: Encoding['prefix'] = 'any';
  const first = tokens[0] ?? '';
  if (
    first === 'NP' ||
    ((first === '66' || first === 'F2' || first === 'F3') && /^[0-9A-F]{2}$/.test(tokens[1] ?? ''))
  ) {
    prefix = first as Encoding['prefix'];
    tokens.shift();
  }
  const bytes: number[] = [];
  while (tokens.length > 0 && /^[0-9A-F]{2}$/.test(tokens[0] ?? '')) bytes.push(parseInt(tokens.shift() ?? '', 16));
  let map: Encoding['map'] = 0;
  if (bytes[0] === 0x0f && bytes.length > 1) {
    bytes.shift();
    map = 1;
    const escape = bytes.length > 1 ? bytes[0] : undefined;
    if (Number(escape) === 0x38 || Number(escape) === 0x3a) map = bytes.shift() === 0x38 ? 2 : 3;
  }
  const opcode = bytes.shift();
  if (opcode === undefined) throw new Error(`row "${text}" has no opcode`);
  const out: { -readonly [K in keyof Encoding]: Encoding[K] } = { prefix, map, opcode, modrm: false };
  const exact = bytes.shift();
  if (exact !== undefined) {
    Object.assign(out, { modrm: true, mod: 'reg', reg: (exact >> 3) & 7, rm: exact & 7 });
  }
  for (const token of tokens) {
    const group = /^\/([0-7r])$/.exec(token);
    const fixedRm = /^rm=([0-7])$/.exec(token);
    if (group) {
      out.modrm = true;
      if (group[1] !== 'r') out.reg = Number(group[1]);
    } else if (fixedRm) {
      out.rm = Number(fixedRm[1]);
      out.mod = 'reg';
    } else if (token === 'mem' || token === 'reg') out.mod = token;
    else if (token === '+r') out.plus = 'r';
    else if (token === '+cc') out.plus = 'cc';
    else throw new Error(`row "${text}": unknown token "${token}"`);
  }
  return out;
}

const fixedRegisters: Readonly<Record<string, { number: number; size: string }>> = {
  AL: { number: 0, size: 'b' },
  CL: { number: 1, size: 'b' },
  AX: { number: 0, size: 'w' },
  DX: { number: 2, size: 'w' },
  rAX: { number: 0, size: 'v' },
  eAX: { number: 0, size: 'z' },
};
const segmentNames = ['ES', 'CS', 'SS', 'DS', 'FS', 'GS'];

/** Bytes of an operand whose size letter is `letter` at operand size `size`. */
function operandBytes(letter: string, size: number): number {
  switch (letter) {
    case 'b':
      return 1;
    case 'w':
      return 2;
    case 'd':
      return 4;
    case 'q':
      return 8;
    case 'v':
      return size;
    case 'z':
      return size === 2 ? 2 : 4;
    case 'y':
      return size === 8 ? 8 : 4;
    case 'p':
      return size + 2;
    case 's':
      return size === 8 ? 10 : 6;
    case 't':
      return 10;
    case 'o':
      return 16;
    case 'x':
      return 512;
    default:
      return 0;
  }
}

interface OperandShape {
  /** Encoding letter(s) after names are resolved. */
  readonly source: 'modrm' | 'reg' | 'opcode' | 'named' | 'immediate' | 'string' | 'moffs' | 'far';
  readonly kind: Operand['kind'];
  readonly letter: string;
  readonly number: number;
  readonly immediate: keyof typeof immediateKind;
  readonly memory: boolean;
  readonly register: boolean;
}

function shape(partial: Partial<OperandShape>): OperandShape {
  return {
    source: 'named',
    kind: 'register',
    letter: '',
    number: 0,
    immediate: 'none',
    memory: false,
    register: true,
    ...partial,
  };
}

export function parseOperand(text: string): OperandShape {
  const named = fixedRegisters[text];
  if (named) return shape({ letter: named.size, number: named.number });
  const segment = segmentNames.indexOf(text);
  if (segment >= 0) return shape({ kind: 'segment', letter: 'w', number: segment });
  if (text === '1') return shape({ source: 'immediate', kind: 'immediate', letter: 'b', immediate: 'one' });
  if (text === 'XMM0') return shape({ kind: 'vector', letter: 'o' });
  if (text === 'ST') return shape({ kind: 'x87', letter: 't' });
  const letter = text.slice(1).trim();
  switch (text[0]) {
    case 'E':
      return shape({ source: 'modrm', letter, memory: true });
    case 'M':
      return shape({ source: 'modrm', kind: 'memory', letter, memory: true, register: false });
    case 'F':
      return shape({ source: 'modrm', kind: 'memory', letter, memory: true, register: false });
    case 'R':
      return shape({ source: 'modrm', letter });
    case 'G':
      return shape({ source: 'reg', letter });
    case 'Z':
      return shape({ source: 'opcode', letter });
    case 'S':
      return shape({ source: 'reg', kind: 'segment', letter: 'w' });
    case 'C':
      return shape({ source: 'reg', kind: 'control', letter: letter || 'q' });
    case 'D':
      return shape({ source: 'reg', kind: 'debug', letter: letter || 'q' });
    case 'W':
      return shape({ source: 'modrm', kind: 'vector', letter: letter || 'o', memory: true });
    case 'U':
      return shape({ source: 'modrm', kind: 'vector', letter: letter || 'o' });
    case 'V':
      return shape({ source: 'reg', kind: 'vector', letter: letter || 'o' });
    case 'Q':
      return shape({ source: 'modrm', kind: 'mmx', letter: letter || 'q', memory: true });
    case 'N':
      return shape({ source: 'modrm', kind: 'mmx', letter: letter || 'q' });
    case 'P':
      return shape({ source: 'reg', kind: 'mmx', letter: letter || 'q' });
    case 'T':
      return shape({ source: 'modrm', kind: 'x87', letter: 't' });
    case 'O':
      return shape({ source: 'moffs', kind: 'memory', letter, memory: true, register: false, immediate: 'moffs' });
    case 'A':
      return shape({ source: 'far', kind: 'immediate', letter: 'p', immediate: 'far' });
    case 'X':
    case 'Y':
      return shape({ source: 'string', kind: 'memory', letter, register: false });
    case 'I': {
      const kinds: Record<string, keyof typeof immediateKind> = { b: 'ib', sb: 'isb', w: 'iw', z: 'iz', v: 'iv' };
      const immediate = kinds[letter];
      if (!immediate) break;
      const size = letter === 'b' ? 'b' : letter === 'w' ? 'w' : 'v';
      return shape({ source: 'immediate', kind: 'immediate', letter: size, immediate });
    }
    case 'J':
      return shape({ source: 'immediate', kind: 'immediate', letter: 'v', immediate: letter === 'b' ? 'jb' : 'jz' });
  }
  throw new Error(`unknown operand "${text}"`);
}

interface Entry {
  readonly row: Row;
  readonly encoding: Encoding;
  readonly opcode: number;
  /** Index of the compiled entry in the tables. */
  index: number;
}

class FormTable {
  readonly forms: Form[] = [];
  private readonly byKey = new Map<string, Form>();
  private readonly semantics = new Map<unknown, number>();

  private semanticsId(f: unknown): number {
    const known = this.semantics.get(f);
    if (known !== undefined) return known;
    this.semantics.set(f, this.semantics.size);
    return this.semantics.size - 1;
  }

  add(form: Omit<Form, 'id' | 'name'>): number {
    const { row } = form;
    const key = JSON.stringify([
      this.semanticsId(row.semantics),
      row.mnemonic,
      form.operands,
      form.size,
      form.stackSize,
      form.long,
      form.condition,
      form.general,
      form.indexed,
      form.repeat,
      form.addressSize,
      row.lock,
      row.privileged,
      row.unit,
      row.aligned,
      row.ends,
      row.feature,
    ]);
    const known = this.byKey.get(key);
    if (known) return known.id;
    const id = pseudoForm.count + this.forms.length;
    const operands = form.operands
      .map((o) => `${o.kind[0]}${o.slot === 'fixed' ? o.number : o.slot[0]}${o.size}`)
      .join('_');
    const name = `${row.mnemonic}${form.condition || ''}_${form.size}_${operands}${form.general ? '_general' : ''}${form.indexed ? '' : '_base'}`;
    const made: Form = { ...form, id, name };
    this.forms.push(made);
    this.byKey.set(key, made);
    return id;
  }
}

/** Size letters that follow the operand size. */
const sizedLetters = new Set(['v', 'z', 'y', 'p', 's']);

function isSized(row: Row, shapes: readonly OperandShape[]): boolean {
  if (shapes.some((s) => sizedLetters.has(s.letter) && s.immediate !== 'one')) return true;
  if (shapes.length > 0 && shapes.every((s) => s.letter === 'b')) return false;
  return row.unit === undefined;
}

/** A row's form at one choice of size, shape, repetition and address size. */
function instantiate(
  table: FormTable,
  entry: Entry,
  shapes: readonly OperandShape[],
  choice: {
    size: 2 | 4 | 8;
    memory: boolean;
    general: boolean;
    indexed: boolean;
    repeat: Form['repeat'];
    addressSize: 2 | 4 | 8;
  },
): number {
  const { row, encoding } = entry;
  const sized = isSized(row, shapes);
  const bytesOnly = shapes.length > 0 && shapes.every((s) => s.letter === 'b');
  const size: Size = bytesOnly && !row.size64 ? 1 : sized ? choice.size : 4;
  let immediates = 0;
  const operands = shapes.map((s): FormOperand => {
    const bytes = operandBytes(s.letter, size === 1 ? choice.size : size);
    if (s.source === 'modrm') {
      if (s.memory && (choice.memory || !s.register)) return { kind: 'memory', size: bytes, slot: 'fixed', number: 0 };
      return { kind: s.kind, size: bytes, slot: 'rm', number: 0 };
    }
    // Number 1 marks an address that is the immediate itself.
    if (s.source === 'moffs') return { kind: 'memory', size: bytes, slot: 'fixed', number: 1 };
    if (s.source === 'reg') return { kind: s.kind, size: bytes, slot: 'reg', number: 0 };
    if (s.source === 'opcode') return { kind: s.kind, size: bytes, slot: 'rm', number: 0 };
    if (s.source === 'named' && s.kind === 'register') {
      const slot = namedSlot(shapes, s);
      return { kind: 'register', size: bytes, slot, number: slot === 'fixed' ? s.number : 0 };
    }
    // The second immediate lies above the first, at this byte of the record's.
    if (s.kind === 'immediate') return { kind: s.kind, size: bytes, slot: 'fixed', number: 2 * immediates++ };
    return { kind: s.kind, size: bytes, slot: 'fixed', number: s.number };
  });
  return table.add({
    row,
    mnemonic: row.mnemonic,
    operands,
    size,
    stackSize: sized ? choice.size : 4,
    long: row.modes === 'long' || (row.size64 !== undefined && size === 8),
    condition: encoding.plus === 'cc' ? entry.opcode & 15 : 0,
    general: choice.general,
    indexed: choice.indexed,
    repeat: choice.repeat,
    addressSize: choice.addressSize,
  });
}

/** A named general register takes a free slot of the record, so that it shares the form of the general encoding. */
function namedSlot(shapes: readonly OperandShape[], named: OperandShape): Slot {
  const rmFree = !shapes.some((s) => s.source === 'modrm' || s.source === 'opcode');
  const regFree = !shapes.some((s) => s.source === 'reg');
  const namedOnes = shapes.filter((s) => s.source === 'named' && s.kind === 'register');
  const position = namedOnes.indexOf(named);
  const free: Slot[] = [...(rmFree ? (['rm'] as const) : []), ...(regFree ? (['reg'] as const) : [])];
  return free[position] ?? 'fixed';
}

export function compileTable(rows: readonly Row[]): CompiledTable {
  const table = new FormTable();
  const entries: Entry[] = [];
  const byOpcode = new Map<number, Entry[]>();
  for (const row of rows) {
    const encoding = parseEncoding(row.encoding);
    const span = encoding.plus === 'r' ? 8 : encoding.plus === 'cc' ? 16 : 1;
    for (let k = 0; k < span; k++) {
      const entry: Entry = { row, encoding, opcode: encoding.opcode + k, index: entries.length };
      entries.push(entry);
      const key = encoding.map * 256 + entry.opcode;
      byOpcode.set(key, [...(byOpcode.get(key) ?? []), entry]);
    }
  }
  const nodes: number[] = [nodeKind.invalid];
  const roots = new Uint16Array(4 * 256);
  for (const [key, list] of byOpcode) roots[key] = buildNode(nodes, list, 0);
  const header = tableHeaderBytes + roots.byteLength;
  const entriesOffset = Math.ceil((header + nodes.length * 2) / 16) * 16;
  const bytes = new Uint8Array(entriesOffset + entries.length * entryBytes);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, header, true);
  view.setUint32(4, entriesOffset, true);
  roots.forEach((root, k) => view.setUint16(tableHeaderBytes + 2 * k, root, true));
  nodes.forEach((node, k) => view.setUint16(header + 2 * k, node, true));
  const formPlaces = entries.flatMap((e) => writeEntry(table, e, view, entriesOffset + e.index * entryBytes));
  return { forms: table.forms, tables: bytes, formPlaces };
}

const dimensions = ['mode', 'prefix', 'wide', 'rexB', 'mod', 'reg', 'rm'] as const;

function constraint(entry: Entry, dimension: (typeof dimensions)[number]): number | undefined {
  const e = entry.encoding;
  switch (dimension) {
    case 'mode':
      return entry.row.modes === undefined ? undefined : entry.row.modes === 'legacy' ? 0 : 1;
    case 'prefix':
      return e.prefix === 'any' ? undefined : ['NP', '66', 'F3', 'F2'].indexOf(e.prefix);
    case 'wide':
      return entry.row.sizes === undefined ? undefined : entry.row.sizes.includes(8) ? 1 : 0;
    // 90 is NOP, and XCHG only with REX.B.
    case 'rexB':
      return entry.opcode === 0x90 && e.map === 0 ? (e.plus === 'r' ? 1 : 0) : undefined;
    case 'mod':
      return e.mod === undefined ? undefined : e.mod === 'mem' ? 0 : 1;
    case 'reg':
      return e.reg;
    case 'rm':
      return e.rm;
  }
}

const arity = { mode: 2, prefix: 4, wide: 2, rexB: 2, mod: 2, reg: 8, rm: 8 } as const;

function buildNode(nodes: number[], list: readonly Entry[], from: number): number {
  if (list.length === 0) return 0;
  for (let d = from; d < dimensions.length; d++) {
    const dimension = dimensions[d] ?? 'rm';
    if (!list.some((e) => constraint(e, dimension) !== undefined)) continue;
    const children: number[] = [];
    for (let value = 0; value < arity[dimension]; value++) {
      const exact = list.filter((e) => constraint(e, dimension) === value);
      const any = list.filter((e) => constraint(e, dimension) === undefined);
      children.push(buildChild(nodes, exact, any, d + 1));
    }
    nodes.push(nodeKind[dimension], ...children);
    return nodes.length - 1 - children.length;
  }
  // The most specific row stands.
  const specific = (e: Entry): number => dimensions.filter((d) => constraint(e, d) !== undefined).length;
  const [entry, other] = [...list].sort((a, b) => specific(b) - specific(a));
  if (!entry) return 0;
  if (other && specific(other) === specific(entry))
    throw new Error(`rows "${entry.row.encoding}" and "${other.row.encoding}" overlap`);
  nodes.push(nodeKind.leaf, entry.index);
  return nodes.length - 2;
}

/** Exact rows win over general ones, but the general ones serve where later fields exclude the exact ones. */
function buildChild(nodes: number[], exact: readonly Entry[], any: readonly Entry[], from: number): number {
  if (exact.length === 0) return buildNode(nodes, any, from);
  const constrained = exact.filter((e) => dimensions.slice(from).some((d) => constraint(e, d) !== undefined));
  if (any.length === 0 || constrained.length < exact.length) return buildNode(nodes, exact, from);
  return buildNode(nodes, [...exact, ...any], from);
}

function registerKindOf(s: OperandShape): number {
  if (s.source === 'opcode') return registerKind.opcode;
  if (s.kind === 'vector') return registerKind.xmm;
  if (s.kind === 'mmx') return registerKind.mmx;
  if (s.kind === 'register') return registerKind.gpr;
  return registerKind.raw;
}

/**
 * Entry: u16 flags, u8 immediate kind, rm kind, reg kind, fixed rm, fixed reg, selector, then u16 forms from byte 16:
 * normal [register, fast memory, general memory, register with general stack, fast memory without index][16, 32, 64
 * bits];
 * string [none, rep, repne][address size][size]; address [address size][size].
 */
function writeEntry(table: FormTable, entry: Entry, view: DataView, at: number): number[] {
  const { row, encoding } = entry;
  const shapes = row.operands.map(parseOperand);
  let flags = 0;
  if (encoding.modrm) flags |= entryFlag.modrm;
  if (row.lock) flags |= entryFlag.lock;
  if (row.ends && !conditionalMnemonics.test(row.mnemonic)) flags |= entryFlag.ends;
  if (row.size64 === 'd64') flags |= entryFlag.d64;
  if (row.size64 === 'f64') flags |= entryFlag.f64;
  if (encoding.prefix === '66') flags |= entryFlag.no16;
  if (row.protectedOnly) flags |= entryFlag.protectedOnly;
  let immediate: number = immediateKind.none;
  if (row.unit === 'x87' && encoding.map === 0) immediate = immediateKind.x87;
  let rmKind: number = registerKind.none;
  let regKind: number = registerKind.none;
  let fixedRm = 0;
  let fixedReg = 0;
  for (const s of shapes) {
    if (s.immediate !== 'none') {
      // ENTER's two immediates travel together.
      immediate = immediate === immediateKind.iw ? immediateKind.iwib : immediateKind[s.immediate];
      if (s.immediate === 'jb' || s.immediate === 'jz') flags |= entryFlag.relative;
    }
    if ((s.source === 'modrm' && s.register) || s.source === 'opcode') {
      rmKind = registerKindOf(s);
      if (s.letter === 'b' && s.kind === 'register') flags |= entryFlag.rmByte;
    }
    if (s.source === 'reg') {
      if (s.kind === 'segment') flags |= entryFlag.segmentOperand;
      if (s.kind === 'control' || s.kind === 'debug') flags |= entryFlag.anyMod;
      regKind = registerKindOf(s);
      if (s.letter === 'b' && s.kind === 'register') flags |= entryFlag.regByte;
    }
    if (s.source === 'named' && s.kind === 'register') {
      const slot = namedSlot(shapes, s);
      if (slot === 'rm') {
        rmKind = registerKind.fixed;
        fixedRm = s.number;
      } else if (slot === 'reg') {
        regKind = registerKind.fixed;
        fixedReg = s.number;
      }
    }
  }
  view.setUint16(at, flags, true);
  const isString = row.repeat !== undefined;
  const byAddress = !isString && (row.addressSized === true || addressMnemonics.test(row.mnemonic));
  const selector = isString ? selectorKind.string : byAddress ? selectorKind.address : selectorKind.normal;
  [immediate, rmKind, regKind, fixedRm, fixedReg, selector].forEach((b, k) => view.setUint8(at + 2 + k, b));
  const sizes = [2, 4, 8] as const;
  const places: number[] = [];
  const put = (index: number, form: number): void => {
    places.push(at + 16 + 2 * index);
    view.setUint16(at + 16 + 2 * index, form, true);
  };
  if (selector === selectorKind.normal) {
    for (let kind = 0; kind < 5; kind++) {
      for (let s = 0; s < 3; s++) {
        const memory = kind === 1 || kind === 2 || kind === 4;
        const size = sizes[s] ?? 4;
        const general = (kind === 2 || kind === 3) && needsGeneral(row, shapes, memory);
        const indexed = kind !== 4 || row.hot !== true || !shapes.some((o) => o.memory);
        put(
          kind * 3 + s,
          instantiate(table, entry, shapes, {
            size,
            memory,
            general,
            indexed,
            repeat: 'none',
            addressSize: 8,
          }),
        );
      }
    }
  } else {
    const repeats = isString ? (['none', 'rep', 'repne'] as const) : (['none'] as const);
    repeats.forEach((repeat, r) => {
      for (let a = 0; a < 3; a++) {
        for (let s = 0; s < 3; s++) {
          put(
            (r * 3 + a) * 3 + s,
            instantiate(table, entry, shapes, {
              size: sizes[s] ?? 4,
              memory: true,
              general: true,
              indexed: true,
              repeat,
              addressSize: sizes[a] ?? 4,
            }),
          );
        }
      }
    });
  }
  return places;
}

/** A block goes on behind a branch that may not be taken. */
const conditionalMnemonics = /^(Jcc|LOOP|JCXZ)/;
/** Rows that access the stack, by mnemonic. */
const stackMnemonics = /^(PUSH|POP|CALL|RET|ENTER|LEAVE)/;
/** Rows that depend on the address size although they have no ModRM operand. */
const addressMnemonics = /^(LOOP|JCXZ|JECXZ|JRCXZ|XLAT|MASKMOV)/;

/** Whether the general path makes a difference: a memory operand, or a stack access. */
function needsGeneral(row: Row, shapes: readonly OperandShape[], memory: boolean): boolean {
  return (memory && shapes.some((s) => s.memory)) || row.stack === true || stackMnemonics.test(row.mnemonic);
}
