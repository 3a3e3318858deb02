/** Makes drafts out of templates: chooses operands, addressing forms and prefixes, and encodes the instruction. */
import { Draft, OPERAND_LIMIT, REGION, STACK_TOP } from './draft.ts';
import type { Bits } from './draft.ts';
import { operandBytes, Random, toBytes } from './random.ts';
import type { DataClass } from './random.ts';
import { operandsOf } from './template.ts';
import type { Assembly, Operand, Template } from './template.ts';

const GPR_KINDS = 'EMRGZ';
const XMM_KINDS = 'VWU';
const MMX_KINDS = 'PQN';
const RM_KINDS = 'EMRWUQN';

/** One draft of the template; the same arguments give the same draft. */
export function assemble(template: Template, bits: Bits, size: number, ordinal: number, seed: string): Draft {
  const random = new Random(`${seed}/${template.name}/${template.encoding}/${bits}/${size}/${ordinal}`);
  const draft = new Draft(bits, random);
  draft.flags |= random.u32() & 0x8d5;
  if (template.stack) draft.pin(4, BigInt(STACK_TOP + 8 * random.below(32) - random.pick([0, 0, 0, 2, 4, 5])));
  if (template.branch) draft.end = 'step';
  for (const index of template.uses ?? []) draft.pin(index, randomRegister(draft, size || 32));

  const a: Assembly = {
    draft,
    template,
    size,
    ordinal,
    reg: Number(/\/([0-7])/.exec(template.encoding)?.[1] ?? 0),
    rm: undefined,
    target: 0,
    memoryLength: 0,
    memory: undefined,
    immediate: undefined,
    relative: undefined,
    prefixes: [],
    forceRex: false,
    addressOverride: undefined,
  };
  for (const operand of operandsOf(template, size)) chooseOperand(a, operand);
  template.prepare?.(a);
  if (hasMemory(a)) placeMemory(a);
  draft.code = [...encode(a), ...(template.behind?.(bits) ?? [])];
  draft.flagsMask &= ~(
    (typeof template.undefinedFlags === 'function' ? template.undefinedFlags(a) : template.undefinedFlags) ?? 0
  );
  return draft;
}

export function hasMemory(a: Assembly): boolean {
  return a.memoryLength > 0 && a.rm === undefined;
}

function randomRegister(draft: Draft, width: number): bigint {
  const low = draft.random.integer(width);
  if (draft.random.chance(0.3)) return ((draft.random.bits(64) >> BigInt(width)) << BigInt(width)) | low;
  return 0x5_0000_0000_0000n | low;
}

/** Gives a general register a random operand; a byte register may be the high half of another one. */
export function setRegister(a: Assembly, index: number, width: number): void {
  const { draft } = a;
  const highByte = width === 8 && index >= 4 && index < 8 && !a.forceRex;
  for (const i of highByte ? [index, index - 4] : [index]) {
    if (draft.pinned.has(i) || (i === 4 && highByte)) continue;
    const value = highByte ? draft.random.integer(16) : randomRegister(draft, width);
    draft.regs[i] = BigInt.asUintN(draft.bits, value);
  }
}

function chooseOperand(a: Assembly, operand: Operand): void {
  const { draft, template } = a;
  const { random } = draft;
  const data = template.data ?? defaultData(template.name, random);
  const registers = draft.bits === 64 ? 16 : 8;
  if ('IJO'.includes(operand.kind)) {
    if (operand.kind === 'O') {
      a.memoryLength = operand.width / 8;
      a.memory = random.bytes(a.memoryLength);
    }
    return;
  }
  const isRm = RM_KINDS.includes(operand.kind);
  const toMemory = operand.kind === 'M' || ('EWQ'.includes(operand.kind) && random.chance(0.5));
  if (isRm && toMemory) {
    a.memoryLength = operand.width / 8;
    const plain = 'EM'.includes(operand.kind) && !template.data && operand.width <= 64;
    a.memory = plain
      ? toBytes(random.integer(operand.width), a.memoryLength)
      : operandBytes(random, data, a.memoryLength);
    return;
  }
  let index: number;
  if (GPR_KINDS.includes(operand.kind)) {
    index = random.below(registers);
    if (draft.bits === 64 && operand.width === 8 && random.chance(0.5)) a.forceRex = true;
    setRegister(a, index, operand.width);
  } else if (XMM_KINDS.includes(operand.kind)) {
    index = random.below(registers);
    draft.xmm.set(index, operandBytes(random, data, 16));
    draft.comparedXmm.add(index);
  } else if (MMX_KINDS.includes(operand.kind)) {
    index = random.below(8);
    setMmx(draft, index, operandBytes(random, data, 8));
  } else throw new Error(`${template.name}: no operand kind '${operand.kind}'`);
  if (isRm || operand.kind === 'Z') a.rm = index;
  else a.reg = index;
}

