/*
 * A kernel that walks through privileged behaviour and prints what it sees on port 0xE9: segment loads and their error
 * codes, LAR/LSL/VERR/VERW, single step, MOV SS shadow, a breakpoint, string instructions over themselves, ring 3, call
 * gates, virtual-8086 mode, task switches, page faults with A/D bits, SYSENTER, IA-32e mode with IST, SYSCALL/SYSRET,
 * compatibility mode. It ends with OUT to port 0xF4. Multiboot (a.out kludge), so that QEMU runs it as well.
 *
 * A letter opens each section; an exception prints E, vector, error code, CS, flags and what belongs to it.
 *
 * Assembled with LAX it leaves out what QEMU's TCG does not check; then its output and QEMU's
 *   qemu-system-x86_64 -cpu max,-la57 -kernel kernel.bin -debugcon stdio -device isa-debug-exit,iobase=0xf4
 * agree but for two of QEMU's liberties: SS = 3 and a non-canonical FS base are accepted at CPL 0 of 64-bit code, and an
 * error code that names an IDT entry has the vector times 16 instead of 8 (SDM vol. 3 figure 6-7).
 *
 * Build: as --64 kernel.S -o kernel.o; link twice with ld -m elf_x86_64 -Ttext 0x100000 -e _start -N, the second time
 * with --defsym X_lo=…, X_hi=… (address of X, low and high 16 bits) for X in tss tss2 tss64 gates gate0;
 * objcopy -O binary; gzip -9n.
 */
.section .text
.code32
.globl _start
.align 4
mb: .long 0x1BADB002, 0x00010000, -(0x1BADB002+0x00010000)
 .long mb, 0x100000, 0, 0, _start
_start:
 cli
 movb $0xff,%al; outb %al,$0x21; outb %al,$0xa1
 movl $stack, %esp
 # CR0: EM=0, NE
 lgdt gdtr
 ljmp $8, $1f
1: movw $16, %ax
 movw %ax,%ds; movw %ax,%es; movw %ax,%ss; movw %ax,%fs; movw %ax,%gs
 # idt: fill 256 gates to stubs
 movl $idt, %edi
 movl $stubs, %eax
 movl $256, %ecx
2: movw %ax,(%edi); movw $8,2(%edi); movw $0x8e00,4(%edi)
 movl %eax,%ebx; shrl $16,%ebx; movw %bx,6(%edi)
 addl $16,%eax; addl $8,%edi; loop 2b
 movb $0xee, idt+0x80*8+5      # DPL 3
 movb $0xef, idt+0x81*8+5      # trap gate DPL3
 movb $0xee, idt+3*8+5
 # int 0x82: 16-bit interrupt gate with handler h16 in low 64K? skip
 lidt idtr
 movw $0x28,%ax; ltr %ax
 movl $stack0, tss+4; movl $16, tss+8; movw $104, tss+0x66   # bitmap at 104
.macro TRY
 movl $99f, resume
.endm
.macro DONE c
 movb $\c, %al; call putc
99:
.endm
.macro SAY c
 movb $\c, %al; call putc
.endm
 SAY 0x41
 TRY; ud2; DONE 0x6e
 TRY; movw $0x18|3,%ax; movw %ax,%ss; DONE 0x6e      # ring 3 data in SS at ring0: GP(18)
 TRY; xorw %ax,%ax; movw %ax,%ss; DONE 0x6e          # null SS
 TRY; movw $0x1234,%ax; movw %ax,%ds; DONE 0x6e      # beyond table
 TRY; movw $0x08,%ax; movw %ax,%ds; DONE 0x79        # readable code ok
 movw $16,%ax; movw %ax,%ds
 TRY; movw $0x58,%ax; movw %ax,%ds; DONE 0x6e        # not present: NP(58)
 TRY; movw $0x58,%ax; movw %ax,%ss; DONE 0x6e        # SS not present: SS(58)
 TRY; movw $0x28,%ax; movw %ax,%es; DONE 0x6e        # TSS: GP(28)
 TRY; movw $0x0,%ax; movw %ax,%es; DONE 0x79
