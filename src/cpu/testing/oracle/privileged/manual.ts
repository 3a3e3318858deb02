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

/** The same at CPL 3, with the stack pointer and SS behind. */
const user = (vector: number, flags: number, esp = 0x6000): (number | undefined)[] => [
  ...[vector, 0, 0, 0, undefined, 0x1b, flags],
  ...[esp, 0x23],
];

const GENERAL_PROTECTION = 13;
const ALIGNMENT = 17;
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
  'protected: x87 pointers are linear addresses in virtual-8086 mode': {
    source: 'SDM vol. 1 §8.1.8, figures 8-10 and 8-12, with FCS and FDS 0; QEMU stores the formats of protected mode',
    code: `
  mov edi, 0x4000
  mov esi, offset 5f
  mov ecx, 6f - 5f
  rep movsb
  expect 1f
  push 0
  push 0
  push 0x300
  push 0x300
  push 0x500
  push 0x800
  push 0x23002
  push 0x400
  push 0
  iretd
.code16
5:
  fninit
  mov word ptr [0], 0x37b
  fldcw [0]
  fld1
  fdiv dword ptr [0x10]
  fnstenv [0x20]
  data32 fnstenv [0x40]
  fnstenv [0xa0]
  mov word ptr [0xa8], 0x3123
  mov word ptr [0xac], 0x2000
  fldenv [0xa0]
  data32 fnstenv [0x60]
  data32 fldenv [0x60]
  fxsave [0x80]
  int 0x30
6:
.code32
1:
  log [0x3026]
  log [0x302a]
  log [0x304c]
  log [0x3050]
  log [0x3054]
  log [0x3058]
  log [0x306c]
  log [0x3070]
  log [0x3074]
  log [0x3078]
  movzx eax, word ptr [0x3086]
  log eax
  log [0x3088]
  log [0x308c]
  log [0x3090]
  log [0x3094]`,
    log: [
      ...[0x30, 0, 0, 0, undefined, 0x400, 0x23000, 0x800, 0x500, 0x300, 0x300, 0, 0],
      ...[0x0036_000e, 0x10, 0xffff_000e, 0x36, 0xffff_0010, 0],
      ...[0xffff_000e, 0x3123, 0xffff_0010, 0x2000, 0x123, 0x3_000e, 0, 0x2_0010, 0],
    ],
  },
  'protected: alignment checks come and go with CR0.AM, EFLAGS.AC and CPL': {
    source: 'SDM vol. 3 §6.15, #AC; QEMU checks no alignment',
    code: `
  expect 1f
  to_user 9f, 0x40002
9:
  mov eax, [0x28001]
  int 0x30
1:
  mov eax, 0x40031
  mov cr0, eax
  push 0x40002
  popfd
  mov eax, [0x28001]
  expect 2f
  to_user 9f
9:
  mov eax, [0x28001]
  int 0x30
2:
${[
  'mov eax, [0x28002]',
  'mov [0x28001], ax',
  'mov esi, 0x28001\n  mov edi, 0x29000\n  mov ecx, 3\n  rep movsd',
  'mov esi, 0x28000\n  mov edi, 0x29001\n  mov ecx, 3\n  rep movsb\n  mov ecx, 3\n  rep movsd',
  'mov esp, 0x5ffe\n  push eax',
  'mov esp, 0x5ffe\n  call 9f',
  'lea eax, [0x28001]\n  mov al, [eax]\n  mov eax, [0x28004]\n  int 0x30',
  'lar eax, word ptr [0x28001]',
  'mov esp, 0x5ffc\n  popfd\n  mov eax, [0x28001]\n  int 0x30',
]
  .map((code) => `  expect 9f\n  mov dword ptr [0x5ffc], 2\n  to_user 8f, 0x40002\n8:\n  ${code}\n9:`)
  .join('\n')}
  expect 3f
  to_user 9f
9:
  push 0x40002
  popfd
  mov eax, [0x28001]
3:`,
    log: [
      ...user(0x30, 0x40000),
      ...user(0x30, 0),
      ...Array.from({ length: 4 }, () => user(ALIGNMENT, 0x40000)).flat(),
      ...user(ALIGNMENT, 0x40000, 0x5ffe),
      ...user(ALIGNMENT, 0x40000, 0x5ffe),
      ...user(0x30, 0x40000),
      ...user(ALIGNMENT, 0x40000),
      ...user(0x30, 0),
      ...user(ALIGNMENT, 0x40000),
    ],
  },
  'protected: PAE directory pointers are those of the last load of CR3': {
    source: 'SDM vol. 3 §4.4.1; QEMU reads them at each walk',
    code: `
  mov dword ptr [0x28000], 0x29001
  mov dword ptr [0x28010], 0
  mov dword ptr [0x29000], 0x87
  mov dword ptr [0x2a000], 0x200087
  mov dword ptr [0x30000], 0x1234
  mov eax, 0x28000
  mov cr3, eax
  mov eax, 0x20
  mov cr4, eax
  mov eax, 0x80000031
  mov cr0, eax
  mov dword ptr [0x28008], 0x29001
  mov ebx, 0x40030000
  expect 1f
  mov eax, [ebx]
1:
  mov ebx, 0x40030000
  invlpg [ebx]
  expect 2f
  mov eax, [ebx]
2:
  mov eax, 0x28000
  mov cr3, eax
  mov ebx, 0x40030000
  log [ebx]
  mov dword ptr [0x28008], 0x29007
  mov eax, 0x80000031
  mov cr0, eax
  invlpg [ebx]
  log [ebx]
  mov dword ptr [0x28008], 0
  mov eax, 0xa0
  mov cr4, eax
  expect 3f
  mov eax, [ebx]
3:
  mov dword ptr [0x28008], 0x29001
  mov ebx, 0x40030000
  mov eax, 0xc0000031
  mov cr0, eax
  log [ebx]
  mov dword ptr [0x28008], 0x29003
  mov [tss2 + 0x1c], eax
  mov dword ptr [tss2 + 0x1c], 0x28000
  mov dword ptr [tss2 + 0x20], offset 4f
  jmp 0x78:0
4:
  log [0x40030000]
  mov dword ptr [0x28020], 0x29001
  mov dword ptr [0x28028], 0x29003
  mov dword ptr [tss + 0x1c], 0x28020
  mov dword ptr [tss + 0x20], offset 5f
  mov dword ptr [0x28030], 0
  mov dword ptr [0x28038], 0
  mov dword ptr [0x28028], 0x29001
  jmp 0x28:0
5:
  mov eax, cr3
  log eax
  log [0x40030000]`,
    log: [
      ...[14, 0, 0x4003_0000, 0, undefined, 8, 0],
      ...[14, 0, 0x4003_0000, 0, undefined, 8, 0],
      ...[0x1234, 0x1234],
      ...[14, 0, 0x4003_0000, 0, undefined, 8, 0],
      ...[0x1234, 0x1234, 0x28020, 0x1234],
    ],
  },
};
