# Frame of the 32-bit protected-mode scenarios. The scenario's own code replaces the line SCENARIO; it runs at CPL 0
# with flat segments, and leaves what it observed in the log at LOG.
#
# Each exception and interrupt is logged: vector, error code, CR2, DR6, then the frame that the processor pushed (3, 5
# or 9 words; of EFLAGS only TF IF DF IOPL NT VM AC), and execution goes on at CPL 0 at the address in `resume`.
.intel_syntax noprefix
.set LOG, 0x20000
.set STACK0, 0x7000
.set STACK3, 0x6000
.set PAGE_DIRECTORY, 0x10000
.set PAGE_TABLE, 0x11000
.set FLAGS_LOGGED, 0x67700
.set STUB, 16

# Goes on at \label when something is delivered.
.macro expect label
  mov dword ptr [resume], offset \label
.endm
# Leaves for CPL 3 at \label with EFLAGS \flags.
.macro to_user label, flags=2
  push eax
  mov eax, 0x23
  mov ds, eax
  mov es, eax
  mov fs, eax
  mov gs, eax
  pop eax
  push 0x23
  push STACK3
  push \flags
  push 0x1b
  push offset \label
  iretd
.endm
# Writes a word to the log.
.macro log value
  push edi
  push eax
  mov edi, [log_at]
  mov eax, \value
  mov [edi], eax
  add edi, 4
  mov [log_at], edi
  pop eax
  pop edi
.endm
.macro log_zf
  setz al
  movzx eax, al
  log eax
.endm

.code16
start:
  cli
  lgdt [gdt_pointer]
  mov eax, 0x31
  mov cr0, eax
  jmp 0x08:protected
.code32
protected:
  mov eax, 0x10
  mov ds, eax
  mov es, eax
  mov fs, eax
  mov gs, eax
  mov ss, eax
  mov esp, STACK0
  lidt [idt_pointer]
  xor eax, eax
  lldt ax
  mov al, 0x28
  ltr ax
  xor eax, eax
SCENARIO
done:
  cli
  hlt

.balign 16
stubs:
.set vector, 0
.rept 64
  .balign 16, 0x90
  .if vector == 8 || (vector >= 10 && vector <= 14) || vector == 17
  nop
  nop
  .else
  push 0
  .endif
  push vector
  jmp common
  .set vector, vector + 1
.endr

common:
  pushad
  mov ax, 0x10
  mov ds, ax
  mov es, ax
  cld
  lea esi, [esp + 32]
  mov edi, [log_at]
  lodsd
  stosd
  lodsd
  stosd
  mov eax, cr2
  stosd
  mov eax, dr6
  and eax, 0xe00f
  stosd
  xor eax, eax
  mov dr7, eax
  mov dr6, eax
  mov edx, [esi + 8]
  mov ecx, 9
  test edx, 0x20000
  jnz 1f
  mov ecx, 5
  test byte ptr [esi + 4], 3
  jnz 1f
  mov ecx, 3
1:
  lea ebx, [esi + 8]
  rep movsd
  # of EFLAGS only the system bits: status flags and RF are nobody's promise
  sub ebx, esi
  add ebx, edi
  and dword ptr [ebx], FLAGS_LOGGED
  mov [log_at], edi
  mov eax, 0x10
  mov fs, eax
  mov gs, eax
  xor edx, edx
  mov esp, STACK0
  push 2
  popfd
  jmp [resume]

# Target of the call gate: logs where it came from and its parameter, and returns over it.
gate_target:
  mov ax, 0x10
  mov ds, ax
  mov eax, [esp]
  log eax
  mov eax, [esp + 4]
  log eax
  mov eax, [esp + 8]
  log eax
  mov eax, [esp + 12]
  log eax
  mov eax, [esp + 16]
  log eax
  mov eax, 0x23
  mov ds, ax
  retf 4

# Identity-maps the first 4 MiB: user, writable.
paging_on:
  mov edi, PAGE_TABLE
  mov eax, 7
1:
  mov [edi], eax
  add edi, 4
  add eax, 0x1000
  cmp edi, PAGE_TABLE + 0x1000
  jb 1b
  mov dword ptr [PAGE_DIRECTORY], PAGE_TABLE + 7
  mov eax, PAGE_DIRECTORY
  mov cr3, eax
  mov eax, 0x80000031
  mov cr0, eax
  jmp 1f
1:
  ret

.balign 8
resume: .long done
log_at: .long LOG
gdt:
  .quad 0
  .quad 0x00cf9b000000ffff # 08 code, CPL 0
  .quad 0x00cf93000000ffff # 10 data
  .quad 0x00cffb000000ffff # 18 code, CPL 3
  .quad 0x00cff3000000ffff # 20 data, CPL 3
  .word 0x67, tss - start + 0x7c00, 0x8900, 0 # 28 TSS
  .word gate_target - start + 0x7c00, 0x08, 0xec01, 0 # 30 call gate for CPL 3, one parameter
  .quad 0x00cf9f000000ffff # 38 conforming code
  .quad 0x00009b000000ffff # 40 16-bit code
  .quad 0x00cf13000000ffff # 48 data, not present
  .quad 0x00cf99000000ffff # 50 execute-only code
  .quad 0x00cf91000000ffff # 58 read-only data
  .word gate_target - start + 0x7c00, 0x08, 0x8c01, 0 # 60 call gate for CPL 0
  .word gate_target - start + 0x7c00, 0x08, 0x6c01, 0 # 68 call gate for CPL 3, not present
  .word 7, ldt - start + 0x7c00, 0x8200, 0 # 70 LDT
  .word 0x67, tss2 - start + 0x7c00, 0x8900, 0 # 78 second TSS
  .quad 0x00cf1b000000ffff # 80 code, not present
gdt_end:
ldt:
  .quad 0x00cff3000000ffff
tss:
  .long 0, STACK0 - 0x400, 0x10
  .fill 22, 4, 0
  .long 0x00680000
tss2:
  .long 0, STACK0, 0x10, 0, 0, 0, 0, 0
  .long task2 - start + 0x7c00, 2, 0x11, 0x22, 0x33, 0x44, 0x5000, 0x55, 0x66, 0x77
  .long 0x10, 0x08, 0x10, 0x10, 0x10, 0x10, 0, 0x00680000
task2:
  log eax
  log ecx
  log ebx
  str eax
  log eax
  pushfd
  pop eax
  and eax, FLAGS_LOGGED
  log eax
  iretd
  jmp done
gdt_pointer:
  .word gdt_end - gdt - 1
  .long gdt
idt_pointer:
  .word 64 * 8 - 1
  .long idt
.balign 8
idt:
.set vector, 0
.rept 64
  # 3, 4, 30 and 32 are open to CPL 3; 32 is a trap gate, 33 isn't present
  .if vector == 0x32
  .word stubs - start + 0x7c00 + vector * STUB, 0x08, 0xef00, 0
  .elseif vector == 0x33
  .word stubs - start + 0x7c00 + vector * STUB, 0x08, 0x6e00, 0
  .elseif vector == 3 || vector == 4 || vector == 0x30
  .word stubs - start + 0x7c00 + vector * STUB, 0x08, 0xee00, 0
  .else
  .word stubs - start + 0x7c00 + vector * STUB, 0x08, 0x8e00, 0
  .endif
  .set vector, vector + 1
.endr