function defaultData(name: string, random: Random): DataClass {
  if (/[A-Z](ps|ss)\b/.test(name)) return 'f32';
  if (/[A-Z](pd|sd)\b/.test(name)) return 'f64';
  return random.pick(['i8', 'i16', 'i32', 'i64']);
}

/** An MMX register lies in the significand of the physical x87 register of the same number. */
export function setMmx(draft: Draft, index: number, bytes: Uint8Array): void {
  const all = new Uint8Array(10).fill(0xff);
  all.set(bytes);
  draft.x87.set(index, all);
  draft.tags |= 1 << index;
  draft.comparedX87.add(index);
  draft.usesX87 = true;
}

function placeMemory(a: Assembly): void {
  const { draft, template } = a;
  const { random } = draft;
  const length = a.memoryLength;
  if (a.addressOverride === undefined) {
    const canBe16 = draft.bits === 32 && length <= 64 && a.target === 0;
    a.addressOverride = random.chance(0.06) && (draft.bits === 64 || canBe16) && !template.encoding.includes('moffs');
  }
  if (a.target === 0) a.target = chooseTarget(a, length);
  const fits = (r: { base: number; size: number }) => a.target >= r.base && a.target + length <= r.base + r.size;
  const bytes = a.memory ?? new Uint8Array(length);
  if (fits(REGION.data) || fits(REGION.low)) draft.window(a.target, bytes);
  else if (a.target < REGION.data.base + REGION.data.size) {
    draft.window(a.target, bytes.subarray(0, REGION.data.base + REGION.data.size - a.target));
  }
}

function chooseTarget(a: Assembly, length: number): number {
  const { draft, template } = a;
  const { random } = draft;
  const align = template.aligned && !random.chance(0.04) ? 16 : 1;
  const aligned = (address: number) => (align === 1 ? address : address & ~(align - 1));
  if (a.addressOverride && draft.bits === 32) return aligned(REGION.low.base + 64 + random.below(0x1000));
  if (!template.noFaults && !template.stack && draft.cpl === 0 && random.chance(0.025)) {
    userPages(draft);
    const readonly = random.chance(0.5);
    const end = REGION.data.base + REGION.data.size;
    return readonly ? aligned(REGION.readonly.base + random.below(0x800)) : aligned(end - random.below(length + 8));
  }
  if (length > 1 && length <= 16 && random.chance(0.06))
    return aligned(REGION.data.base + 0x1000 - random.below(length));
  return aligned(REGION.data.base + random.below(OPERAND_LIMIT - REGION.data.base - length));
}

/** Makes a case run at CPL 3 with paging, as the harness itself does: what page faults need. */
export function userPages(draft: Draft): void {
  draft.cpl = 3;
  draft.pages = [
    [REGION.data.base, REGION.data.size, 'rwu'],
    [REGION.readonly.base, REGION.readonly.size, 'ru'],
    [REGION.low.base, REGION.low.size, 'rwu'],
    [REGION.code.base, REGION.code.size, 'rwxu'],
  ];
}

interface Address {
  mod: number;
  rm: number;
  sib?: number;
  displacement: number[];
  rexX: number;
  rexB: number;
  ripRelative?: boolean;
}

