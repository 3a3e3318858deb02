/**
 * Pieces of guest code whose compiled form is kept beside this file (`golden/`, one file each): what an assembler made
 * of them and how it writes them. They lie at 1000h.
 */
export type SnippetMode = 'real' | 'protected32' | 'long64';

export interface Snippet {
  readonly name: string;
  readonly mode: SnippetMode;
  readonly instructions: readonly { readonly bytes: readonly number[]; readonly text: string }[];
  /** Computed jumps that have been seen: addresses, from and to. */
  readonly jumps: readonly (readonly [from: number, to: number])[];
}

/** Lines of bytes and text, as `objdump -M intel` prints them. */
function snippet(name: string, mode: SnippetMode, lines: string, jumps: Snippet['jumps'] = []): Snippet {
  const instructions = lines
    .trim()
    .split('\n')
    .map((line) => {
      const [, hex = '', text = ''] = /^\s*((?:[0-9a-f]{2} )+)\s*(.*)$/.exec(line) ?? [];
      return { bytes: [...hex.matchAll(/[0-9a-f]{2}/g)].map(([byte]) => Number.parseInt(byte, 16)), text };
    });
  return { name, mode, instructions, jumps };
}

// prettier-ignore
export const snippets: readonly Snippet[] = [
  snippet('alu-flags-dead', 'protected32', `
    01 d8                     add eax,ebx
    83 e9 05                  sub ecx,0x5
    31 c2                     xor edx,eax
    81 e6 ff 00 00 00         and esi,0xff
    8d 7c 88 08               lea edi,[eax+ecx*4+0x8]
    83 f8 01                  cmp eax,0x1
    c3                        ret
  `),
  snippet('alu-flags-live-at-exit', 'protected32', `
    01 d8                     add eax,ebx
    c3                        ret
  `),
  snippet('adc-sbb', 'protected32', `
    01 c8                     add eax,ecx
    11 da                     adc edx,ebx
    83 e8 01                  sub eax,0x1
    83 da 00                  sbb edx,0x0
    c3                        ret
  `),
  snippet('inc-dec-keep-carry', 'protected32', `
    01 c8                     add eax,ecx
    42                        inc edx
    83 d3 00                  adc ebx,0x0
    49                        dec ecx
    c3                        ret
  `),
  snippet('compare-signed', 'protected32', `
    39 d8                     cmp eax,ebx
    7c 02                     jl 1006
    89 d8                     mov eax,ebx
    c3                        ret
  `),
  snippet('compare-unsigned-memory', 'protected32', `
    83 7e 04 10               cmp DWORD PTR [esi+0x4],0x10
    73 01                     jae 1007
    40                        inc eax
    c3                        ret
  `),
  snippet('test-zero', 'protected32', `
    85 c0                     test eax,eax
    75 05                     jne 1009
    b8 01 00 00 00            mov eax,0x1
    c3                        ret
  `),
  snippet('compare-bytes', 'protected32', `
    3a 07                     cmp al,BYTE PTR [edi]
    76 02                     jbe 1006
    b0 01                     mov al,0x1
    c3                        ret
  `),
  snippet('flags-of-two-uses', 'protected32', `
    29 d8                     sub eax,ebx
    74 07                     je 100b
    78 06                     js 100c
    b9 01 00 00 00            mov ecx,0x1
    c3                        ret
    b9 02 00 00 00            mov ecx,0x2
    c3                        ret
  `),
  snippet('loop-count', 'protected32', `
    31 c0                     xor eax,eax
    01 c8                     add eax,ecx
    49                        dec ecx
    75 fb                     jne 1002
    c3                        ret
  `),
  snippet('loop-nested', 'protected32', `
    31 c0                     xor eax,eax
    ba 08 00 00 00            mov edx,0x8
    01 d0                     add eax,edx
    4a                        dec edx
    75 fb                     jne 1007
    49                        dec ecx
    75 f3                     jne 1002
    c3                        ret
  `),
  snippet('loop-two-entries', 'protected32', `
    85 c0                     test eax,eax
    74 03                     je 1007
    83 c3 02                  add ebx,0x2
    48                        dec eax
    75 fa                     jne 1004
    c3                        ret
  `),
  snippet('loop-string-length', 'protected32', `
    31 c0                     xor eax,eax
    80 3c 07 00               cmp BYTE PTR [edi+eax*1],0x0
    74 03                     je 100b
    40                        inc eax
    eb f7                     jmp 1002
    c3                        ret
  `),
  snippet('loop-table', 'protected32', `
    0f b6 13                  movzx edx,BYTE PTR [ebx]
    31 c2                     xor edx,eax
    0f b6 d2                  movzx edx,dl
    c1 e8 08                  shr eax,0x8
    33 04 95 00 20 00 00      xor eax,DWORD PTR [edx*4+0x2000]
    43                        inc ebx
    49                        dec ecx
    75 ea                     jne 1000
    c3                        ret
  `),
  snippet('memory-sizes', 'protected32', `
    8a 03                     mov al,BYTE PTR [ebx]
    66 8b 4b 02               mov cx,WORD PTR [ebx+0x2]
    8b 53 04                  mov edx,DWORD PTR [ebx+0x4]
    0f b6 73 08               movzx esi,BYTE PTR [ebx+0x8]
    0f bf 7b 0a               movsx edi,WORD PTR [ebx+0xa]
    88 03                     mov BYTE PTR [ebx],al
    66 89 4b 02               mov WORD PTR [ebx+0x2],cx
    89 53 04                  mov DWORD PTR [ebx+0x4],edx
    c3                        ret
  `),
  snippet('memory-base-repeated', 'protected32', `
    8b 06                     mov eax,DWORD PTR [esi]
    03 46 04                  add eax,DWORD PTR [esi+0x4]
    03 46 08                  add eax,DWORD PTR [esi+0x8]
    89 46 0c                  mov DWORD PTR [esi+0xc],eax
    c3                        ret
  `),
  snippet('memory-index-scale', 'protected32', `
    8b 44 8b 10               mov eax,DWORD PTR [ebx+ecx*4+0x10]
    8b 14 cd 00 40 00 00      mov edx,DWORD PTR [ecx*8+0x4000]
    89 15 00 50 00 00         mov DWORD PTR ds:0x5000,edx
    c3                        ret
  `),
  snippet('read-modify-write', 'protected32', `
    01 08                     add DWORD PTR [eax],ecx
    fe 02                     inc BYTE PTR [edx]
    66 83 0b 10               or WORD PTR [ebx],0x10
    f7 16                     not DWORD PTR [esi]
    c3                        ret
  `),
  snippet('read-modify-write-locked', 'protected32', `
    f0 0f c1 08               lock xadd DWORD PTR [eax],ecx
    f0 0f b1 1a               lock cmpxchg DWORD PTR [edx],ebx
    87 3e                     xchg DWORD PTR [esi],edi
    c3                        ret
  `),
  snippet('push-pop', 'protected32', `
    55                        push ebp
    89 e5                     mov ebp,esp
    6a 12                     push 0x12
    ff 75 08                  push DWORD PTR [ebp+0x8]
    58                        pop eax
    59                        pop ecx
    c9                        leave
    c3                        ret
  `),
  snippet('call-and-return', 'protected32', `
    50                        push eax
    e8 04 00 00 00            call 100a
    83 c4 04                  add esp,0x4
    c3                        ret
    8b 44 24 04               mov eax,DWORD PTR [esp+0x4]
    c3                        ret
  `),
  snippet('call-indirect', 'protected32', `
    ff 50 08                  call DWORD PTR [eax+0x8]
    ff d2                     call edx
    c2 08 00                  ret 0x8
  `),
  snippet('jump-table', 'protected32', `
    83 f8 03                  cmp eax,0x3
    77 07                     ja 100c
    ff 24 85 00 40 00 00      jmp DWORD PTR [eax*4+0x4000]
    c3                        ret
  `),
  snippet('string-once', 'protected32', `
    ac                        lods al,BYTE PTR ds:[esi]
    aa                        stos BYTE PTR es:[edi],al
    a5                        movs DWORD PTR es:[edi],DWORD PTR ds:[esi]
    a6                        cmps BYTE PTR ds:[esi],BYTE PTR es:[edi]
    c3                        ret
  `),
  snippet('string-repeated', 'protected32', `
    fc                        cld
    f3 a5                     rep movs DWORD PTR es:[edi],DWORD PTR ds:[esi]
    f2 ae                     repnz scas al,BYTE PTR es:[edi]
    c3                        ret
  `),
  snippet('operands-of-16-bits', 'protected32', `
    66 01 d8                  add ax,bx
    66 b9 34 12               mov cx,0x1234
    66 42                     inc dx
    66 56                     push si
    66 5f                     pop di
    c3                        ret
  `),
  snippet('high-bytes', 'protected32', `
    b4 12                     mov ah,0x12
    00 e0                     add al,ah
    0f b6 cf                  movzx ecx,bh
    86 f2                     xchg dl,dh
    c3                        ret
  `),
  snippet('set-and-move-by-condition', 'protected32', `
    39 d8                     cmp eax,ebx
    0f 94 c1                  sete cl
    0f 9f c2                  setg dl
    0f 42 f7                  cmovb esi,edi
    0f 49 03                  cmovns eax,DWORD PTR [ebx]
    c3                        ret
  `),
  snippet('shift-by-immediate', 'protected32', `
    c1 e0 03                  shl eax,0x3
    d1 eb                     shr ebx,1
    c1 f9 1f                  sar ecx,0x1f
    c1 c2 08                  rol edx,0x8
    0f a4 fe 04               shld esi,edi,0x4
    c3                        ret
  `),
  snippet('shift-by-register', 'protected32', `
    d3 e0                     shl eax,cl
    72 02                     jb 1006
    d3 fb                     sar ebx,cl
    c3                        ret
  `),
  snippet('rotate-through-carry', 'protected32', `
    01 c0                     add eax,eax
    d1 d3                     rcl ebx,1
    d1 da                     rcr edx,1
    c3                        ret
  `),
  snippet('multiply', 'protected32', `
    0f af c3                  imul eax,ebx
    6b ca 0a                  imul ecx,edx,0xa
    f7 e3                     mul ebx
    c3                        ret
  `),
  snippet('divide', 'protected32', `
    99                        cdq
    f7 fb                     idiv ebx
    31 d2                     xor edx,edx
    f7 f1                     div ecx
    c3                        ret
  `),
  snippet('bits', 'protected32', `
    0f ba e0 05               bt eax,0x5
    72 08                     jb 100e
    0f bc cb                  bsf ecx,ebx
    0f bd d3                  bsr edx,ebx
    0f c8                     bswap eax
    c3                        ret
  `),
  snippet('sse-integer', 'protected32', `
    f3 0f 6f 06               movdqu xmm0,XMMWORD PTR [esi]
    66 0f fe c1               paddd xmm0,xmm1
    66 0f ef d2               pxor xmm2,xmm2
    66 0f 60 c2               punpcklbw xmm0,xmm2
    66 0f 70 d8 1b            pshufd xmm3,xmm0,0x1b
    66 0f d7 c3               pmovmskb eax,xmm3
    66 0f 7f 07               movdqa XMMWORD PTR [edi],xmm0
    c3                        ret
  `),
  snippet('sse-float', 'protected32', `
    f2 0f 10 06               movsd xmm0,QWORD PTR [esi]
    f2 0f 59 c1               mulsd xmm0,xmm1
    f2 0f 58 46 08            addsd xmm0,QWORD PTR [esi+0x8]
    f2 0f 11 07               movsd QWORD PTR [edi],xmm0
    c3                        ret
  `),
  snippet('sse-float-compare', 'protected32', `
    66 0f 2e c1               ucomisd xmm0,xmm1
    77 08                     ja 100e
    f3 0f 51 d3               sqrtss xmm2,xmm3
    f2 0f 2c c0               cvttsd2si eax,xmm0
    c3                        ret
  `),
  snippet('x87-sum', 'protected32', `
    dd 06                     fld QWORD PTR [esi]
    dc 46 08                  fadd QWORD PTR [esi+0x8]
    dd 1f                     fstp QWORD PTR [edi]
    c3                        ret
  `),
  snippet('x87-stack', 'protected32', `
    d9 c1                     fld st(1)
    d8 ca                     fmul st,st(2)
    d9 c9                     fxch st(1)
    de c1                     faddp st(1),st
    df f1                     fcomip st,st(1)
    c3                        ret
  `),
  snippet('mmx', 'protected32', `
    0f 6f 06                  movq mm0,QWORD PTR [esi]
    0f fc c1                  paddb mm0,mm1
    0f 7f 07                  movq QWORD PTR [edi],mm0
    0f 77                     emms
    c3                        ret
  `),
  snippet('flags-word', 'protected32', `
    9c                        pushf
    58                        pop eax
    9f                        lahf
    f9                        stc
    f5                        cmc
    c3                        ret
  `),
  snippet('segment-base', 'protected32', `
    65 a1 14 00 00 00         mov eax,gs:0x14
    64 89 03                  mov DWORD PTR fs:[ebx],eax
    c3                        ret
  `),
  snippet('by-the-forms-function', 'protected32', `
    b8 01 00 00 00            mov eax,0x1
    0f a2                     cpuid
    89 d9                     mov ecx,ebx
    0f 31                     rdtsc
    c3                        ret
  `),
  snippet('privileged', 'protected32', `
    fa                        cli
    0f 20 c0                  mov eax,cr0
    fb                        sti
    f4                        hlt
  `),
  snippet('long-alu-sizes', 'long64', `
    48 01 d8                  add rax,rbx
    01 d8                     add eax,ebx
    66 29 d1                  sub cx,dx
    45 30 c8                  xor r8b,r9b
    48 63 f8                  movsxd rdi,eax
    c3                        ret
  `),
  snippet('long-compare', 'long64', `
    48 39 f7                  cmp rdi,rsi
    7d 05                     jge 100a
    48 8d 44 77 ff            lea rax,[rdi+rsi*2-0x1]
    c3                        ret
  `),
  snippet('long-loop-sum', 'long64', `
    31 c0                     xor eax,eax
    31 c9                     xor ecx,ecx
    48 03 04 cf               add rax,QWORD PTR [rdi+rcx*8]
    48 ff c1                  inc rcx
    48 39 f1                  cmp rcx,rsi
    72 f4                     jb 1004
    c3                        ret
  `),
  snippet('long-rip-relative', 'long64', `
    48 8b 05 00 02 00 00      mov rax,QWORD PTR [rip+0x200]
    48 ff 05 00 01 00 00      inc QWORD PTR [rip+0x100]
    c3                        ret
  `),
  snippet('long-segment-base', 'long64', `
    64 48 8b 04 25 28 00 00 00  mov rax,QWORD PTR fs:0x28
    65 48 8b 0b               mov rcx,QWORD PTR gs:[rbx]
    c3                        ret
  `),
  snippet('long-function', 'long64', `
    55                        push rbp
    48 89 e5                  mov rbp,rsp
    48 83 ec 20               sub rsp,0x20
    48 89 7d f8               mov QWORD PTR [rbp-0x8],rdi
    e8 06 00 00 00            call 1017
    48 03 45 f8               add rax,QWORD PTR [rbp-0x8]
    c9                        leave
    c3                        ret
    8b 07                     mov eax,DWORD PTR [rdi]
    c3                        ret
  `),
  snippet('long-jump-table', 'long64', `
    83 ff 05                  cmp edi,0x5
    77 08                     ja 100d
    3e ff 24 fd 00 40 00 00   notrack jmp QWORD PTR [rdi*8+0x4000]
    31 c0                     xor eax,eax
    c3                        ret
  `),
  snippet('long-return-thunk', 'long64', `
    e8 01 00 00 00            call 1006
    c3                        ret
    48 89 04 24               mov QWORD PTR [rsp],rax
    c3                        ret
  `),
  snippet('long-multiply-divide', 'long64', `
    48 f7 e6                  mul rsi
    48 0f af fe               imul rdi,rsi
    31 d2                     xor edx,edx
    48 f7 f1                  div rcx
    c3                        ret
  `),
  snippet('long-copy-by-xmm', 'long64', `
    0f 10 06                  movups xmm0,XMMWORD PTR [rsi]
    0f 11 07                  movups XMMWORD PTR [rdi],xmm0
    48 83 c6 10               add rsi,0x10
    48 83 c7 10               add rdi,0x10
    48 83 ea 10               sub rdx,0x10
    75 ec                     jne 1000
    c3                        ret
  `),
  snippet('long-float-sum', 'long64', `
    66 0f ef c0               pxor xmm0,xmm0
    f2 0f 58 07               addsd xmm0,QWORD PTR [rdi]
    48 83 c7 08               add rdi,0x8
    48 ff ce                  dec rsi
    75 f3                     jne 1004
    c3                        ret
  `),
  snippet('long-syscall', 'long64', `
    b8 27 00 00 00            mov eax,0x27
    0f 05                     syscall
    c3                        ret
  `),
  snippet('jump-through-table', 'protected32', `
    49                        dec ecx
    78 12                     js 1015
    0f b6 14 0e               movzx edx,BYTE PTR [esi+ecx*1]
    ff 24 95 00 20 00 00      jmp DWORD PTR [edx*4+0x2000]
    40                        inc eax
    eb ef                     jmp 1000
    01 c0                     add eax,eax
    eb eb                     jmp 1000
    c3                        ret
  `, [[0x1007, 0x100e], [0x1007, 0x1011]]),
  snippet('real-mode', 'real', `
    8b 00                     mov ax,WORD PTR [bx+si]
    26 03 05                  add ax,WORD PTR es:[di]
    75 02                     jne 1009
    50                        push ax
    59                        pop cx
    c3                        ret
  `),
];
