/**
 * The decoder: instruction bytes to a record, by the tables of `isa/compile.ts`.
 * Sources: SDM vol. 2, chapter 2 (instruction format), tables 2-1 to 2-3 (addressing forms).
 */
import { Arena, DecodeTable, Record, RecordFlags, Vcpu } from '../../../build/core/layout';
import { MODE_CODE_MASK, MODE_CODE_FLAT, MODE_DATA_FLAT, MODE_PROTECTED, MODE_STACK_FLAT } from './mode';

/** Results of `decode` that are not a length. */
// @ts-ignore: decorator
@inline export const DECODE_MORE: i32 = 0;
// @ts-ignore: decorator
@inline export const DECODE_TOO_LONG: i32 = -1;

// Prefix state, packed into one word while prefixes are read.
// @ts-ignore: decorator
@inline const P_66: u32 = 1;
// @ts-ignore: decorator
@inline const P_67: u32 = 2;
// @ts-ignore: decorator
@inline const P_F3: u32 = 4;
// @ts-ignore: decorator
@inline const P_F2: u32 = 8;
// @ts-ignore: decorator
@inline const P_LOCK: u32 = 16;

// @ts-ignore: decorator
@inline
function gprSlot(n: u32): u16 {
  return <u16>(Vcpu.gpr + ((<usize>n) << 3));
}

/** Byte registers 4…7 are AH CH DH BH unless a REX prefix is there. */
// @ts-ignore: decorator
@inline
function byteSlot(n: u32, rex: u32): u16 {
  return rex == 0 && n >= 4 && n < 8 ? <u16>(Vcpu.gpr + ((<usize>(n - 4)) << 3) + 1) : gprSlot(n);
}

/** Marks a record as undefined: executing it raises #UD. */
function undefined_(record: usize, length: u32): i32 {
  store<u16>(record, <u16>DecodeTable.formUndefined, Record.form);
  store<u8>(record, <u8>length, Record.length);
  return (<i32>length) | ENDS;
}

/** Bit beside the length in the result: the block ends with this instruction. */
// @ts-ignore: decorator
@inline export const ENDS: i32 = 0x100;

/**
 * Decodes one instruction at `code`, of which `available` bytes can be read, into `record`. `offset` is its place in
 * its page. Returns its length (with ENDS), DECODE_MORE when it needs more bytes than there are, or DECODE_TOO_LONG.
 */
