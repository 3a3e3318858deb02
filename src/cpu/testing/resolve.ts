/** Makes instructions for the evaluator: from a match (`isa/match.ts`), or from a record that the core has decoded. */
import type { Form, FormOperand } from '../isa/compile.ts';
import type { Match, OperandMatch } from '../isa/match.ts';
import { Record as DecodedRecord, accessNotes, recordFlags } from '../record.ts';
import { Vcpu } from '../state.ts';
import type { ResolvedInstruction, ResolvedOperand } from './evaluator.ts';

/** Byte offset in Vcpu of a register by kind and number. */
function registerAt(kind: 'register' | 'vector' | 'mmx', number: number): number {
  const { gpr, xmm, st } = Vcpu.offsets;
  return kind === 'register' ? gpr + 8 * number : (kind === 'vector' ? xmm : st) + 16 * number;
}

function ofMatch(o: OperandMatch, nextIp: bigint): ResolvedOperand {
  const slot = (n: number | undefined): number => (n === undefined ? Vcpu.offsets.zero : registerAt('register', n));
  switch (o.kind) {
    case 'memory': {
      const relative = o.base === 'rip';
      return {
        kind: 'memory',
        size: o.size,
        segment: o.segment,
        base: slot(o.base === 'rip' ? undefined : o.base),
        index: slot(o.index),
        scale: o.scale,
        displacement: relative ? o.displacement + nextIp : o.displacement,
      };
    }
    case 'immediate':
      return { kind: 'immediate', size: o.size, value: BigInt.asUintN(64, o.value) };
    case 'register':
    case 'vector':
    case 'mmx':
      return { kind: o.kind, size: o.size, at: registerAt(o.kind, o.number) + (o.highByte ? 1 : 0) };
    default:
      return { kind: o.kind, size: o.size, number: o.number };
  }
}

/** `ip`: where the instruction lies, which RIP-relative operands are relative to. */
export function resolveMatch(m: Match, ip: bigint): ResolvedInstruction {
  const nextIp = ip + BigInt(m.length);
  const branch = m.operands.find((o) => o.kind === 'immediate' && o.relative);
  return {
    ...m,
    operands: m.operands.map((o) => ofMatch(o, nextIp)),
    relative: branch?.kind === 'immediate' ? branch.value : 0n,
  };
}

/** Decoded records, read at `$address`, which moves: a struct accessor for each instruction would cost too much. */
export class RecordCursor {
  $address = 0;
  private readonly view: DataView;

  constructor(buffer: ArrayBufferLike) {
    this.view = new DataView(buffer);
  }

  get form(): number {
    return this.view.getUint16(this.$address + DecodedRecord.offsets.form, true);
  }
  get offset(): number {
    return this.view.getUint16(this.$address + DecodedRecord.offsets.offset, true);
  }
  get rm(): number {
    return this.view.getUint16(this.$address + DecodedRecord.offsets.rm, true);
  }
  get reg(): number {
    return this.view.getUint16(this.$address + DecodedRecord.offsets.reg, true);
  }
  get base(): number {
    return this.view.getUint16(this.$address + DecodedRecord.offsets.base, true);
  }
  get index(): number {
    return this.view.getUint16(this.$address + DecodedRecord.offsets.index, true);
  }
  get scale(): number {
    return this.view.getUint8(this.$address + DecodedRecord.offsets.scale) & accessNotes.scale;
  }
  get length(): number {
    return this.view.getUint8(this.$address + DecodedRecord.offsets.length);
  }
  get segment(): number {
    return this.view.getUint8(this.$address + DecodedRecord.offsets.segment);
  }
  get flags(): number {
    return this.view.getUint8(this.$address + DecodedRecord.offsets.flags);
  }
  get displacement(): number {
    return this.view.getInt32(this.$address + DecodedRecord.offsets.displacement, true);
  }
  get immediate(): bigint {
    return this.view.getBigInt64(this.$address + DecodedRecord.offsets.immediate, true);
  }
}

function ofRecord(o: FormOperand, record: RecordCursor, position: number): ResolvedOperand {
  switch (o.kind) {
    case 'memory':
      // A moffs operand is an address in the immediate.
      if (o.number === 1) {
        const { zero } = Vcpu.offsets;
        const displacement = record.immediate;
        return {
          kind: 'memory',
          size: o.size,
          segment: record.segment,
          base: zero,
          index: zero,
          scale: 0,
          displacement,
        };
      }
      return {
        kind: 'memory',
        size: o.size,
        segment: record.segment,
        base: record.base,
        index: record.index,
        scale: record.scale,
        displacement: BigInt(record.displacement),
      };
    case 'immediate': {
      // The second immediate, ENTER's nesting level, lies above the first.
      const value = position === 0 ? record.immediate : record.immediate >> 16n;
      return { kind: 'immediate', size: o.size, value: BigInt.asUintN(64, value) };
    }
    case 'register':
    case 'vector':
    case 'mmx': {
      // Numbers from 16 are AH, CH, DH, BH.
      const fixed = o.number >= 16 ? registerAt(o.kind, o.number - 16) + 1 : registerAt(o.kind, o.number);
      const at = o.slot === 'fixed' ? fixed : record[o.slot];
      return { kind: o.kind, size: o.size, at };
    }
    default:
      return { kind: o.kind, size: o.size, number: o.slot === 'fixed' ? o.number : record[o.slot] };
  }
}

/**
 * From the core's decoder. `form` is the compiled table's form of `record.form`. Memory operands that are
 * RIP-relative have `ripBase` as their base, which the core keeps.
 */
export function resolveRecord(form: Form, record: RecordCursor): ResolvedInstruction {
  const addressSize = ([2, 4, 8] as const)[record.flags & recordFlags.addressSize] ?? 8;
  let immediates = 0;
  return {
    ...form,
    operands: form.operands.map((o) => ofRecord(o, record, o.kind === 'immediate' ? immediates++ : 0)),
    addressSize,
    length: record.length,
    relative: record.immediate,
    x87Opcode: Number(record.immediate & 0x7ffn),
    sourceSegment: record.segment,
  };
}
