/**
 * A multiboot image of straight-line code that hardly repeats: what decoding costs. It prints `begin`, runs its code as
 * often as asked, and prints `end`; the number of instructions between the two is known. A warm-up loop comes first.
 *
 * The code is a mix such as compilers make (moves, arithmetic, loads, stores, address computations, a branch every
 * eight instructions), drawn by a generator with a fixed seed. Half of the branches are never taken, the others always:
 * they skip a few instructions, which do not count. Encodings: SDM vol. 2.
 */

export interface DecodeImage {
  readonly bytes: Uint8Array;
  /** Instructions from the first of the code to the last of its last pass. */
  readonly instructions: number;
}

/** Where the image is loaded: multiboot kernels may not lie lower. */
const loadAddress = 0x100000;
/** Loads and stores go to this many bytes behind the code. */
const dataBytes = 0x10000;
const stackBytes = 0x1000;
/** EAX, ECX, EDX, EBX and EBP; ESI and EDI hold the data's address, ESP the stack's. */
const registers = [0, 1, 2, 3, 5] as const;
const comPort = 0x3f8;
const warmUpIterations = 60_000_000;

class Code {
  readonly bytes: number[] = [];

  emit(...bytes: readonly number[]): void {
    for (const byte of bytes) this.bytes.push(byte & 0xff);
  }

  emit32(value: number): void {
    this.emit(value, value >> 8, value >> 16, value >> 24);
  }

  get address(): number {
    return loadAddress + this.bytes.length;
  }
}