const signed8 = (value: bigint) => value >= -128n && value <= 127n;
const signed32 = (value: bigint) => value >= -0x8000_0000n && value <= 0x7fff_ffffn;

/** Chooses an addressing form whose effective address is the target, and sets the registers it needs. */
function address(a: Assembly): Address {
  const { draft } = a;
  const { random } = draft;
  if (a.addressOverride && draft.bits === 32) return address16(a);
  const width = draft.bits === 64 && !a.addressOverride ? 64 : 32;
  const target = BigInt(a.target);
  const count = draft.regs.length;
  if (random.chance(0.12)) {
    const displacement = [...toBytes(target, 4)];
    if (draft.bits === 32) return { mod: 0, rm: 5, displacement, rexX: 0, rexB: 0 };
    if (random.chance(0.6)) return { mod: 0, rm: 5, displacement, rexX: 0, rexB: 0, ripRelative: true };
    return { mod: 0, rm: 4, sib: 0x25 | (random.below(4) << 6), displacement, rexX: 0, rexB: 0 };
  }
  const base = random.below(count);
  let rest = target;
  let sib: { index: number; scale: number } | undefined;
  if (random.chance(0.45)) {
    let index = random.below(count);
    if (index === 4 || index === base) index = 4;
    const scale = random.below(4);
    if (index !== 4) {
      if (!draft.pinned.has(index)) draft.pin(index, random.integer(draft.bits));
      rest -= draft.reg(index) << BigInt(scale);
    }
    sib = { index, scale };
  }
  let displacement: bigint;
  let wide = false;
  if (draft.pinned.has(base)) {
    displacement = BigInt.asIntN(width, rest - draft.reg(base));
    if (!signed32(displacement))
      return { mod: 0, rm: 4, sib: 0x25, displacement: [...toBytes(target, 4)], rexX: 0, rexB: 0 };
    wide = !signed8(displacement) || random.chance(0.3);
  } else {
    wide = random.chance(0.4);
    displacement = wide
      ? BigInt.asIntN(32, random.integer(32))
      : random.chance(0.5)
        ? 0n
        : BigInt.asIntN(8, random.bits(8));
    const garbage = width < draft.bits ? random.bits(32) << 32n : 0n;
    draft.pin(base, BigInt.asUintN(width, rest - displacement) | garbage);
  }
  const needsByte = (base & 7) === 5;
  const mod = wide ? 2 : displacement === 0n && !needsByte ? 0 : 1;
  const bytes = mod === 2 ? [...toBytes(displacement, 4)] : mod === 1 ? [...toBytes(displacement, 1)] : [];
  if (!sib && (base & 7) === 4) sib = { index: 4, scale: 0 };
  if (!sib) return { mod, rm: base & 7, displacement: bytes, rexX: 0, rexB: base >> 3 };
  const sibByte = (sib.scale << 6) | ((sib.index & 7) << 3) | (base & 7);
  return { mod, rm: 4, sib: sibByte, displacement: bytes, rexX: sib.index >> 3, rexB: base >> 3 };
}

const PAIRS = [[3, 6], [3, 7], [5, 6], [5, 7], [6], [7], [5], [3]]; // prettier-ignore

function address16(a: Assembly): Address {
  const { draft } = a;
  const { random } = draft;
  const rm = random.below(8);
  const [first, second] = PAIRS[rm] as [number, number?];
  const absolute: Address = { mod: 0, rm: 6, displacement: [...toBytes(BigInt(a.target), 2)], rexX: 0, rexB: 0 };
  if (random.chance(0.15) || draft.pinned.has(first)) return absolute;
  let rest = BigInt(a.target);
  if (second !== undefined) {
    if (!draft.pinned.has(second)) draft.pin(second, (draft.reg(second) & 0xffff0000n) | random.bits(16));
    rest -= draft.reg(second);
  }
  const mod = random.pick([rm === 6 ? 1 : 0, 1, 2]);
  const displacement = mod === 0 ? 0n : BigInt.asIntN(8 * mod, random.bits(8 * mod));
  draft.pin(first, (draft.reg(first) & 0xffff0000n) | BigInt.asUintN(16, rest - displacement));
  return { mod, rm, displacement: [...toBytes(displacement, mod)], rexX: 0, rexB: 0 };
}