.ifndef LAX
 TRY; movl %es:0,%eax; DONE 0x6e                     # null use: GP(0)
.endif
 movw $16,%ax; movw %ax,%es; movw %ax,%ds
 TRY; ljmp $0x10,$0; DONE 0x6e
 TRY; ljmp $0,$0; DONE 0x6e
 TRY; ljmp $0x58,$0; DONE 0x6e
 TRY; lcall $0x1b,$0; DONE 0x6e
 TRY; int $0x90; DONE 0x6d
.ifndef LAX
 TRY; movl $0x80000000,%eax; movl %eax,%cr0; DONE 0x6e   # PG without PE
.endif
.ifndef LAX
 TRY; movl $0x20000000,%eax; orl $1,%eax; movl %eax,%cr0; DONE 0x6e # NW without CD
.endif
.ifndef LAX
 TRY; movl $0xffffffff,%eax; movl %eax,%cr4; DONE 0x6e
.endif
 TRY; movw $0x28,%ax; ltr %ax; DONE 0x6e     # busy
 TRY; movw $0x10,%ax; lldt %ax; DONE 0x6e
 TRY; xorw %ax,%ax; lldt %ax; DONE 0x79
.ifndef LAX
 TRY; movl $0xc0000080,%ecx; xorl %edx,%edx; movl $0xffff,%eax; wrmsr; DONE 0x6e
.endif
.ifndef LAX
 TRY; movl $0x277,%ecx; movl $0x2020202,%eax; movl %eax,%edx; wrmsr; DONE 0x6e
.endif
.ifndef LAX
 TRY; movl $0x12345,%ecx; rdmsr; DONE 0x6e
.endif
 # LAR LSL VERR VERW
 xorl %ecx,%ecx
3: lar %ecx,%eax; jnz 4f; movl %eax,%ebx; call hex; jmp 5f
4: SAY 0x2d
5: lsl %ecx,%eax; jnz 4f; movl %eax,%ebx; call hex; jmp 5f
4: SAY 0x2d
5: verr %cx; jnz 4f; SAY 0x72
4: verw %cx; jnz 4f; SAY 0x77
4: SAY 0x2c
 addl $8,%ecx; cmpl $0x78,%ecx; jb 3b
 call nl
 # single step
 SAY 0x53
 TRY
 pushfl; orl $0x100,(%esp); popfl
 nop
 incl %eax
 pushfl; andl $~0x100,(%esp); popfl
 nop
 call nl
 # mov ss shadow with TF
 pushfl; orl $0x100,(%esp); popfl
 movw %ss,%ax
 movw %ax,%ss
 nop
 pushfl; andl $~0x100,(%esp); popfl
 call nl
 # rep movsb with TF
 movl $buf,%esi; movl $buf+64,%edi; movl $3,%ecx
 pushfl; orl $0x100,(%esp); popfl
 rep movsb
 pushfl; andl $~0x100,(%esp); popfl
 call nl
 # code breakpoint
 movl $bp1,%eax; movl %eax,%dr0; movl $0x401,%eax; movl %eax,%dr7
 nop
bp1: nop
 movl $0x400,%eax; movl %eax,%dr7
 movl %dr6,%ebx; call hex; xorl %eax,%eax; movl %eax,%dr6
 call nl
 # rep stos patterns, overlap
 cld
 movl $buf,%edi; movl $0x04030201,%eax; stosl
 movl $buf,%esi; movl $buf+3,%edi; movl $13,%ecx; rep movsb
 movl $buf,%esi; movl $buf+1,%edi; movl $3,%ecx; rep movsl
 std; movl $buf+12,%esi; movl $buf+14,%edi; movl $7,%ecx; rep movsb
 movl $buf+24,%edi; movw $0x1122,%ax; movl $3,%ecx; rep stosw; cld
 movl $buf,%esi; movl $8,%ecx
