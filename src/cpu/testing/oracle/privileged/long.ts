/** Scenarios in long mode, in assembly for the frame `long.s`. */

const each = (instructions: readonly string[]): string =>
  instructions.map((line) => `  expect 9f\n  ${line}\n  log 0x600d\n9:`).join('\n');

const eachAsUser = (instructions: readonly string[]): string =>
  instructions.map((line) => `  expect 9f\n  to_user 8f\n8:\n  ${line}\n  int 0x30\n9:`).join('\n');

const load = (register: string, selector: string): string => `mov eax, ${selector}\n  mov ${register}, eax`;

const writeMsr = (msr: string, high: string, low: string): string =>
  `  mov ecx, ${msr}\n  mov eax, ${low}\n  mov edx, ${high}\n  wrmsr`;

/** STAR as in the frame's GDT, LSTAR to label 6, SFMASK of TF, IF, DF and AC. */
const SYSCALL_SETUP = [
  writeMsr('0xc0000081', '0x00180008', '0'),
  writeMsr('0xc0000082', '0', 'offset 6f'),
  writeMsr('0xc0000084', '0', '0x40700'),
].join('\n');

export const LONG: Readonly<Record<string, string>> = {
  'privileged instructions at CPL 3': eachAsUser([
    'hlt', 'cli', 'in al, dx', 'mov rax, cr0', 'mov cr8, rax', 'lgdt [gdt_pointer]', 'ltr ax', 'invlpg [0]', 'rdmsr',
    'wrmsr', 'swapgs', 'mov rax, dr7', 'sysretq', 'clts', 'nop',
  ]), // prettier-ignore
  'interrupts, their stacks and its alignment': `
${each(['int 0x30', 'sub rsp, 3\n  int 0x30', 'sub rsp, 8\n  int3', 'int 0x32', 'sub rsp, 5\n  int 0x32', 'int 0x90', 'ud2'])}
${eachAsUser(['int 0x30', 'sub rsp, 3\n  int 0x30', 'int 0x32', 'int 0x31', 'ud2', 'int3'])}`,
  'page faults': `
  mov qword ptr [PAGE_TABLE + 0x30 * 8], 0
  mov qword ptr [PAGE_TABLE + 0x31 * 8], 0x31003
  mov qword ptr [PAGE_TABLE + 0x32 * 8], 0x32005
  mov rax, 0x8000000000033007
  mov [PAGE_TABLE + 0x33 * 8], rax
${each(['mov eax, [0x30010]', 'mov [0x30010], eax', 'mov [0x32004], eax', 'mov rax, 0x7fffffffe000\n  mov rax, [rax]', 'mov rax, 0xffff800000001234\n  mov [rax], rax', 'mov eax, 0x33000\n  jmp rax', 'mov eax, 0x30000\n  jmp rax'])}
${eachAsUser(['mov rax, [0x30010]', 'mov [0x30010], rax', 'mov rax, [0x31004]', 'mov [0x31004], rax', 'mov [0x32004], rax', 'mov rax, [0x2fffc]', 'mov rax, 0x33010\n  jmp rax', 'mov rax, 0x31010\n  jmp rax', 'mov rax, 0x30010\n  jmp rax', 'mov rax, [0x33000]'])}`,
  'no-execute in the page directory, and a large page': `
  mov rax, 0x8000000000000087
  mov [PML4 + 0x2008], rax
  mov dword ptr [0x28000], 0x11223344
  mov eax, [0x228000]
  log rax
  mov [0x228004], eax
  log [PML4 + 0x2008]
${each(['mov eax, 0x228000\n  jmp rax'])}`,
  'addresses that are not canonical': `
  mov rbx, 0x800000000000
${each(['mov rax, [rbx]', 'mov [rbx], rax', 'mov rsp, rbx\n  push rax', 'mov rsp, rbx\n  pop rax', 'mov rdi, rbx\n  stosb', 'fld qword ptr [rbx]'])}
${eachAsUser(['mov rax, [rbx]', 'mov rsp, rbx\n  push rax'])}`,
  'segment registers in 64-bit mode': `
${each([load('ss', '0'), load('ss', '0x10'), load('ss', '0x58'), load('ds', '0x58'), load('ds', '0x23'), load('es', '0x60'), load('fs', '0xfff8'), load('ss', '0x23')])}
${eachAsUser([load('ss', '0'), load('ss', '3'), load('ss', '0x23'), load('ds', '0x10'), load('ds', '0')])}`,
  'bases of FS and GS': `
  mov qword ptr [0x28010], 0x1111
  mov qword ptr [0x28020], 0x2222
${writeMsr('0xc0000100', '0', '0x28000')}
${writeMsr('0xc0000101', '0', '0x28010')}
${writeMsr('0xc0000102', '0', '0x28020')}
  mov rax, fs:[0x10]
  log rax
  mov rax, gs:[0]
  log rax
  swapgs
  mov rax, gs:[0]
  log rax
  mov ecx, 0xc0000102
  rdmsr
  log rax
  mov ecx, 0x23
  mov fs, ecx
  mov ecx, 0xc0000100
  rdmsr
  log rax
  mov rax, ds:[0x28010]
  log rax`,
  'SYSCALL and SYSRET': `
${SYSCALL_SETUP}
  expect 1f
  to_user 5f, 0x602
5:
  std
  syscall
7:
  int 0x30
6:
  log rcx
  and r11d, FLAGS_LOGGED
  log r11
  mov eax, cs
  log rax
  mov eax, ss
  log rax
  pushfq
  pop rax
  and eax, FLAGS_LOGGED
  log rax
  mov r11, 0x3402
  sysretq
1:
  expect 1f
${writeMsr('0xc0000082', '0', 'offset 6f')}
  to_user 5f
5:
  syscall
6:
  mov ecx, offset 7f
  mov r11, 2
  .byte 0x0f, 0x07
.code32
7:
  int 0x30
.code64
1:
  mov ecx, 0xc0000080
  rdmsr
  and eax, 0xfffffffe
  wrmsr
${eachAsUser(['syscall'])}
${each(['syscall', 'sysretq'])}`,
  'compatibility mode': `
  expect 1f
  to_user 5f, 2, 0x1b
.code32
5:
  mov eax, 0x12345678
  push eax
  inc eax
  push eax
  mov edx, 0xffffffff
  lea ecx, [edx + 2]
  push ecx
  push cs
  call 0x1b:6f
6:
  jmp 0x2b:7f
.code64
7:
  mov rax, 0x123456789
  push rax
  int 0x30
1:
  log [STACK3 - 8]
  log [STACK3 - 16]
  log [STACK3 - 24]
  log [STACK3 - 32]
  expect 1f
  ${load('ss', '0x10')}
  push 0x40
  push offset 5f
  retfq
.code32
5:
  mov eax, cs
  push eax
  int 0x30
.code64
1:
${each(['push 0x68\n  push offset done\n  retfq', 'push 0x60\n  push offset done\n  retfq', 'push 0x10\n  push offset done\n  retfq', 'push 0\n  push offset done\n  retfq'])}`,
  'call gates': `
  expect 1f
  to_user 5f
5:
  .byte 0xff, 0x1c, 0x25
  .long 6f
  int 0x30
6:
  .long 0
  .word 0x4b
1:
  expect 1f
  .byte 0xff, 0x1c, 0x25
  .long 6b
1:`,
  IRETQ: `
  push 0x10
  push STACK2
  push 2
  push 0x08
  push offset 5f
  iretq
5:
  log rsp
  mov rsp, STACK0
  push 0
  push STACK2 - 3
  push 2
  push 0x08
  push offset 5f
  iretq
5:
  log rsp
  mov rsp, STACK0
${each(['push 0\n  push STACK3\n  push 2\n  push 0x2b\n  push offset done\n  iretq', 'push 0x20\n  push STACK3\n  push 2\n  push 0x2b\n  push offset done\n  iretq', 'push 0x10\n  push STACK3\n  push 2\n  push 0\n  push offset done\n  iretq', 'push 0x10\n  push STACK3\n  push 2\n  push 0x60\n  push offset done\n  iretq'])}`,
  'a double fault on its own stack': `
  mov byte ptr [idt + 13 * 16 + 5], 0x0e
${each(['mov eax, 0xfff8\n  mov ds, eax'])}
${eachAsUser(['hlt'])}
  mov byte ptr [idt + 13 * 16 + 5], 0x8e
  mov qword ptr [PAGE_TABLE + 0x30 * 8], 0
${each(['mov rsp, 0x30008\n  ud2', 'mov rsp, 0x31008\n  mov eax, [0x30000]'])}`,
  'SMEP and SMAP': `
  mov byte ptr [0x30000], 0xc3
  mov ecx, PAGE_TABLE
6:
  and byte ptr [rcx], 0xfb
  add ecx, 8
  cmp ecx, PAGE_TABLE + 0x200
  jb 6b
  mov qword ptr [PAGE_TABLE + 0x30 * 8], 0x30007
  mov rax, cr3
  mov cr3, rax
  mov eax, 0x100620
  mov cr4, rax
${each(['mov eax, 0x30000\n  call rax', 'mov eax, [0x30000]'])}
  mov eax, 0x200620
  mov cr4, rax
${each(['mov eax, 0x30000\n  call rax', 'mov eax, [0x30000]', 'mov [0x30008], eax', 'stac\n  mov eax, [0x30000]\n  clac', 'push 0x40002\n  popfq\n  mov [0x30008], eax', 'lock inc dword ptr [0x30008]'])}`,
  'single step': `
  expect 1f
  pushfq
  or dword ptr [rsp], 0x100
  popfq
  nop
  nop
1:
${SYSCALL_SETUP}
  expect 1f
  to_user 5f, 0x102
5:
  syscall
  nop
6:
  log 0x7777
  mov rsp, STACK0
  jmp 1f
1:
  expect 1f
  mov rax, offset 5f
  mov dr3, rax
  mov eax, 0x80
  mov dr7, rax
  nop
5:
  nop
1:`,
  CR8: `
  mov eax, 5
  mov cr8, rax
  xor eax, eax
  mov rax, cr8
  log rax`,
  'far transfers through memory': `
  mov qword ptr [0x28000], offset 5f
  mov word ptr [0x28008], 0x08
  .byte 0x48, 0xff, 0x2c, 0x25
  .long 0x28000
5:
  mov qword ptr [0x28000], offset 6f
  .byte 0x48, 0xff, 0x1c, 0x25
  .long 0x28000
6:
  log [rsp + 8]
  log rsp
  mov rsp, STACK0`,
  'FS and GS on the stack': `
  mov eax, 0x20
  mov fs, eax
  mov gs, eax
  push fs
  log [rsp]
  push gs
  log rsp
  mov qword ptr [rsp], 0x10
  pop gs
  mov eax, gs
  log rax
  pop fs
  mov eax, fs
  log rax
  .byte 0x66, 0x0f, 0xa8
  log rsp
  .byte 0x66, 0x0f, 0xa1
  log rsp
  mov eax, fs
  log rax`,
  'system registers': `
  sgdt [0x28000]
  log [0x28000]
  log [0x28008]
  sidt [0x28000]
  log [0x28000]
  smsw rax
  log rax
  mov rax, -1
  sldt rax
  log rax
  mov rax, -1
  str rax
  log rax
  mov ecx, 0x20
  mov rbx, -1
  .byte 0x48, 0x0f, 0x02, 0xd9
  log rbx
  .byte 0x48, 0x0f, 0x03, 0xd9
  log rbx
  mov dword ptr [0x28000], 0x28
  .byte 0x48, 0x0f, 0x02, 0x1c, 0x25
  .long 0x28000
  log rbx
  .byte 0x48, 0x0f, 0x03, 0x1c, 0x25
  .long 0x28000
  log rbx
  .byte 0x48, 0x8c, 0xd8
  log rax
  rdrand rax
  setc al
  movzx eax, al
  log rax
  rdseed rax
  setc al
  movzx eax, al
  log rax
  xor eax, eax
  in eax, 0xe4
  log rax
${each(['.byte 0x48, 0x0f, 0xb9, 0xc0', '.byte 0x48, 0x0f, 0xb9, 0x00', '.byte 0x48, 0x0f, 0xff, 0xc0', '.byte 0x48, 0x0f, 0xff, 0x00'])}`,
};