/** Xorshift32; the same sequence each time. */
function randomNumbers(): (below: number) => number {
  let state = 0x2545f491;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

type Random = (below: number) => number;
const direct = (reg: number, rm: number): number => 0xc0 | (reg << 3) | rm;
/** ModRM for ESI or EDI plus displacement. */
const based = (mod: 1 | 2, reg: number, random: Random): number => (mod << 6) | (reg << 3) | (6 + random(2));

/** Emits one of the instructions, or a few that belong together; returns how many. */
function emitSome(code: Code, random: Random): number {
  const register = (): number => registers[random(registers.length)] ?? 0;
  const [a, b] = [register(), register()];
  switch (random(14)) {
    case 0: // MOV r, r
      code.emit(0x89, direct(a, b));
      return 1;
    case 1: // ADD, OR, AND, SUB, XOR, CMP r, r
      code.emit([0x01, 0x09, 0x21, 0x29, 0x31, 0x39][random(6)] ?? 0x01, direct(a, b));
      return 1;
    case 2: // the same with an immediate
      code.emit(0x83, direct([0, 1, 4, 5, 6, 7][random(6)] ?? 0, a), random(256));
      return 1;
    case 3: // MOV r, imm
      code.emit(0xb8 + a);
      code.emit32(random(0x7fffffff));
      return 1;
    case 4: // MOV r, [ESI + disp8]
    case 5:
      code.emit(0x8b, based(1, a, random), random(0x7c));
      return 1;
    case 6: // MOV [ESI + disp32], r
      code.emit(0x89, based(2, a, random));
      code.emit32(random(dataBytes - 4));
      return 1;
    case 7: // ADD r, [EDI + disp8]
      code.emit(0x03, based(1, a, random), random(0x7c));
      return 1;
    case 8: // LEA r, [r + r * scale + disp8]
      code.emit(0x8d, 0x44 | (a << 3), (random(4) << 6) | (b << 3) | register(), random(128));
      return 1;
    case 9: // MOVZX r, BYTE [ESI + disp8]
      code.emit(0x0f, 0xb6, based(1, a, random), random(0x7f));
      return 1;
    case 10: // CMP r, r and JNE: never taken
      code.emit(0x39, direct(a, a), 0x75, random(0x7f));
      return 2;
    case 11: // CMP r, r and JE: always taken
      emitSkipped(code, a, random);
      return 2;
    case 12: // SHL, SHR, SAR r, imm
      code.emit(0xc1, direct([4, 5, 7][random(3)] ?? 4, a), 1 + random(30));
      return 1;
    default: // PUSH r, POP r
      code.emit(0x50 + a, 0x58 + b);
      return 2;
  }
}

/** A comparison and a branch over one to four instructions. */
function emitSkipped(code: Code, register: number, random: Random): void {
  const skipped = 1 + random(4);
  code.emit(0x39, direct(register, register), 0x74, skipped * 2);
  for (let at = 0; at < skipped; at++) code.emit(0x01, direct(register, registers[random(5)] ?? 0)); // ADD r, r
}

/** Writes text to COM1, polling its line status. */
function emitPrint(code: Code, text: string): void {
  for (const character of text) {
    code.emit(0x66, 0xba, comPort + 5, (comPort + 5) >> 8); // MOV DX, line status
    code.emit(0xec, 0xa8, 0x20, 0x74, 0xfb); // wait: IN AL, DX; TEST AL, 20h; JZ wait
    code.emit(0x66, 0xba, comPort, comPort >> 8); // MOV DX, data
    code.emit(0xb0, character.charCodeAt(0), 0xee); // MOV AL, character; OUT DX, AL
  }
}

/**
 * A loop before the measured part, so that every peer's own code (an engine's or a translator's) is as good as it gets:
 * what is measured is the guest's code being new, not the emulator's.
 */
function emitWarmUp(code: Code): void {
  code.emit(0xb9); // MOV ECX, iterations
  code.emit32(warmUpIterations);
  const loop = code.address;
  code.emit(0x01, 0xd0, 0x8b, 0x5e, 0x04, 0x89, 0x46, 0x08, 0x49); // ADD EAX, EDX; MOV EBX, [ESI+4]; MOV [ESI+8], EAX; DEC ECX
  code.emit(0x75, loop - (code.address + 2)); // JNZ loop
}

/** @param codeBytes about how many bytes of code there are. @param passes how often each instruction runs. */
export function decodeImage(codeBytes: number, passes: number): DecodeImage {
  const code = new Code();
  const flags = 0x10000;
  code.emit32(0x1badb002);
  code.emit32(flags);
  code.emit32(-(0x1badb002 + flags) | 0);
  const addresses = code.bytes.length;
  // Header, load, load end, bss end and entry address; the last three are known at the end.
  for (let field = 0; field < 5; field++) code.emit32(loadAddress);
  const entry = code.address;
  const registerLoads = code.bytes.length;
  for (const register of [6, 7, 4]) {
    code.emit(0xb8 + register); // MOV ESI, EDI, ESP: addresses behind the code
    code.emit32(0);
  }
  code.emit(0x68); // PUSH passes
  code.emit32(passes);
  emitWarmUp(code);
  emitPrint(code, 'begin\n');
  const start = code.address;
  const random = randomNumbers();
  let count = 0;
  while (code.address - start < codeBytes) count += emitSome(code, random);
  code.emit(0xff, 0x0c, 0x24); // DEC DWORD [ESP]
  code.emit(0x0f, 0x85); // JNZ start
  code.emit32(start - (code.address + 4));
  emitPrint(code, 'end\n');
  code.emit(0xfa, 0xf4, 0xeb, 0xfd); // CLI; again: HLT; JMP again

  const bytes = Uint8Array.from(code.bytes);
  const view = new DataView(bytes.buffer);
  const data = (code.address + 0xfff) & ~0xfff;
  view.setUint32(addresses + 8, code.address, true);
  view.setUint32(addresses + 12, data + dataBytes + stackBytes, true);
  view.setUint32(addresses + 16, entry, true);
  for (const [at, value] of [data, data, data + dataBytes + stackBytes].entries()) {
    view.setUint32(registerLoads + at * 5 + 1, value, true);
  }
  return { bytes, instructions: (count + 2) * passes };
}