6: lodsl; movl %eax,%ebx; call hex; loop 6b
 call nl
 movl $buf,%edi; movb $4,%al; movl $100,%ecx; repne scasb; movl %ecx,%ebx; pushfl; call hex; popl %ebx; andl $0x8d5,%ebx; call hex
 movl $buf,%esi; movl $buf+1,%edi; movl $100,%ecx; repe cmpsb; movl %ecx,%ebx; pushfl; call hex; popl %ebx; andl $0x8d5,%ebx; call hex
 call nl
 # ring 3
 SAY 0x52
 movl $after3, resume0
 movl %esp, savesp
 pushl $0x23; pushl $stack3; pushl $0x202|0x0; pushl $0x1b; pushl $user; iret
after3:
 call nl
 # v86
 SAY 0x56
 movl $after86, resume0
 movl %esp, savesp
 # copy code to 0x2000
 movl $v86code,%esi; movl $0x2000,%edi; movl $(v86end-v86code),%ecx; rep movsb
 pushl $0x44;pushl $0x33;pushl $0x22;pushl $0x11; pushl $0x300; pushl $0x1000; pushl $0x20202; pushl $0x200; pushl $0; iret
after86:
 call nl
 # again with IOPL 3
 movl $after86b, resume0
 pushl $0x44;pushl $0x33;pushl $0x22;pushl $0x11; pushl $0x300; pushl $0x1000; pushl $0x23202; pushl $0x200; pushl $0; iret
after86b:
 call nl
 # call gate same level
 SAY 0x47
 lcall $0x38,$0
 call nl
 # task gate
 SAY 0x54
 movl $t2esp, tss2+0x38
 lcall $0x48,$0
 movl %esp,%ebx
 SAY 0x74
 str %ebx; call hex
 movl %cr0,%ebx; andl $8,%ebx; call hex
 clts
 # IDT task gate for #UD through vector 0x91
 movw $0x48, idt+0x91*8+2; movw $0x8500, idt+0x91*8+4
 int $0x91
 SAY 0x75
 call nl
 # paging: 4 KiB map first 4 MiB via PSE plus a 4K table
 SAY 0x50
 movl $pd,%edi; movl $0x83,(%edi); movl $pt+3,4(%edi)
 movl %edi,%cr3
 movl %cr4,%eax; orl $0x10,%eax; movl %eax,%cr4
 movl %cr0,%eax; orl $0x80000000,%eax; movl %eax,%cr0
 movl $0x200001, pt+0      # ro
 movl $0x201003, pt+4*1    # rw
 movl $0x203007, pt+4*3    # user rw ; page 2 not present
 TRY; movl 0x400000,%eax; DONE 0x79
 TRY; movl %eax,0x400000; DONE 0x79        # WP=0: allowed
 movl %cr0,%eax; orl $0x10000,%eax; movl %eax,%cr0
 TRY; movl %eax,0x400000; DONE 0x6e
 TRY; movl 0x402000,%eax; DONE 0x6e
 TRY; movl %eax,0x401ffe; DONE 0x6e
 TRY; movl 0x401ffd,%eax; DONE 0x6e
 TRY; movl $0x401ff0,%edi; movl $20,%ecx; xorl %eax,%eax; rep stosb; DONE 0x6e
 movl %ecx,%ebx; call hex; movl %edi,%ebx; call hex
 movl pt+4,%ebx; call hex; movl pt,%ebx; call hex; movl pt+12,%ebx; call hex; movl pd,%ebx; call hex; movl pd+4,%ebx; call hex
 # remap with invlpg
 movl $0x200003, pt+8; invlpg 0x402000
 TRY; movl $0x5555aaaa,0x402000; DONE 0x79
 movl 0x400000,%ebx; call hex
 call nl
 # sysenter
 SAY 0x58
 movl $0x174,%ecx; xorl %edx,%edx; movl $8,%eax; wrmsr
 movl $0x176,%ecx; movl $sysin,%eax; wrmsr
 movl $0x175,%ecx; movl $stack0,%eax; wrmsr
 movl $afterx, resume0
 movl $0x87, pd   # user
 movl %cr3,%eax; movl %eax,%cr3
 pushl $0x23; pushl $stack3; pushl $0x202; pushl $0x1b; pushl $userx; iret
