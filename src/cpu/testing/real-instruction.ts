/** The little that rules about real-mode cases must know of an instruction: prefixes, opcode, ModRM. */
import type { CpuCase, MemoryRun } from './cases.ts';

export interface RealInstruction {
  readonly prefixes: readonly number[];
  readonly opcode: number;
  /** Undefined where memory doesn't hold it. Only meaningful for opcodes that have a ModRM byte. */
  readonly modrm: number | undefined;
  /** Bytes of displacement by ModRM. */
  readonly displacement: number;
  /** The byte behind ModRM and displacement: the immediate of shifts by Ib. */
  readonly immediate: number | undefined;
}

const PREFIXES: ReadonlySet<number> = new Set([0x26, 0x2e, 0x36, 0x3e, 0xf0, 0xf2, 0xf3]);
/** Longer runs of prefixes than any processor accepts. */
const MAX_PREFIXES = 16;

/** The byte that the case's memory has at an address, or undefined. */
export function byteAt(runs: readonly MemoryRun[], address: number): number | undefined {
  for (let i = runs.length - 1; i >= 0; i--) {
    const run = runs[i];
    const byte = run?.bytes[address - run.address];
    if (byte !== undefined) return byte;
  }
  return undefined;
}

const reg16 = (c: CpuCase, name: string): number => Number((c.regs[name] ?? 0n) & 0xffffn);

/** The first instruction of a real-mode case; undefined for other modes. */
export function realInstruction(c: CpuCase): RealInstruction | undefined {
  if (c.mode !== 'real') return undefined;
  const base = reg16(c, 'cs') * 16;
  const ip = reg16(c, 'ip');
  // The 8086 wraps offsets at 64 KiB and addresses at 1 MiB.
  const code = (i: number): number | undefined =>
    byteAt(c.mem, base + ip + i) ??
    byteAt(c.mem, base + ((ip + i) & 0xffff)) ??
    byteAt(c.mem, (base + ((ip + i) & 0xffff)) & 0xf_ffff);
  const prefixes: number[] = [];
  for (let i = 0; i < MAX_PREFIXES; i++) {
    const byte = code(i);
    if (byte === undefined) return undefined;
    if (!PREFIXES.has(byte)) {
      const modrm = code(i + 1);
      const displacement = displacementLength(modrm ?? 0xc0);
      return { prefixes, opcode: byte, modrm, displacement, immediate: code(i + 2 + displacement) };
    }
    prefixes.push(byte);
  }
  return undefined;
}

/** SDM vol. 2A, table 2-1. */
function displacementLength(modrm: number): number {
  const mod = modrm >> 6;
  if (mod === 0) return (modrm & 7) === 6 ? 2 : 0;
  return mod === 3 ? 0 : mod;
}

/** ModRM bits 5–3: the opcode extension or register operand. */
export const extensionOf = (instruction: RealInstruction): number => ((instruction.modrm ?? 0) >> 3) & 7;

/** Whether ModRM names a register, not memory. */
export const isRegisterForm = (instruction: RealInstruction): boolean => (instruction.modrm ?? 0) >= 0xc0;

/** Whether a memory operand lies in the stack segment: [BP…] without an override, or with SS:. SDM vol. 2A, 2.1.5. */
export function usesStackSegment(instruction: RealInstruction): boolean {
  const segment = instruction.prefixes.findLast((p) => p === 0x26 || p === 0x2e || p === 0x36 || p === 0x3e);
  if (segment !== undefined) return segment === 0x36;
  const modrm = instruction.modrm ?? 0;
  const [mod, rm] = [modrm >> 6, modrm & 7];
  return mod !== 3 && (rm === 2 || rm === 3 || (rm === 6 && mod !== 0));
}

/** Opcodes that pop or push, and so fault in the stack segment: POP, POPA, LEAVE, RETF, IRET and their kin. */
const STACK_OPCODES: ReadonlySet<number> = new Set([
  ...[0x06, 0x07, 0x0e, 0x16, 0x17, 0x1e, 0x1f, 0x60, 0x61, 0x68, 0x6a, 0x8f, 0x9a, 0x9c, 0x9d],
  ...Array.from({ length: 16 }, (_, i) => 0x50 + i),
  ...[0xc2, 0xc3, 0xc8, 0xc9, 0xca, 0xcb, 0xcf, 0xe8],
]);

export const usesStack = (instruction: RealInstruction): boolean => STACK_OPCODES.has(instruction.opcode);

/** Whether a 386 or later accepts LOCK here: memory destinations of these only. SDM vol. 2A, LOCK. */
export function lockAllowed(instruction: RealInstruction): boolean {
  if (isRegisterForm(instruction)) return false;
  const { opcode } = instruction;
  const extension = extensionOf(instruction);
  if (opcode < 0x38) return (opcode & 7) < 2;
  if (opcode >= 0x80 && opcode <= 0x83) return extension !== 7;
  if (opcode === 0x86 || opcode === 0x87) return true;
  if (opcode === 0xf6 || opcode === 0xf7) return extension === 2 || extension === 3;
  return (opcode === 0xfe || opcode === 0xff) && extension < 2;
}
