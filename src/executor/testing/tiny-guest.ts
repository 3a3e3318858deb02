/** Guests of a few instructions, as multiboot images, for tests of what surrounds the processor. */

const loadAddress = 0x100000;
const headerBytes = 32;
const entry = loadAddress + headerBytes;
export const debugExitPort = 0xf4;

const u32 = (value: number): number[] => [value & 0xff, (value >>> 8) & 0xff, (value >>> 16) & 0xff, value >>> 24];

/** OUT imm8, AL with this value in AL. */
const out = (port: number, value: number): number[] => [0xb0, value, 0xe6, port];
/** JMP to itself. */
const stay = [0xeb, 0xfe];

/** A multiboot 1 image of 32-bit code that is loaded and entered behind its header. */
function image(code: readonly number[]): Uint8Array {
  const magic = 0x1badb002;
  const flags = 0x10000;
  const header = [magic, flags, -(magic + flags), loadAddress, loadAddress, 0, 0, entry];
  return Uint8Array.from([...header.flatMap(u32), ...code]);
}

/** Writes to isa-debug-exit. */
const exit = (value: number): number[] => [...out(debugExitPort, value), ...stay];

/** Prints a text on the serial port, then ends. */
export function printingGuest(text: string, exitValue: number): Uint8Array {
  const bytes = [...new TextEncoder().encode(text)];
  // MOV EDX, 3F8h; then MOV AL, byte; OUT DX, AL for each.
  return image([0xba, ...u32(0x3f8), ...bytes.flatMap((byte) => [0xb0, byte, 0xee]), ...exit(exitValue)]);
}

/** Computes for ever: INC EBX; JMP. */
export function spinningGuest(): Uint8Array {
  return image([0x43, 0xeb, 0xfd]);
}

/** Stores 1 at an address, counts down from 1000, and ends with what is there then. */
export function rememberingGuest(address: number): Uint8Array {
  // MOV dword [address], 1; MOV ECX, 1000; DEC ECX; JNZ; MOV AL, [address]; OUT.
  const store = [0xc7, 0x05, ...u32(address), ...u32(1)];
  const wait = [0xb9, ...u32(1000), 0x49, 0x75, 0xfd];
  return image([...store, ...wait, 0xa0, ...u32(address), 0xe6, debugExitPort, ...stay]);
}

/** NOP, and UD2 with an empty IDT: exception, double fault, shutdown. */
export function tripleFaultingGuest(): Uint8Array {
  return image([0x90, 0x0f, 0x0b]);
}

/** A hard reset through port CF9h. */
export function resettingGuest(): Uint8Array {
  // MOV EDX, CF9h; MOV AL, 6; OUT DX, AL
  return image([0xba, ...u32(0xcf9), 0xb0, 6, 0xee, ...stay]);
}

/** CLI; HLT: waits for what never comes. */
export function sleepingGuest(): Uint8Array {
  return image([0xfa, 0xf4, 0xeb, 0xfd]);
}

/**
 * Programs the PIT to 100 Hz, waits for `ticks` interrupts, counts down from `work` and ends with 5. It waits in HLT, or
 * counting in EBX.
 */
export function tickingGuest(ticks: number, wait: 'halt' | 'spin', work = 1): Uint8Array {
  const idt = 0x110000;
  const gate = idt + 0x20 * 8;
  const loop = wait === 'halt' ? [0xf4, 0xeb, 0xfd] : [0x43, 0xeb, 0xfd];
  // Acknowledge; DEC ECX; JZ to the end; IRET; MOV ECX, work; DEC ECX; JNZ.
  const handler = [...out(0x20, 0x20), 0x49, 0x74, 1, 0xcf, 0xb9, ...u32(work), 0x49, 0x75, 0xfd, ...exit(5)];
  const build = (handlerAddress: number, idtr: number): number[] => [
    ...[0xc7, 0x05, ...u32(gate), ...u32((0x10 << 16) | (handlerAddress & 0xffff))],
    ...[0xc7, 0x05, ...u32(gate + 4), ...u32((handlerAddress & 0xffff0000) | 0x8e00)],
    ...[0x0f, 0x01, 0x1d, ...u32(idtr)],
    ...[out(0x20, 0x11), out(0x21, 0x20), out(0x21, 4), out(0x21, 1), out(0x21, 0xfe)].flat(),
    ...[out(0x43, 0x34), out(0x40, 0x9c), out(0x40, 0x2e)].flat(),
    ...[0xb9, ...u32(ticks)],
    0xbc,
    ...u32(0x120000),
    0xfb,
    ...loop,
  ];
  const handlerAddress = entry + build(0, 0).length;
  const idtr = handlerAddress + handler.length;
  return image([...build(handlerAddress, idtr), ...handler, 0xff, 0x07, ...u32(idt)]);
}