afterx: movw $16,%ax; movw %ax,%ds; movw %ax,%es; call nl
 # long mode
 SAY 0x4c
 movl %cr0,%eax; andl $0x7fffffff,%eax; movl %eax,%cr0
 movl $pml4,%edi; movl $pdpt+7,(%edi); movl $pdp2+7, pdpt; movl $0x87,pdp2; movl $0x200087,pdp2+8
 movl %cr4,%eax; orl $0x220,%eax; movl %eax,%cr4
 movl %edi,%cr3
 movl $0xc0000080,%ecx; xorl %edx,%edx; movl $0x901,%eax; wrmsr
 movl %cr0,%eax; orl $0x80000000,%eax; movl %eax,%cr0
 rdmsr; movl %eax,%ebx; call hex
 ljmp $0x60,$long
.code64
long:
 movw $16,%ax; movw %ax,%ss; xorl %eax,%eax; movw %ax,%ds; movw %ax,%es
 leaq stack(%rip),%rsp
 # 64-bit IDT
 leaq idt64(%rip),%rdi; leaq stubs64(%rip),%rax; movl $256,%ecx
2: movw %ax,(%rdi); movw $0x60,2(%rdi); movw $0x8e00,4(%rdi); movl %eax,%ebx; shrl $16,%ebx; movw %bx,6(%rdi); movl $0,8(%rdi); movl $0,12(%rdi)
 addq $16,%rax; addq $16,%rdi; loop 2b
 movb $0xee, idt64+0x80*16+5
 movb $1, idt64+6*16+4   # UD on IST1
 lidt idtr64
 # 64-bit TSS at 0x70 (16 bytes)
 movw $0x70,%ax
 ltr %ax
 movq $stack0, tss64+4; movq $ist1, tss64+0x24
.macro TRY64
 movq $99f, resume
.endm
.macro DONE64 c
 movb $\c,%al; call putc64
99:
.endm
.macro SAY64 c
 movb $\c,%al; call putc64
.endm
 TRY64; ud2; DONE64 0x6e
 TRY64; int $0x93; DONE64 0x6d
 TRY64; movabsq $0x8000000000000000,%rax; movq (%rax),%rbx; DONE64 0x6e
 movq $stack,%rsp
 TRY64; xorl %eax,%eax; movw %ax,%ss; DONE64 0x79
 TRY64; movl $3,%eax; movw %ax,%ss; DONE64 0x6e
 TRY64; movw $16,%ax; movw %ax,%ss; DONE64 0x79
 TRY64; movl $0xc0000100,%ecx; movl $0x8000,%edx; xorl %eax,%eax; wrmsr; DONE64 0x6e
 TRY64; movl $0x12340000,%edx; shll $16,%edx; xorl %edx,%edx; movl $0x1000,%eax; wrmsr; DONE64 0x79
 movl $0xdead,0x1010
 movl %fs:0x10,%ebx; call hex64
 TRY64; movq 0x800000,%rax; DONE64 0x6e
.ifndef LAX
 TRY64; xorl %eax,%eax; movq %rax,%cr0; DONE64 0x6e
.endif
.ifndef LAX
 TRY64; movq %cr4,%rax; andq $~0x20,%rax; movq %rax,%cr4; DONE64 0x6e
.endif
.ifndef LAX
 TRY64; movl $99,%eax; movq %rax,%cr8; DONE64 0x6e
