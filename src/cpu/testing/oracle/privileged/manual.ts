/**
 * Scenarios that QEMU's TCG gets wrong or does not check, for the frame `protected.s`, with the log that the manual
 * asks for. `undefined` stands for words that are not compared (return addresses in logged frames).
 */

export interface ManualScenario {
  readonly source: string;
  readonly code: string;
  readonly log: readonly (number | undefined)[];
}

/** What the frame logs of an exception at CPL 0: vector, error code, CR2, DR6, EIP, CS, EFLAGS. */
const exception = (vector: number, error: number): (number | undefined)[] => [vector, error, 0, 0, undefined, 8, 0];

const GENERAL_PROTECTION = 13;
const INVALID_TSS = 10;

export const MANUAL: Readonly<Record<string, ManualScenario>> = {
  'protected: task switch through a 16-bit TSS and back': {
    source: 'SDM vol. 3 §7.3, §7.6 and figure 7-10',
    code: `
  mov word ptr [0x2800e], offset 5f
  mov word ptr [0x28010], 2
  mov dword ptr [0x28012], 0x00220011
  mov dword ptr [0x28016], 0x00440033
  mov dword ptr [0x2801a], 0x00555000
  mov dword ptr [0x2801e], 0x00770066
  mov dword ptr [0x28022], 0x00080010
  mov dword ptr [0x28026], 0x00100010
  mov dword ptr [gdt + 0x78], 0x8000002b
  mov dword ptr [gdt + 0x7c], 0x00008102
  call 0x78:0
  jmp 6f
5:
  log eax
  log ecx
  log edx
  log ebx
  log ebp
  log esi
  mov eax, edi
  log eax
  mov eax, fs
  log eax
  str eax
  log eax
  pushfd
  pop eax
  and eax, FLAGS_LOGGED
  log eax
  movzx eax, word ptr [0x28000]
  log eax
  mov al, [gdt + 0x7d]
  and eax, 0xff
  log eax
  mov eax, 0xabcd1234
  iretd
6:
  str eax
  log eax
  mov eax, fs
  log eax
  movzx eax, word ptr [0x28012]
  log eax
  movzx eax, word ptr [0x28024]
  log eax
  movzx eax, word ptr [0x28010]
  and eax, FLAGS_LOGGED
  log eax
  movzx eax, byte ptr [gdt + 0x7d]
  log eax
  movzx eax, byte ptr [gdt + 0x2d]
  log eax
  mov byte ptr [gdt + 0x78], 0x2a
  expect 7f
  call 0x78:0
7:`,
    log: [
      ...[0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0, 0x78, 0x4000, 0x28, 0x83],
      ...[0x28, 0x10, 0x1234, 8, 0, 0x81, 0x8b],
      ...exception(INVALID_TSS, 0x78),
    ],
  },
  'protected: PAE directory pointers with reserved bits': {
    source: 'SDM vol. 3 §4.4.1; QEMU does not look at them before a walk',
    code: `
  mov dword ptr [0x28000], 0x29001
  mov dword ptr [0x29000], 0x87
  mov eax, 0x28000
  mov cr3, eax
  mov eax, 0x20
  mov cr4, eax
  mov dword ptr [0x28010], 0x29003
  expect 1f
  mov eax, 0x80000031
  mov cr0, eax
1:
  mov eax, cr0
  shr eax, 31
  log eax
  mov dword ptr [0x28010], 0x29002
  mov eax, 0x80000031
  mov cr0, eax
  mov eax, cr0
  shr eax, 31
  log eax
  mov dword ptr [0x28018], 0x21
  expect 2f
  mov eax, 0x28000
  mov cr3, eax
2:
  mov dword ptr [0x28018], 0x20
  mov eax, 0x28000
  mov cr3, eax
  log 0x600d
  mov dword ptr [0x28018], 1
  mov dword ptr [0x2801c], 0x100
  expect 3f
  mov eax, 0xa0
  mov cr4, eax
3:
  mov eax, cr4
  log eax`,
    log: [
      ...exception(GENERAL_PROTECTION, 0),
      ...[0, 1],
      ...exception(GENERAL_PROTECTION, 0),
      0x600d,
      ...exception(GENERAL_PROTECTION, 0),
      0x20,
    ],
  },
};
