/** Scenarios in 32-bit protected mode, in assembly for the frame `protected.s`. Local labels keep them independent. */

/** `expect 1f`, one instruction, `1:` — for a list of instructions that are to raise something at CPL 0. */
const each = (instructions: readonly string[]): string =>
  instructions.map((line) => `  expect 9f\n  ${line}\n  log 0x600d\n9:`).join('\n');

/** The same at CPL 3, each entered anew. */
const eachAsUser = (instructions: readonly string[]): string =>
  instructions.map((line) => `  expect 9f\n  to_user 8f\n8:\n  ${line}\n  int 0x30\n9:`).join('\n');

const load = (register: string, selector: string): string => `mov eax, ${selector}\n  mov ${register}, ax`;

export const PROTECTED: Readonly<Record<string, string>> = {
  'privileged instructions at CPL 3': eachAsUser([
    'hlt', 'cli', 'sti', 'in al, dx', 'out dx, al', 'mov eax, cr0', 'mov cr3, eax', 'lgdt [gdt_pointer]',
    'lidt [idt_pointer]', 'ltr ax', 'lldt ax', 'clts', 'invlpg [0]', 'wbinvd', 'rdmsr', 'wrmsr', 'mov eax, dr7',
    'lmsw ax', 'nop', 'insb', 'outsb',
  ]), // prettier-ignore
  'interrupts from CPL 3': eachAsUser(['int 0x30', 'int 0x31', 'int 0x32', 'int 0x33', 'int3', 'int 0x80', 'ud2']),
  'interrupts from CPL 0': each(['int 0x30', 'int 0x31', 'int 0x33', 'int3', 'int 0x80', 'ud2']),
  'interrupt and trap gates and IF': `
  expect 1f
  sti
  nop
  int 0x31
1:
  expect 2f
  sti
  nop
  int 0x32
2:`,
  'loads of data segment registers': each([
    load('ds', '0x48'), load('es', '0x50'), load('fs', '0xfff8'), load('gs', '0x0c'), load('es', '0x0'),
    load('es', '0x08'), load('fs', '0x3b'), load('gs', '0x58'), load('ds', '0x28'), load('es', '0x30'),
  ]), // prettier-ignore
  'loads of SS': each([
    load('ss', '0'), load('ss', '0x23'), load('ss', '0x13'), load('ss', '0x48'), load('ss', '0x58'), load('ss', '0x08'),
    load('ss', '0xfff0'),
  ]), // prettier-ignore
  'loads of segment registers at CPL 3': eachAsUser([
    load('ds', '0x10'), load('ds', '0x13'), load('es', '0x23'), load('fs', '0x20'), load('ss', '0x20'),
    load('gs', '0x3b'), load('ds', '0x08'),
  ]), // prettier-ignore
  'far jumps': `
${each(['jmp 0x1b:done', 'jmp 0x10:done', 'jmp 0x80:done', 'jmp 0:done', 'jmp 0xfff8:done', 'jmp 0x0b:7f\n7:\n  nop', 'jmp 0x48:done', 'jmp 0x68:0', 'jmp 0x3b:7f\n7:\n  nop'])}
  jmp 0x38:1f
1:
  mov eax, cs
  log eax
  jmp 0x08:1f
1:
  mov eax, cs
  log eax`,
  'far calls and returns': `
  call 0x08:5f
  jmp 6f
5:
  mov eax, [esp]
  mov edx, [esp + 4]
  log eax
  log edx
  retf
6:
${each(['push 0x10\n  push offset done\n  retf', 'push 0\n  push offset done\n  retf', 'push 0x80\n  push offset done\n  retf'])}
  push 0x23
  push STACK3
  push 0x1b
  push offset 7f
  expect 1f
  retf
7:
  int 0x30
1:`,
  'call gates': `
  expect 1f
  to_user 5f
5:
  push 0x12345678
  call 0x30:0
  int 0x30
1:
${eachAsUser(['push 1\n  call 0x60:0', 'push 1\n  call 0x68:0', 'push 1\n  call 0x33:0', 'jmp 0x30:0'])}`,
  'IRET to bad selectors': each([
    'push 2\n  push 0x10\n  push offset done\n  iretd',
    'push 2\n  push 0\n  push offset done\n  iretd',
    'push 2\n  push 0x80\n  push offset done\n  iretd',
    'push 0x20\n  push STACK3\n  push 2\n  push 0x1b\n  push offset done\n  iretd',
    'push 0\n  push STACK3\n  push 2\n  push 0x1b\n  push offset done\n  iretd',
    'push 0x4b\n  push STACK3\n  push 2\n  push 0x1b\n  push offset done\n  iretd',
  ]),
  'POPF and IRET change IF and IOPL only with privilege': `
  push 0x7f02
  and dword ptr [esp], 0xfffffeff
  popfd
  pushfd
  pop eax
  and eax, FLAGS_LOGGED
  log eax
  push 2
  popfd
  expect 1f
  to_user 5f, 0x1002
5:
  push 0x7602
  popfd
  pushfd
  pop eax
  int 0x30
1:
  expect 1f
  to_user 5f, 0x3002
5:
  sti
  cli
  push 0x4602
  popfd
  int 0x30
1:
  expect 1f
  to_user 5f, 0x202
5:
  push 0x1b
  push offset 6f
  push 0x3002
  pop eax
  pushfd
  pop eax
  push eax
  int 0x30
6:
1:`,
  'data segments of outer levels are nulled on the way out': `
  expect 1f
  mov eax, 0x10
  mov ds, ax
  mov es, ax
  mov eax, 0x23
  mov fs, ax
  mov eax, 0x3b
  mov gs, ax
  push 0x23
  push STACK3
  push 2
  push 0x1b
  push offset 5f
  iretd
5:
  push ds
  push es
  push fs
  push gs
  int 0x30
1:
  log [STACK3 - 4]
  log [STACK3 - 8]
  log [STACK3 - 12]
  log [STACK3 - 16]`,
  'page faults at CPL 0': `
  call paging_on
  mov dword ptr [PAGE_TABLE + 0x30 * 4], 0
  mov dword ptr [PAGE_TABLE + 0x31 * 4], 0x31001
  mov dword ptr [PAGE_TABLE + 0x32 * 4], 0x32005
${each(['mov eax, [0x30010]', 'mov [0x30010], eax', 'mov [0x31004], eax', 'mov eax, [0x2fffe]', 'mov [0x2fffd], eax', 'mov eax, [0x400000]', 'push [0x30000]', 'mov eax, 0x30000\n  jmp eax'])}
  mov eax, 0x80010031
  mov cr0, eax
${each(['mov [0x31004], eax', 'mov [0x32004], eax', 'mov eax, [0x31004]', 'mov [0x30ffe], eax', 'xchg [0x31000], eax'])}
  log [PAGE_TABLE + 0x31 * 4]`,
  'page faults at CPL 3': `
  call paging_on
  mov dword ptr [PAGE_TABLE + 0x30 * 4], 0
  mov dword ptr [PAGE_TABLE + 0x31 * 4], 0x31003
  mov dword ptr [PAGE_TABLE + 0x32 * 4], 0x32005
${eachAsUser(['mov eax, [0x30010]', 'mov [0x30010], eax', 'mov eax, [0x31004]', 'mov [0x31004], eax', 'mov eax, [0x32004]', 'mov [0x32004], eax', 'cmpxchg [0x32008], eax', 'cmp [0x32008], eax', 'mov eax, [0x2fffe]', 'mov [0x31fff], ax', 'mov eax, 0x30123\n  jmp eax', 'mov esp, 0x31002\n  push eax', 'mov edi, 0x2fff8\n  mov ecx, 5\n  rep stosd', 'mov esi, 0x2fffc\n  mov edi, 0x28000\n  mov ecx, 3\n  rep movsd'])}`,
  'a fault in the page directory': `
  call paging_on
  mov dword ptr [PAGE_DIRECTORY + 4], 0x12003
  mov dword ptr [0x12000], 0x28007
  mov dword ptr [PAGE_DIRECTORY + 8], 0x12005
${eachAsUser(['mov eax, [0x400000]', 'mov [0x400000], eax', 'mov eax, [0x800000]', 'mov [0x800000], eax', 'mov eax, [0xc00000]'])}`,
  'accessed and dirty bits': `
  call paging_on
  mov dword ptr [PAGE_TABLE + 0x30 * 4], 0x30003
  mov dword ptr [PAGE_TABLE + 0x31 * 4], 0x31003
  mov dword ptr [PAGE_TABLE + 0x32 * 4], 0x32003
  mov dword ptr [PAGE_TABLE + 0x33 * 4], 0x33007
  mov eax, cr3
  mov cr3, eax
  mov eax, [0x30000]
  mov [0x31000], eax
  log [PAGE_TABLE + 0x30 * 4]
  log [PAGE_TABLE + 0x31 * 4]
  log [PAGE_TABLE + 0x32 * 4]
  log [PAGE_TABLE + 0x33 * 4]
  mov [0x30000], eax
  log [PAGE_TABLE + 0x30 * 4]
  lea esi, [0x32ffe]
  mov eax, [esi]
  log [PAGE_TABLE + 0x32 * 4]
  log [PAGE_TABLE + 0x33 * 4]
  log [PAGE_DIRECTORY]`,
  'large pages and INVLPG': `
  call paging_on
  mov eax, 0x10
  mov cr4, eax
  mov dword ptr [PAGE_DIRECTORY + 4], 0x87
  mov eax, [0x400000 + 0x28800]
  mov dword ptr [0x28800], 0x11223344
  log [0x400000 + 0x28800]
  log [PAGE_DIRECTORY + 4]
  mov dword ptr [0x400000 + 0x28804], 5
  log [PAGE_DIRECTORY + 4]
  mov dword ptr [PAGE_TABLE + 0x30 * 4], 0x22003
  mov dword ptr [0x22000], 0x55
  invlpg [0x30000]
  log [0x30000]
  mov dword ptr [PAGE_TABLE + 0x30 * 4], 0
  invlpg [0x30fff]
${each(['mov eax, [0x30000]'])}
  mov dword ptr [PAGE_DIRECTORY + 4], 0x85
  mov eax, cr3
  mov cr3, eax
${eachAsUser(['mov eax, [0x401000]', 'mov [0x401000], eax'])}`,
  'virtual-8086 mode': `
  mov edi, 0x4000
  mov esi, offset 5f
  mov ecx, 6f - 5f
  rep movsb
  expect 1f
  push 0x1111
  push 0x2222
  push 0x3333
  push 0x4444
  push 0x500
  push 0x800
  push 0x23002
  push 0x400
  push 0
  iretd
.code16
5:
  mov ax, 0x300
  mov ds, ax
  mov word ptr [0], 0x1234
  push ax
  pop es
  pushf
  pop bx
  cli
  sti
  cli
  int 0x30
6:
.code32
1:
  log eax
  log ebx
  log [0x3000]`,
  ...Object.fromEntries(
    (
      [
        ['hlt', 0, 'f4'],
        ['CLI', 0, 'fa'],
        ['PUSHF', 0, '9c'],
        ['INT n', 0, 'cd30'],
        ['INT n to a gate of CPL 0', 3, 'cd31'],
        ['INT3', 0, 'cc'],
        ['MOV CR0', 3, '0f20c0'],
        ['LLDT', 3, '0f00d0'],
        ['IRET', 0, 'cf'],
        ['IN', 3, 'ec'],
        ['UD2', 3, '0f0b'],
      ] as const
    ).map(([what, iopl, code]) => [
      `virtual-8086 mode with IOPL ${iopl}: ${what}`,
      `
  mov edi, 0x4000
  mov esi, offset 5f
  mov ecx, 16
  rep movsb
  expect 1f
  push 0
  push 0
  push 0x600
  push 0x500
  push 0x480
  push 0x800
  push ${0x20002 | (iopl << 12)}
  push 0x400
  push 0
  iretd
5:
  .byte ${(code.match(/../g) ?? []).map((byte) => `0x${byte}`).join(', ')}
  .byte 0xcd, 0x30, 0xf4
  .fill 16, 1, 0xf4
1:`,
    ]),
  ),
  'single step': `
  expect 1f
  pushfd
  or dword ptr [esp], 0x100
  popfd
  nop
  nop
1:
  expect 1f
  pushfd
  or dword ptr [esp], 0x100
  popfd
  mov eax, 0x10
1:
  expect 1f
  mov eax, 0x10
  pushfd
  or dword ptr [esp], 0x100
  popfd
  mov ss, ax
  nop
  nop
1:
  expect 1f
  to_user 5f, 0x102
5:
  inc eax
  inc eax
1:`,
  'debug registers': `
  expect 1f
  mov eax, offset 5f
  mov dr0, eax
  mov eax, 0x2
  mov dr7, eax
  nop
5:
  inc eax
1:
  expect 1f
  mov eax, 0x28004
  mov dr1, eax
  mov eax, 0x00d00008
  mov dr7, eax
  mov eax, [0x28004]
  mov [0x28000], eax
  mov [0x28006], ax
  nop
1:
  expect 1f
  mov eax, 0x28004
  mov dr2, eax
  mov eax, 0x0f000020
  mov dr7, eax
  mov eax, [0x28002]
  nop
1:
`,
  'device not available': `
  mov eax, 0x600
  mov cr4, eax
  mov eax, 0x39
  mov cr0, eax
${each(['fld1', 'fwait', 'movaps xmm0, xmm1'])}
  clts
${each(['fld1'])}
  mov eax, 0x35
  mov cr0, eax
${each(['fld1'])}
  mov eax, 0x3b
  mov cr0, eax
${each(['fwait'])}`,
  'SSE needs OSFXSR': each(['addps xmm0, xmm1', 'mov eax, 0x200\n  mov cr4, eax\n  addps xmm0, xmm1']),
  'a gate that is not present, and a double fault': `
  mov byte ptr [idt + 6 * 8 + 5], 0x0e
${each(['ud2'])}
  mov byte ptr [idt + 13 * 8 + 5], 0x0e
${each(['mov eax, 0xfff8\n  mov ds, ax'])}
  mov byte ptr [idt + 13 * 8 + 5], 0x85
${each(['mov eax, 0xfff8\n  mov ds, ax'])}`,
  'LAR, LSL, VERR, VERW, ARPL': `
${['0x08', '0x1b', '0x20', '0x28', '0x30', '0x38', '0x50', '0x58', '0x70', '0', '0xfff8', '0x78']
  .map(
    (selector) => `
  mov ecx, ${selector}
  mov ebx, 0x12345678
  lar ebx, ecx
  log_zf
  and ebx, 0xf0ff00
  log ebx
  mov ebx, 0x12345678
  lsl ebx, ecx
  log_zf
  log ebx
  verr cx
  log_zf
  verw cx
  log_zf`,
  )
  .join('\n')}
  mov eax, 0x10
  mov ecx, 3
  arpl ax, cx
  log eax
  log_zf
  expect 1f
  to_user 5f
5:
  xor edx, edx
  mov esi, 5
  mov ecx, 0x10
  mov ebx, 0x12345678
  lar ebx, ecx
  setz dl
  lsl esi, ecx
  verr cx
  setz dh
  push ebx
  push edx
  push esi
  int 0x30
1:
  log [STACK3 - 4]
  log [STACK3 - 8]
  log [STACK3 - 12]`,
  'stores of system registers': `
  mov ebx, 0x12345678
  str bx
  log ebx
  sldt bx
  log ebx
  mov ecx, 0x70
  lldt cx
  sldt ebx
  log ebx
  mov eax, 0x04
  mov ds, ax
  mov eax, 0x10
  mov ds, ax
  smsw bx
  log ebx
  sgdt [0x28000]
  log [0x28000]
  sidt [0x28008]
  log [0x28008]
  mov eax, [gdt + 0x28 + 4]
  log eax
${each(['mov eax, 0x28\n  ltr ax', 'mov eax, 0x10\n  ltr ax', 'mov eax, 0x28\n  lldt ax'])}`,
  'SYSENTER and SYSEXIT': `
  mov ecx, 0x174
  mov eax, 0x08
  xor edx, edx
  wrmsr
  mov ecx, 0x175
  mov eax, 0x6800
  wrmsr
  mov ecx, 0x176
  mov eax, offset 6f
  wrmsr
  expect 1f
  to_user 5f
5:
  sysenter
6:
  mov eax, 0x10
  mov ds, ax
  mov eax, esp
  log eax
  mov eax, cs
  log eax
  mov eax, ss
  log eax
  mov edx, offset 7f
  mov ecx, 0x5800
  sysexit
7:
  int 0x30
1:
  mov ecx, 0x174
  xor eax, eax
  xor edx, edx
  wrmsr
${eachAsUser(['sysenter'])}
${each(['sysenter', 'sysexit'])}`,
  'task switches': `
  call 0x78:0
  str eax
  log eax
  log [tss2]
  mov eax, cr0
  and eax, 8
  log eax
  pushfd
  pop eax
  and eax, FLAGS_LOGGED
  log eax`,
  'the TSS I/O bitmap': `
  mov word ptr [tss + 0x66], 0x60
  mov byte ptr [gdt + 0x28], 0x67
  mov dword ptr [tss + 0x60], 0
  mov byte ptr [tss + 0x61], 0x02
  mov ax, 0x28
  mov byte ptr [gdt + 0x2d], 0x89
  ltr ax
${eachAsUser(['mov edx, 8\n  in al, dx', 'mov edx, 9\n  in al, dx', 'mov edx, 8\n  in ax, dx', 'mov edx, 0x200\n  in al, dx'])}`,
  'ports of 32 bits': `
  mov edx, 0x1234
  xor eax, eax
  in eax, dx
  log eax
  xor eax, eax
  in eax, 0xe4
  log eax
  out dx, eax
  out 0xe4, eax
  mov edi, 0x28000
  mov dword ptr [edi], 0x1111
  insd
  log [0x28000]
  log edi
  mov esi, 0x28000
  outsd
  log esi`,
  'far pointers': `
  mov dword ptr [0x28000], 0x11223344
  mov dword ptr [0x28004], 0x00100023
  lfs eax, [0x28000]
  log eax
  mov eax, fs
  log eax
  lgs eax, [0x28000]
  log eax
  mov eax, gs
  log eax
  les eax, [0x28000]
  log eax
  mov eax, es
  log eax
  lds eax, [0x28000]
  log eax
  mov eax, ds
  log eax
  mov ecx, 0xffffffff
  lfs cx, [0x28004]
  log ecx
  mov word ptr [0x28006], 0x20
  lgs cx, [0x28004]
  log ecx
  mov eax, gs
  log eax
  mov dword ptr [0x28000], 0x6f00
  mov dword ptr [0x28004], 0x10
  lss ebx, [0x28000]
  log ebx
  mov word ptr [0x28002], 0x10
  lss bx, [0x28000]
  log ebx
  mov eax, ss
  log eax
${each(['mov word ptr [0x28004], 0x48\n  lfs eax, [0x28000]', 'mov word ptr [0x28004], 0x23\n  lss eax, [0x28000]'])}`,
  'FS and GS on the stack': `
  mov eax, 0x20
  mov fs, eax
  mov gs, eax
  push 0x12345678
  pop eax
  push fs
  log esp
  pop eax
  and eax, 0xffff
  log eax
  push gs
  pop fs
  mov eax, fs
  log eax
  push 0x10
  pop gs
  mov eax, gs
  log eax
  .byte 0x66, 0x0f, 0xa0
  log esp
  .byte 0x66, 0x0f, 0xa8
  log [esp]
  .byte 0x66, 0x0f, 0xa1
  .byte 0x66, 0x0f, 0xa9
  log esp
  mov eax, fs
  log eax
  mov eax, gs
  log eax
${each(['push 0x48\n  pop fs', 'push 0xfff8\n  pop gs'])}`,
  'far transfers through memory': `
  mov dword ptr [0x28000], offset 5f
  mov word ptr [0x28004], 0x38
  jmp fword ptr [0x28000]
5:
  mov eax, cs
  log eax
  mov dword ptr [0x28000], offset 6f
  mov word ptr [0x28004], 0x08
  call fword ptr [0x28000]
6:
  log [esp + 4]
  mov eax, cs
  log eax
${each(['mov word ptr [0x28004], 0x10\n  jmp fword ptr [0x28000]', 'mov word ptr [0x28004], 0x80\n  call fword ptr [0x28000]'])}`,
  'a near branch of 16 bits': `
  cmp eax, eax
  .byte 0x66, 0x0f, 0x84
  .word 5f - 4f
4:
  log 0xbad
5:
  .byte 0x66, 0x0f, 0x85
  .word 7f - 6f
6:
  log 0x600d
7:`,
  'UD0, UD1, INT1': each([
    '.byte 0x0f, 0xb9, 0xc0', '.byte 0x0f, 0xb9, 0x05\n  .long 0x28000', '.byte 0x66, 0x0f, 0xb9, 0xc0',
    '.byte 0x66, 0x0f, 0xb9, 0x00', '.byte 0x0f, 0xff, 0xc0', '.byte 0x0f, 0xff, 0x00', '.byte 0x66, 0x0f, 0xff, 0xc0',
    '.byte 0x66, 0x0f, 0xff, 0x00', '.byte 0xf1', '.byte 0x0f, 0x01, 0xd0', '.byte 0x0f, 0x01, 0xd1',
  ]), // prettier-ignore
  'system registers in memory': `
  mov dword ptr [0x28000], 0xffffffff
  smsw word ptr [0x28000]
  log [0x28000]
  smsw eax
  and eax, 0xffff
  log eax
  mov dword ptr [0x28000], 0x39
  lmsw word ptr [0x28000]
  mov eax, cr0
  log eax
  clts
  mov dword ptr [0x28000], 0x70
  lldt word ptr [0x28000]
  mov dword ptr [0x28000], 0xffffffff
  sldt word ptr [0x28000]
  log [0x28000]
  mov dword ptr [0x28000], 0xffffffff
  str word ptr [0x28000]
  log [0x28000]
  mov dword ptr [0x28000], 0x78
  ltr word ptr [0x28000]
  str eax
  log eax
  mov dword ptr [0x28000], 0x23
  verr word ptr [0x28000]
  log_zf
  verw word ptr [0x28000]
  log_zf
  mov dword ptr [0x28000], 0x08
  verw word ptr [0x28000]
  log_zf
  mov ebx, 0xffffffff
  lar ebx, [0x28000]
  log ebx
  mov ebx, 0xffffffff
  lar bx, [0x28000]
  log ebx
  mov ecx, 0x58
  mov ebx, 0xffffffff
  lar bx, cx
  log ebx
  mov ebx, 0xffffffff
  lsl bx, cx
  log ebx
  lsl ebx, [0x28000]
  log ebx
  mov ebx, 0xffffffff
  lsl bx, [0x28000]
  log ebx
  mov dword ptr [0x28000], 0x20
  mov ebx, 3
  arpl [0x28000], bx
  log_zf
  log [0x28000]
  invd`,
  'time and identification': `
  mov ecx, 0xc0000103
  mov eax, 0x1234
  xor edx, edx
  wrmsr
  rdtsc
  mov ebx, eax
  mov esi, edx
  rdtscp
  log ecx
  sub eax, ebx
  sbb edx, esi
  sar edx, 31
  log edx
  mov eax, 1
  cpuid
  and edx, 0x8001
  log edx
  rdrand eax
  setc al
  movzx eax, al
  log eax
  rdrand ax
  setc al
  movzx eax, al
  log eax
  rdseed eax
  setc al
  movzx eax, al
  log eax
  rdseed bx
  setc al
  movzx eax, al
  log eax
  xor eax, eax
  xor ebx, ebx
  xor ecx, ecx
  xor edx, edx
  xor esi, esi`,
};