.endif
 movl $5,%eax; movq %rax,%cr8; movq %cr8,%rbx; call hex64; xorl %eax,%eax; movq %rax,%cr8
 movl $0xc0000102,%ecx; xorl %edx,%edx; movl $0x7000,%eax; wrmsr; swapgs; movl $0xc0000101,%ecx; rdmsr; movl %eax,%ebx; call hex64
 call nl64
 # syscall
 SAY64 0x59
 movl $0xc0000081,%ecx; movl $0x00800060,%edx; xorl %eax,%eax; wrmsr   # sysret base 0x80: cs32 0x80, ss 0x88, cs64 0x90
 movl $0xc0000082,%ecx; movl $sysc,%eax; xorl %edx,%edx; wrmsr
 movl $0xc0000084,%ecx; movl $0x40700,%eax; wrmsr
 pushq $0x8b; pushq $stack3; pushq $0x202; pushq $0x93; pushq $user64; iretq
back64:
 call nl64
 SAY64 0x5a
 call nl64
 # triple fault is not tested. Exit.
 movw $0xf4,%dx; xorl %eax,%eax; outb %al,%dx
 hlt
user64:
 movl $0x8b,%eax; movw %ax,%ds
 movl $'u',%edi; syscall
 pushfq; popq %rdi; andl $0x3f7fd5,%edi; movl %edi,%ebx; movl $0,%edi; syscall
 movq $99f, resume
 cli
99: movq $99f, resume
 movl $1,%eax; int $0x93
99: 
 pushfq; orq $0x3000,(%rsp); popfq; pushfq; popq %rbx; andl $0x3000,%ebx; xorl %edi,%edi; syscall
 # compat mode
 pushq $0x83; leaq compat(%rip),%rax; pushq %rax; lretq
.code32
compat:
 movl $0x77,%ebx
 int $0x80
 ljmp $0x93,$uback
.code64
uback:
 movl $'!',%edi; syscall
 movl $1,%edi; syscall
sysc:
 movq %rsp,savesp; movq $stack0,%rsp
 pushq %rcx; pushq %r11
 cmpl $1,%edi; je back64
 cmpl $0,%edi; je 1f
 movl %edi,%eax; call putc64
 pushfq; popq %rbx; andl $0xfff,%ebx; call hex64
 movl %cs,%ebx; call hex64; movl %ss,%ebx; call hex64
 jmp 2f
1: call hex64
2: popq %r11; popq %rcx; movq savesp,%rsp; sysretq
putc64: outb %al,$0xe9; ret
nl64: movb $10,%al; jmp putc64
hex64: pushq %rax; pushq %rcx; movl $8,%ecx
1: roll $4,%ebx; movl %ebx,%eax; andl $15,%eax; addb $'0',%al; cmpb $'9',%al; jbe 2f; addb $39,%al
2: outb %al,$0xe9; loop 1b; movb $' ',%al; outb %al,$0xe9; popq %rcx; popq %rax; ret
.align 16
stubs64:
.set i,0
.rept 256
 .align 16
 .if (i==8)||((i>=10)&&(i<=14))||(i==17)
 .else
 pushq $0
 .endif
 pushq $i
 jmp common64
 .set i,i+1
.endr
common64:
 pushq %rbx; pushq %rax
 movb $'E',%al; call putc64
 movl 16(%rsp),%ebx; call hex64     # vector
 movl 24(%rsp),%ebx; call hex64     # error
 movl 40(%rsp),%ebx; call hex64     # cs
 movl 48(%rsp),%ebx; andl $0x200,%ebx; call hex64   # flags RF IF
 movl 64(%rsp),%ebx; call hex64     # ss
 cmpl $14,16(%rsp); jne 1f; movq %cr2,%rbx; call hex64
1: cmpl $0x80,16(%rsp); je 2f
 cmpl $0x93,16(%rsp); jne 3f
 testb $3,40(%rsp); jz 2f
3: movq resume,%rbx; movq %rbx,32(%rsp)
2: popq %rax; popq %rbx; addq $16,%rsp; iretq
.code32
sysin:
 movw $16,%ax; movw %ax,%ds
 SAY 0x73
 pushfl; popl %ebx; andl $0x200,%ebx; call hex
 movl %cs,%ebx; call hex; movl %ss,%ebx; call hex
 cmpl $1,%edi; je 1f
 movl $userx2,%edx; movl $stack3,%ecx; sysexit