export function decode(cpu: usize, code: usize, available: u32, record: usize, offset: u32, modeKey: u32): i32 {
  const tables = <usize>load<u32>(cpu, Vcpu.arena) + Arena.tables;
  const codeSize = modeKey & MODE_CODE_MASK;
  const long = codeSize == 2;
  let at: u32 = 0;
  let prefixes: u32 = 0;
  let segment: i32 = -1;
  let rex: u32 = 0;
  let opcode: u32 = 0;
  while (true) {
    if (at >= available) return at >= 15 ? DECODE_TOO_LONG : DECODE_MORE;
    if (at >= 15) return DECODE_TOO_LONG;
    opcode = load<u8>(code + at);
    at++;
    if (long && (opcode & 0xf0) == 0x40) {
      rex = opcode;
      continue;
    }
    if (opcode == 0x66) prefixes |= P_66;
    else if (opcode == 0x67) prefixes |= P_67;
    else if (opcode == 0xf3) prefixes = (prefixes & ~P_F2) | P_F3;
    else if (opcode == 0xf2) prefixes = (prefixes & ~P_F3) | P_F2;
    else if (opcode == 0xf0) prefixes |= P_LOCK;
    else if ((opcode & 0xe7) == 0x26) segment = <i32>((opcode >> 3) & 3);
    else if ((opcode & 0xfe) == 0x64) segment = <i32>(opcode & 7);
    else break;
    // A REX prefix counts only directly before the opcode.
    rex = 0;
  }
  let map: u32 = 0;
  if (opcode == 0x0f) {
    if (at >= available) return DECODE_MORE;
    opcode = load<u8>(code + at);
    at++;
    map = 1;
    if (opcode == 0x38 || opcode == 0x3a) {
      map = opcode == 0x38 ? 2 : 3;
      if (at >= available) return DECODE_MORE;
      opcode = load<u8>(code + at);
      at++;
    }
  }

  // The decision tree.
  const nodes = tables + <usize>load<u32>(tables);
  let node: u32 = load<u16>(tables + DecodeTable.headerBytes + ((<usize>((map << 8) | opcode)) << 1));
  let modrm: u32 = 0;
  let haveModrm = false;
  let entry: usize = 0;
  while (true) {
    const here = nodes + ((<usize>node) << 1);
    const kind = <u32>load<u16>(here);
    if (kind == DecodeTable.nodeLeaf) {
      entry = tables + <usize>load<u32>(tables + 4) + <usize>load<u16>(here + 2) * DecodeTable.entryBytes;
      break;
    }
    let child: u32 = 0;
    switch (kind) {
      case DecodeTable.nodeMode:
        child = long ? 1 : 0;
        break;
      case DecodeTable.nodePrefix:
        child = prefixes & P_F2 ? 3 : prefixes & P_F3 ? 2 : prefixes & P_66 ? 1 : 0;
        break;
      case DecodeTable.nodeWide:
        child = long && rex & 8 ? 1 : 0;
        break;
      case DecodeTable.nodeRexB:
        child = rex & 1;
        break;
      case DecodeTable.nodeReg:
      case DecodeTable.nodeMod:
      case DecodeTable.nodeRm: {
        if (!haveModrm) {
          if (at >= available) return DECODE_MORE;
          modrm = load<u8>(code + at);
          haveModrm = true;
        }
        child =
          kind == DecodeTable.nodeReg
            ? (modrm >> 3) & 7
            : kind == DecodeTable.nodeMod
              ? modrm >= 0xc0
                ? 1
                : 0
              : modrm & 7;
        break;
      }
      default:
        return undefined_(record, at);
    }
    node = load<u16>(here + 2 + ((<usize>child) << 1));
  }

  const flags = <u32>load<u16>(entry);
  // Operand size index: 0, 1, 2 for 16, 32, 64 bits.
  let size: u32 = codeSize == 0 ? 0 : 1;
  if (prefixes & P_66 && !(flags & DecodeTable.flagNo16)) size ^= 1;
  if (long) {
    if (flags & DecodeTable.flagF64) size = 2;
    else if (rex & 8) size = 2;
    else if (flags & DecodeTable.flagD64 && size == 1) size = 2;
  } else if (flags & DecodeTable.flagNo16) size = 1;
  let address: u32 = codeSize;
  if (prefixes & P_67) address = codeSize == 1 ? 0 : 1;

  let general = false;
  let memory = false;
  let shape: u32 = 0;
  let displacement: i32 = 0;
  let base: u16 = <u16>Vcpu.zero;
  let index: u16 = <u16>Vcpu.zero;
  let scale: u32 = 0;
  let relative = false;
  let defaultSegment: i32 = 3;

  if (flags & DecodeTable.flagModrm) {
    if (!haveModrm) {
      if (at >= available) return DECODE_MORE;
      modrm = load<u8>(code + at);
    }
    at++;
    const rm = modrm & 7;
    const mod = modrm >> 6;
    if (mod != 3 && !(flags & DecodeTable.flagAnyMod)) {
      memory = true;
      if (address == 0) {
        // 16-bit addressing forms, SDM vol. 2 table 2-1.
        let size16: u32 = mod;
        switch (rm) {
          case 0:
            base = gprSlot(3);
            index = gprSlot(6);
            break;
          case 1:
            base = gprSlot(3);
            index = gprSlot(7);
            break;
          case 2:
            base = gprSlot(5);
            index = gprSlot(6);
            defaultSegment = 2;
            break;
          case 3:
            base = gprSlot(5);
            index = gprSlot(7);
            defaultSegment = 2;
            break;
          case 4:
            base = gprSlot(6);
            break;
          case 5:
            base = gprSlot(7);
            break;
          case 6:
            if (mod == 0) size16 = 2;
            else {
              base = gprSlot(5);
              defaultSegment = 2;
            }
            break;
          default:
            base = gprSlot(3);
        }
        if (at + size16 > available) return DECODE_MORE;
        if (size16 == 1) displacement = <i32>load<i8>(code + at);
        else if (size16 == 2) displacement = <i32>load<i16>(code + at);
        at += size16;
      } else {
        let baseNumber = rm;
        let hasBase = true;
        if (rm == 4) {
          if (at >= available) return DECODE_MORE;
          const sib = <u32>load<u8>(code + at);
          at++;
          scale = sib >> 6;
          const indexNumber = ((sib >> 3) & 7) | ((rex & 2) << 2);
          if (indexNumber != 4) index = gprSlot(indexNumber);
          baseNumber = sib & 7;
          if (baseNumber == 5 && mod == 0) hasBase = false;
        } else if (rm == 5 && mod == 0) {
          hasBase = false;
          relative = long;
        }
        if (hasBase) {
          if (baseNumber == 4 || baseNumber == 5) {
            if (!(rex & 1)) defaultSegment = 2;
          }
          base = gprSlot(baseNumber | ((rex & 1) << 3));
        } else if (relative) base = <u16>Vcpu.ripBase;
        const size32: u32 = !hasBase || mod == 2 ? 4 : mod;
        if (at + size32 > available) return DECODE_MORE;
        if (size32 == 1) displacement = <i32>load<i8>(code + at);
        else if (size32 == 4) displacement = load<i32>(code + at);
        at += size32;
      }
    }
  }
  let segmentNumber = segment >= 0 ? segment : defaultSegment;
  if (long && segmentNumber < 4) segmentNumber = segment >= 4 ? segment : defaultSegment;

  // Immediates.
  let immediate: i64 = 0;
  const immediateKind = <u32>load<u8>(entry, 2);
  if (immediateKind != 0) {
    let bytes: u32 = 0;
    switch (immediateKind) {
      case DecodeTable.immediateIb:
      case DecodeTable.immediateIsb:
      case DecodeTable.immediateJb:
        bytes = 1;
        break;
      case DecodeTable.immediateIw:
        bytes = 2;
        break;
      case DecodeTable.immediateIz:
        bytes = size == 0 ? 2 : 4;
        break;
      case DecodeTable.immediateJz:
        bytes = size == 0 ? 2 : 4;
        break;
      case DecodeTable.immediateIv:
        bytes = size == 0 ? 2 : size == 1 ? 4 : 8;
        break;
      case DecodeTable.immediateMoffs:
        bytes = address == 0 ? 2 : address == 1 ? 4 : 8;
        break;
      case DecodeTable.immediateFar:
        bytes = size == 0 ? 4 : 6;
        break;
      case DecodeTable.immediateIwib:
        bytes = 3;
        break;
      default:
        bytes = 0;
    }
    if (at + bytes > available) return DECODE_MORE;
    const p = code + at;
    switch (immediateKind) {
      case DecodeTable.immediateIb:
        immediate = <i64>load<u8>(p);
        break;
      case DecodeTable.immediateIsb:
      case DecodeTable.immediateJb:
        immediate = <i64>load<i8>(p);
        break;
      case DecodeTable.immediateIw:
        immediate = <i64>load<u16>(p);
        break;
      case DecodeTable.immediateOne:
        immediate = 1;
        break;
      case DecodeTable.immediateX87:
        immediate = <i64>(((opcode & 7) << 8) | modrm);
        break;
      case DecodeTable.immediateFar:
        immediate =
          size == 0
            ? (<i64>load<u16>(p)) | ((<i64>load<u16>(p + 2)) << 32)
            : (<i64>load<u32>(p)) | ((<i64>load<u16>(p + 4)) << 32);
        break;
      case DecodeTable.immediateIwib:
        immediate = (<i64>load<u16>(p)) | ((<i64>load<u8>(p + 2)) << 16);
        break;
      case DecodeTable.immediateMoffs:
        immediate = bytes == 2 ? <i64>load<u16>(p) : bytes == 4 ? <i64>load<u32>(p) : load<i64>(p);
        memory = true;
        general = true;
        break;
      default:
        immediate = bytes == 2 ? <i64>load<i16>(p) : bytes == 4 ? <i64>load<i32>(p) : load<i64>(p);
    }
    at += bytes;
  }
  if (at > 15) return DECODE_TOO_LONG;

  if (prefixes & P_LOCK && !(flags & DecodeTable.flagLock && memory)) return undefined_(record, at);
  if (flags & DecodeTable.flagProtectedOnly && !(modeKey & MODE_PROTECTED)) return undefined_(record, at);

  // RIP-relative operands start from the end of the instruction.
  if (relative) displacement += <i32>(offset + at);

  // Registers.
  const rmKind = <u32>load<u8>(entry, 3);
  const regKind = <u32>load<u8>(entry, 4);
  let rmSlot: u16 = 0;
  let regSlot: u16 = 0;
  if (rmKind != 0 && (!memory || rmKind >= DecodeTable.registerOpcode)) {
    const n = (modrm & 7) | ((rex & 1) << 3);
    switch (rmKind) {
      case DecodeTable.registerGpr:
        rmSlot = flags & DecodeTable.flagRmByte ? byteSlot(n, rex) : gprSlot(n);
        break;
      case DecodeTable.registerXmm:
        rmSlot = <u16>(Vcpu.xmm + ((<usize>n) << 4));
        break;
      case DecodeTable.registerMmx:
        rmSlot = <u16>(Vcpu.st + ((<usize>(n & 7)) << 4));
        break;
      case DecodeTable.registerOpcode: {
        const o = (opcode & 7) | ((rex & 1) << 3);
        rmSlot = flags & DecodeTable.flagRmByte ? byteSlot(o, rex) : gprSlot(o);
        break;
      }
      case DecodeTable.registerFixed:
        rmSlot = gprSlot(load<u8>(entry, 5));
        break;
      default:
        rmSlot = <u16>(modrm & 7);
    }
  }
  if (regKind != 0) {
    const n = ((modrm >> 3) & 7) | ((rex & 4) << 1);
    switch (regKind) {
      case DecodeTable.registerGpr:
        regSlot = flags & DecodeTable.flagRegByte ? byteSlot(n, rex) : gprSlot(n);
        break;
      case DecodeTable.registerXmm:
        regSlot = <u16>(Vcpu.xmm + ((<usize>n) << 4));
        break;
      case DecodeTable.registerMmx:
        regSlot = <u16>(Vcpu.st + ((<usize>(n & 7)) << 4));
        break;
      case DecodeTable.registerFixed:
        regSlot = gprSlot(load<u8>(entry, 6));
        break;
      default:
        regSlot = <u16>(n & (flags & DecodeTable.flagSegmentOperand ? 7 : 15));
    }
  }

  // The form: by shape, by repetition, by sizes.
  const selector = <u32>load<u8>(entry, 7);
  let form: u32 = 0;
  if (selector == DecodeTable.selectorNormal) {
    if (memory) {
      const flat = long
        ? segmentNumber < 4 && address == 2
        : address == 1 &&
          codeSize == 1 &&
          modeKey & MODE_DATA_FLAT &&
          modeKey & MODE_STACK_FLAT &&
          (segmentNumber == 0 || segmentNumber == 2 || segmentNumber == 3);
      if (!flat || !(modeKey & MODE_STACK_FLAT)) general = true;
      shape = general ? 2 : index == <u16>Vcpu.zero ? 4 : 1;
    } else shape = modeKey & MODE_STACK_FLAT ? 0 : 3;
    form = shape * 3 + size;
  } else {
    const repeat: u32 = selector != DecodeTable.selectorString ? 0 : prefixes & P_F3 ? 1 : prefixes & P_F2 ? 2 : 0;
    form = (repeat * 3 + address) * 3 + size;
  }
  form = load<u16>(entry + 16 + ((<usize>form) << 1));

  store<u16>(record, <u16>form, Record.form);
  store<u16>(record, rmSlot, Record.rm);
  store<u16>(record, regSlot, Record.reg);
  store<u16>(record, base, Record.base);
  store<u16>(record, index, Record.index);
  store<u8>(record, <u8>scale, Record.scale);
  store<u8>(record, <u8>at, Record.length);
  store<u8>(record, <u8>segmentNumber, Record.segment);
  store<u8>(
    record,
    <u8>(
      (address |
        (prefixes & P_LOCK ? RecordFlags.lock : 0) |
        (prefixes & P_F3 ? RecordFlags.rep : 0) |
        (prefixes & P_F2 ? RecordFlags.repne : 0) |
        (rex ? RecordFlags.rex : 0))
    ),
    Record.flags,
  );
  store<i32>(record, displacement, Record.displacement);
  store<i64>(record, immediate, Record.immediate);
  let link: u32 = 0;
  if (flags & DecodeTable.flagRelative) {
    // 1: the target lies in another page, or the mode does not allow links.
    const target = <i64>(offset + at) + immediate;
    link = target < 0 || target > 0xfff || !(modeKey & MODE_CODE_FLAT) || size == 0 ? 1 : 0;
  }
  store<u32>(record, link, Record.link);
  return (<i32>at) | (flags & DecodeTable.flagEnds ? ENDS : 0);
}
