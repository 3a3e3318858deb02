/**
 * Status flags that an instruction leaves undefined, by one-byte opcode, as the manuals have it (SDM vol. 1, appendix A,
 * and the instruction pages of vol. 2). They are taken out of comparisons in addition to a case's own `flags_mask`.
 */
import { extensionOf } from './real-instruction.ts';
import type { RealInstruction } from './real-instruction.ts';

const CF = 1;
const PF = 4;
const AF = 0x10;
const ZF = 0x40;
const SF = 0x80;
const OF = 0x800;

/** A row of the table: opcodes in hex (ranges with `-`), with `/n` for an opcode extension. */
interface UndefinedFlagsRow {
  readonly opcodes: string;
  readonly flags: number;
  readonly why: string;
}

export const UNDEFINED_FLAGS: readonly UndefinedFlagsRow[] = [
  { opcodes: '08-0D 20-25 30-35 84 85 A8 A9', flags: AF, why: 'OR, AND, XOR, TEST' },
  { opcodes: '80/1 80/4 80/6 81/1 81/4 81/6 82/1 82/4 82/6 83/1 83/4 83/6', flags: AF, why: 'OR, AND, XOR immediate' },
  { opcodes: 'F6/0 F6/1 F7/0 F7/1', flags: AF, why: 'TEST immediate' },
  { opcodes: 'F6/4 F6/5 F7/4 F7/5 69 6B', flags: SF | ZF | AF | PF, why: 'MUL, IMUL' },
  { opcodes: 'F6/6 F6/7 F7/6 F7/7', flags: CF | OF | SF | ZF | AF | PF, why: 'DIV, IDIV' },
  { opcodes: '27 2F', flags: OF, why: 'DAA, DAS' },
  { opcodes: '37 3F', flags: OF | SF | ZF | PF, why: 'AAA, AAS' },
  { opcodes: 'D4 D5', flags: OF | AF | CF, why: 'AAM, AAD' },
];

const TABLE: ReadonlyMap<string, number> = new Map(
  UNDEFINED_FLAGS.flatMap(({ opcodes, flags }) =>
    opcodes.split(' ').flatMap((text): [string, number][] => {
      const [first, last] = text.split('-');
      if (first === undefined || last === undefined) return [[text, flags]];
      const from = parseInt(first, 16);
      return Array.from({ length: parseInt(last, 16) - from + 1 }, (_, i) => [hex(from + i), flags]);
    }),
  ),
);

function hex(byte: number): string {
  return byte.toString(16).toUpperCase().padStart(2, '0');
}

/** SDM vol. 2B, SAL/SAR/SHL/SHR and RCL/RCR/ROL/ROR. A count of 0 changes nothing. */
function shiftFlags(extension: number, sizeBits: number, count: number): number {
  const masked = count & 31;
  if (masked === 0) return 0;
  const overflow = masked === 1 ? 0 : OF;
  if (extension < 4) return overflow;
  return AF | overflow | (extension !== 7 && masked >= sizeBits ? CF : 0);
}

/** The undefined flags of an instruction; `cl` is the count of a shift by CL. */
export function undefinedFlags(instruction: RealInstruction, cl: number): number {
  const { opcode, immediate } = instruction;
  const extension = extensionOf(instruction);
  const size = opcode & 1 ? 16 : 8;
  if (opcode === 0xd0 || opcode === 0xd1) return shiftFlags(extension, size, 1);
  if (opcode === 0xd2 || opcode === 0xd3) return shiftFlags(extension, size, cl);
  if (opcode === 0xc0 || opcode === 0xc1) {
    // An unknown count could be any: leave out what some count leaves undefined.
    return immediate === undefined ? AF | OF | CF : shiftFlags(extension, size, immediate);
  }
  return TABLE.get(hex(opcode)) ?? TABLE.get(`${hex(opcode)}/${extension}`) ?? 0;
}