1: movl $stack,%esp; jmp *resume0
userx: xorl %edi,%edi; sysenter
userx2: movl %cs,%ebx; movl $1,%eax; int $0x80; movl $1,%edi; sysenter
user:
 movl $0x23,%eax; movw %ax,%ds; movw %ax,%es
 movl %cs,%ebx; movl $1,%eax; int $0x80
 TRY; cli; DONE 0x6e
 TRY; hlt; DONE 0x6e
 TRY; inb $0x60,%al; DONE 0x6e
 TRY; inb $0xe9,%al; nop
99:
 TRY; int $0x90; DONE 0x6e
 TRY; int3; nop
99:
 TRY; movl %cr0,%eax; DONE 0x6e
 TRY; lgdt gdtr; DONE 0x6e
 TRY; movw $0x10,%ax; movw %ax,%ds; DONE 0x6e
 pushfl; movl $0x7202,%eax; xorl %eax,(%esp); popfl; pushfl; popl %ebx; andl $0x7200,%ebx; movl $1,%eax; int $0x80
 pushfl; andl $~0x4000,(%esp); popfl
 # call gate to ring 0 with 2 params
 pushl $0x1111; pushl $0x2222
 lcall $0x40|3,$0
 movl %esp,%ebx; subl $stack3,%ebx; movl $1,%eax; int $0x80
 movl %ds,%ebx; movl $1,%eax; int $0x80
 movw $0x23,%ax; movw %ax,%ds
 # gate with DPL 0
 TRY; lcall $0x38|3,$0; nop
99:
 TRY; ljmp $0x08,$0; nop
99:
 TRY; ljmp $0x50,$conf; nop
99:
 movl $2,%eax; int $0x81
conf: movl %cs,%ebx; movl $1,%eax; int $0x80; jmp 99b
gate0: # from ring 3, 2 params
 pushl %ds
 movw $16,%ax; movw %ax,%ds
 movl %cs,%ebx; call hex; movl %ss,%ebx; call hex
 movl 12(%esp),%ebx; call hex; movl 16(%esp),%ebx; call hex
 popl %eax
 lret $8
gates: # same level
 movl %cs,%ebx; call hex; SAY 0x67
 lret
task2:
 SAY 0x32
 str %ebx; call hex
 pushfl; popl %ebx; andl $0x4000,%ebx; call hex
 clts
 iret
 SAY 0x33
 iret
 jmp task2
putc: outb %al,$0xe9; ret
nl: movb $10,%al; jmp putc
hex: pushl %eax; pushl %ecx; movl $8,%ecx
1: roll $4,%ebx; movl %ebx,%eax; andl $15,%eax; addb $'0',%al; cmpb $'9',%al; jbe 2f; addb $39,%al
2: outb %al,$0xe9; loop 1b; movb $' ',%al; outb %al,$0xe9; popl %ecx; popl %eax; ret
.align 16
stubs:
.set i,0
.rept 256
 .align 16
 .if (i==8)||((i>=10)&&(i<=14))||(i==17)
 .else
 pushl $0
 .endif
 pushl $i
 jmp common
 .set i,i+1
.endr
common:
 pushl %ebx; pushl %eax
 pushl %ds
 movl $16,%ebx; movw %bx,%ds
 cmpl $0x80,12(%esp); je svc
 cmpl $0x81,12(%esp); je quit
 movb $'E',%al; call putc
 movl 12(%esp),%ebx; call hex
 movl 16(%esp),%ebx; call hex
 movl 24(%esp),%ebx; call hex
 movl 28(%esp),%ebx; andl $0x20300,%ebx; call hex
 testl $0x20000,28(%esp); jnz v86fault
 cmpl $14,12(%esp); jne 1f; movl %cr2,%ebx; call hex
