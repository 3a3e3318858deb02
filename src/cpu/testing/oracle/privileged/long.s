# Frame of the 64-bit scenarios; see protected.s. Every record in the log is nine quadwords: vector, error code, CR2, then
# the five that the processor pushed (of RFLAGS only TF IF DF IOPL NT AC), and where the frame ended on its stack.
.intel_syntax noprefix
.set LOG, 0x20000
.set STACK0, 0x7000
.set STACK1, 0x6c00
.set STACK2, 0x6800
.set STACK3, 0x6000
.set PML4, 0x10000
.set PAGE_TABLE, 0x13000
.set FLAGS_LOGGED, 0x47700
.set STUB, 16

.macro expect label
  mov dword ptr [resume], offset \label
.endm
.macro to_user label, flags=2, code=0x2b
  push 0x23
  push STACK3
  push \flags
  push \code
  push offset \label
  iretq
.endm
.macro log value
  push rdi
  push rax
  mov edi, [log_at]
  mov rax, \value
  mov [rdi], rax
  add edi, 8
  mov [log_at], edi
  pop rax
  pop rdi
.endm

.code16
start:
  cli
  lgdt [gdt_pointer]
  mov eax, 0x31
  mov cr0, eax
  jmp 0x40:protected
.code32
protected:
  mov eax, 0x10
  mov ds, eax
  mov es, eax
  mov ss, eax
  mov esp, STACK0
  mov dword ptr [PML4], PML4 + 0x1007
  mov dword ptr [PML4 + 0x1000], PML4 + 0x2007
  mov dword ptr [PML4 + 0x2000], PAGE_TABLE + 7
  mov edi, PAGE_TABLE
  mov eax, 7
1:
  mov [edi], eax
  mov dword ptr [edi + 4], 0
  add edi, 8
  add eax, 0x1000
  cmp edi, PAGE_TABLE + 0x200
  jb 1b
  mov eax, 0x620
  mov cr4, eax
  mov eax, PML4
  mov cr3, eax
  mov ecx, 0xc0000080
  mov eax, 0x901
  xor edx, edx
  wrmsr
  mov eax, 0x80010031
  mov cr0, eax
  jmp 0x08:long_mode
.code64
long_mode:
  xor eax, eax
  mov ds, eax
  mov es, eax
  mov fs, eax
  mov gs, eax
  mov ss, eax
  lidt [idt_pointer]
  lldt ax
  mov al, 0x30
  ltr ax
  xor eax, eax
  xor ecx, ecx
  mov rsp, STACK0
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
  push rsi
  push rdi
  push rax
  cld
  lea rsi, [rsp + 24]
  mov edi, [log_at]
  movsq
  movsq
  mov rax, cr2
  stosq
  movsq
  movsq
  lodsq
  and eax, FLAGS_LOGGED
  stosq
  movsq
  movsq
  mov rax, rsi
  stosq
  mov [log_at], edi
  xor eax, eax
  mov dr7, rax
  mov ss, eax
  mov rsp, STACK0
  push 2
  popfq
  xor eax, eax
  xor ecx, ecx
  xor esi, esi
  xor edi, edi
  mov eax, [resume]
  jmp rax

gate_target:
  mov rbp, rsp
  log rbp
  log [rbp]
  log [rbp + 8]
  log [rbp + 16]
  log [rbp + 24]
  retfq

.balign 8
resume: .long done
log_at: .long LOG
gdt:
  .quad 0
  .quad 0x00af9b000000ffff # 08 64-bit code, CPL 0
  .quad 0x00cf93000000ffff # 10 data
  .quad 0x00cffb000000ffff # 18 32-bit code, CPL 3
  .quad 0x00cff3000000ffff # 20 data, CPL 3
  .quad 0x00affb000000ffff # 28 64-bit code, CPL 3
  .word 0x67, tss - start + 0x7c00, 0x8900, 0, 0, 0, 0, 0 # 30 TSS
  .quad 0x00cf9b000000ffff # 40 32-bit code, CPL 0
  .word gate_target - start + 0x7c00, 0x08, 0xec00, 0, 0, 0, 0, 0 # 48 call gate
  .quad 0x00cf13000000ffff # 58 data, not present
  .quad 0x00af1b000000ffff # 60 64-bit code, not present
  .quad 0x00effb000000ffff # 68 code with L and D both set
gdt_end:
tss:
  .long 0
  .quad STACK0 - 0x200, 0, 0, 0, STACK1, STACK2, 0, 0, 0, 0, 0
  .word 0, 0, 0, 0x68
gdt_pointer:
  .word gdt_end - gdt - 1
  .quad gdt
idt_pointer:
  .word 64 * 16 - 1
  .quad idt
.balign 8
idt:
.set vector, 0
.rept 64
  # 3 and 30 are open to CPL 3; 32 uses the second interrupt stack, 8 the first
  .if vector == 3 || vector == 0x30
  .word stubs - start + 0x7c00 + vector * STUB, 0x08, 0xee00, 0, 0, 0, 0, 0
  .elseif vector == 0x32
  .word stubs - start + 0x7c00 + vector * STUB, 0x08, 0xef02, 0, 0, 0, 0, 0
  .elseif vector == 8
  .word stubs - start + 0x7c00 + vector * STUB, 0x08, 0x8e01, 0, 0, 0, 0, 0
  .else
  .word stubs - start + 0x7c00 + vector * STUB, 0x08, 0x8e00, 0, 0, 0, 0, 0
  .endif
  .set vector, vector + 1
.endr