/** What {@link touchingGuest} prints when all that it looked at was zero, and when something was not. */
export const foundClean = 'all zero';
export const foundDirty = 'not zero';

/**
 * Looks whether all of its RAM is zero but for what the loader has put there (below 68 KiB and its own page), fills that
 * with a pattern, every byte of every page, prints what it found, and halts for ever.
 */
export function touchingGuest(ramBytes: number): Uint8Array {
  const ranges = [
    { base: 0x11000, end: 0x90000 },
    { base: loadAddress + 0x1000, end: ramBytes },
  ];
  // MOV EDI, base; then OR EBX, [EDI + n] for each of 16 words; ADD EDI, 64; CMP EDI, end; JB.
  const words = Array.from({ length: 16 }, (_, n) => [0x0b, 0x5f, n * 4]).flat();
  const look = ranges.flatMap(({ base, end }) => {
    const round = [...words, 0x83, 0xc7, 64, 0x81, 0xff, ...u32(end)];
    return [0xbf, ...u32(base), ...round, 0x72, 256 - (round.length + 2)];
  });
  // MOV EDI, base; MOV ECX, words; MOV EAX, pattern; REP STOSD.
  const fill = ranges.flatMap(({ base, end }) => [
    ...[0xbf, ...u32(base), 0xb9, ...u32((end - base) / 4), 0xb8, ...u32(0xa5c35a3c)],
    ...[0xf3, 0xab],
  ]);
  const print = (text: string): number[] => [
    ...[0xba, ...u32(0x3f8)],
    ...[...new TextEncoder().encode(`${text}\n`)].flatMap((byte) => [0xb0, byte, 0xee]),
    ...[0xfa, 0xf4, 0xeb, 0xfd],
  ];
  const clean = print(foundClean);
  // CLD; XOR EBX, EBX; …; TEST EBX, EBX; JNZ over the first text; what it found.
  return image([0xfc, 0x31, 0xdb, ...look, ...fill, 0x85, 0xdb, 0x75, clean.length, ...clean, ...print(foundDirty)]);
}

/** What {@link selfModifyingGuest} sends on the serial port. */
export function selfModified(outer: number, inner: number): Uint8Array {
  let sum = 0;
  const mix = (value: number): void => {
    sum = (sum + value) | 0;
    sum = (sum << 1) | (sum >>> 31);
  };
  for (let k = 0; k < outer; k++) {
    for (let n = 0; n < inner; n++) mix(k + 1);
    for (let n = 0; n < inner; n++) mix(7);
  }
  return Uint8Array.of(sum, sum >>> 8, sum >>> 16, sum >>> 24);
}

/**
 * Adds and rotates, `inner` times in a loop whose addend it writes over after each round, and `inner` times in one of
 * another page that stays as it is; `outer` rounds. Sends the sum, and ends with 9.
 */
export function selfModifyingGuest(outer: number, inner: number): Uint8Array {
  // MOV EDX, inner; ADD ESI, value; ROL ESI, 1; DEC EDX; JNZ to the ADD.
  const loop = (value: number): number[] => [
    0xba,
    ...u32(inner),
    0x81,
    0xc6,
    ...u32(value),
    0xd1,
    0xc6,
    0x4a,
    0x75,
    0xf5,
  ];
  // MOV ESP, stack; XOR ESI, ESI; MOV ECX, outer.
  const start = [0xbc, ...u32(0x120000), 0x31, 0xf6, 0xb9, ...u32(outer)];
  const addend = entry + start.length + 7;
  const routineAt = entry + 0x1000;
  const round = loop(1);
  // CALL routine; INC dword [addend]; DEC ECX; JNZ to the round.
  const callAt = entry + start.length + round.length;
  const rest = [0xe8, ...u32(routineAt - (callAt + 5)), 0xff, 0x05, ...u32(addend), 0x49, 0x75];
  const back = -(round.length + rest.length + 1);
  // MOV EDX, 3F8h; four times MOV EAX, ESI; OUT DX, AL; SHR ESI, 8.
  const send = [0xba, ...u32(0x3f8), ...[1, 2, 3, 4].flatMap(() => [0x89, 0xf0, 0xee, 0xc1, 0xee, 8])];
  const code = [...start, ...round, ...rest, back & 0xff, ...send, ...exit(9)];
  if (code.length > 0x1000) throw new Error('the program reaches into its routine');
  return image([...code, ...Array.from({ length: 0x1000 - code.length }, () => 0x90), ...loop(7), 0xc3]);
}