function immediateLength(token: string, a: Assembly): number | undefined {
  switch (token) {
    case 'ib':
    case 'rel8':
      return 1;
    case 'iw':
      return 2;
    case 'iz':
      return a.size === 16 ? 2 : 4;
    case 'relz':
      return a.size === 16 && a.draft.bits === 32 ? 2 : 4;
    case 'iv':
      return a.size / 8;
    case 'moffs':
      return a.draft.bits / 8;
    default:
      return undefined;
  }
}

/** The bytes of the instruction. SDM vol. 2A, 2.1 and 2.2. */
function encode(a: Assembly): number[] {
  const { draft, template, size } = a;
  const { random } = draft;
  const tokens = template.encoding.split(' ');
  const mandatory: number[] = [];
  while (tokens.length > 1 && /^(66|F2|F3)$/.test(tokens[0] ?? '')) mandatory.push(parseInt(tokens.shift() ?? '', 16));
  let rexW = size === 64 && !template.default64 && !template.encoding.includes('!W') ? 1 : 0;
  let rexR = 0;
  let rexX = 0;
  let rexB = 0;
  let rip: { at: number } | undefined;
  const body: number[] = [];
  for (const token of tokens) {
    const length = immediateLength(token, a);
    if (token === 'W') rexW = 1;
    else if (token === '!W') continue;
    else if (token === '+r') {
      body[body.length - 1] = (body.at(-1) ?? 0) | ((a.rm ?? 0) & 7);
      rexB = (a.rm ?? 0) >> 3;
    } else if (token.startsWith('/')) {
      rexR = a.reg >> 3;
      if (!hasMemory(a)) {
        body.push(0xc0 | ((a.reg & 7) << 3) | ((a.rm ?? 0) & 7));
        rexB = (a.rm ?? 0) >> 3;
        continue;
      }
      const where = address(a);
      ({ rexX, rexB } = where);
      body.push((where.mod << 6) | ((a.reg & 7) << 3) | where.rm);
      if (where.sib !== undefined) body.push(where.sib);
      if (where.ripRelative) rip = { at: body.length };
      body.push(...where.displacement);
    } else if (length !== undefined) {
      let value = a.immediate ?? random.integer(8 * length);
      if (token.startsWith('rel')) value = BigInt(a.relative ?? 0);
      if (token === 'moffs') value = BigInt(a.target);
      body.push(...toBytes(value, length));
    } else body.push(parseInt(token, 16));
  }
  const prefixes = [...a.prefixes];
  if (size === 16 && !template.encoding.includes('!W')) prefixes.push(0x66);
  if (a.addressOverride && hasMemory(a)) prefixes.push(0x67);
  else if (a.addressOverride && a.memoryLength === 0) prefixes.push(0x67);
  if (hasMemory(a) && random.chance(0.08)) prefixes.push(random.pick([0x26, 0x36, 0x3e, 0x2e]));
  for (let i = prefixes.length - 1; i > 0; i--) {
    const j = random.below(i + 1);
    [prefixes[i], prefixes[j]] = [prefixes[j] ?? 0, prefixes[i] ?? 0];
  }
  const rex = (rexW << 3) | (rexR << 2) | (rexX << 1) | rexB;
  if (draft.bits === 64 && (rex || a.forceRex || random.chance(0.03))) {
    body.unshift(0x40 | rex);
    if (rip) rip.at++;
  } else if (rex) throw new Error(`${template.name}: needs REX in 32-bit mode`);
  const code = [...prefixes, ...mandatory, ...body];
  if (rip) {
    const at = rip.at + prefixes.length + mandatory.length;
    toBytes(BigInt(a.target - (draft.rip + code.length)), 4).forEach((byte, i) => (code[at + i] = byte));
  }
  return code;
}