1: cmpl $1,12(%esp); jne 2f
 orl $0x10000,28(%esp); movl %dr6,%ebx; call hex; movl 20(%esp),%ebx; subl $_start,%ebx; movl %ecx,%ebx; call hex; xorl %ebx,%ebx; movl %ebx,%dr6
 jmp 3f
2: cmpl $3,12(%esp); je 3f
 cmpl $0x90,12(%esp); je 3f
 movl resume,%ebx; movl %ebx,20(%esp)
3: popl %ds; popl %eax; popl %ebx; addl $8,%esp; iret
svc: movl 8(%esp),%ebx; call hex; jmp 3b
quit: movl $stack,%esp; jmp *resume0
v86fault:
 movl 20(%esp),%ebx; call hex
 movl 32(%esp),%ebx; call hex; movl 36(%esp),%ebx; call hex; movl 40(%esp),%ebx; call hex; movl 44(%esp),%ebx; call hex
 movl %es,%ebx; call hex; movl %fs,%ebx; call hex
 movl 20(%esp),%ebx; addl $0x2000,%ebx; cmpb $0xf4,(%ebx); je 4f
 # skip the instruction: by table: length 1 unless CD
 cmpb $0xcd,(%ebx); jne 5f; cmpl $0x90,12(%esp); je 3b; incl 20(%esp)
5: incl 20(%esp); jmp 3b
4: movl $stack,%esp; movw $16,%ax; movw %ax,%es; movw %ax,%fs; movw %ax,%gs; jmp *resume0
.code16
v86code:
 movw $0x1234,%ax
 movw %ax,%ds
 movw %ds,%bx
 cli
 sti
 pushfw
 popfw
 int $0x90
 hlt
v86end:
.section .data
.align 16
gdt: .quad 0
 .quad 0x00cf9b000000ffff   # 08 code
 .quad 0x00cf93000000ffff   # 10 data
 .quad 0x00cffb000000ffff   # 18 user code
 .quad 0x00cff3000000ffff   # 20 user data
tssd: .word 0x2067-0x2000+0x20, tss_lo; .byte tss_hi, 0x89, 0, 0   # 28
 .quad 0x00cf97000000ffff   # 30 expand-down
 .word gates_lo, 8, 0x8c00, gates_hi     # 38 gate same level
 .word gate0_lo, 8, 0xec02, gate0_hi     # 40 gate dpl 3, 2 params
 .word 0x67, tss2_lo; .byte tss2_hi, 0x89, 0, 0   # 48
 .quad 0x00cf9f000000ffff   # 50 conforming code
 .quad 0x00cf13000000ffff   # 58 not present data
 .quad 0x00af9b000000ffff   # 60 code64
 .quad 0x00cf93000000ffff   # 68
 .word 0x67, tss64_lo; .byte tss64_hi, 0x89, 0, 0  # 70
 .quad 0
 .quad 0x00cffb000000ffff   # 80 user code32
 .quad 0x00cff3000000ffff   # 88 user data
 .quad 0x00affb000000ffff   # 90 user code64
gdtend:
gdtr: .word gdtend-gdt-1; .long gdt
idtr: .word 2047; .long idt
idtr64: .word 4095; .quad idt64
.align 16
tss: .fill 104,1,0
bitmap: .fill 28,1,0xff
 .byte 0xff, 0xfd, 0xff, 0xff
tss2: .fill 0x1c,1,0
 .long 0, task2, 2, 0,0,0,0, 0,0,0,0
 .long 16,8,16,16,16,16,0
 .long 0
.align 16
tss64: .fill 104,1,0
resume: .quad 0
resume0: .long 0
savesp: .quad 0
.section .bss
.align 4096
pd: .skip 4096
pt: .skip 4096
pml4: .skip 4096
pdpt: .skip 4096
pdp2: .skip 4096
idt: .skip 2048
.align 16
idt64: .skip 4096
buf: .skip 256
 .skip 4096
stack: .skip 4096
stack0: .skip 4096
stack3: .skip 4096
t2esp: .skip 4096
ist1: .skip 64
bssend:
