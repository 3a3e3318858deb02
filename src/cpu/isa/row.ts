/**
 * Rows of the instruction table, in the notation of the manuals (Intel SDM vol. 2, §3.1.1 and appendix A).
 *
 * `row('00 /r', 'ADD', 'Eb,Gb', ADD, { lock: true })`
 *
 * Encoding: bytes in hex (`0F AF`, maps 0F, 0F 38, 0F 3A), mandatory prefix first (`66 0F 58`, `F3 0F 58`, `NP 0F 58`
 * for "no prefix" where a prefix selects another instruction), then one of
 *   `/r`      a ModRM byte, both fields operands
 *   `/0`…`/7` a ModRM byte whose reg field extends the opcode
 *   `+r`      the low 3 bits of the opcode name a register (with REX.B)
 *   `+cc`     the low 4 bits of the opcode are a condition code
 *   `/r mem`, `/3 mem`, `/r reg`, `/3 reg`: only the memory or only the register form
 *   `/4 rm=2`: ModRM must be a register form with that rm (`0F 01 D0` style encodings: write the full byte instead)
 * `9B` is an instruction of its own (FWAIT), never a prefix.
 *
 * Where rows overlap, the more specific stands: exact byte before `+r` (90 NOP, but XCHG with REX.B), mandatory prefix
 * before none, full ModRM byte before `/n`. 66 and REX.W still choose the operand size beside a mandatory F3 or F2.
 * A row of `R` with `C` or `D` operands takes any ModRM.mod for a register form.
 * A mnemonic such as `CBW/CWDE/CDQE` names one for each of the operand sizes 2, 4, 8; `Jcc` takes the condition's name.
 *
 * Operands, comma-separated: an addressing letter and a size letter.
 *   E general register or memory by ModRM      G general register by ModRM.reg    M memory only
 *   R general register by ModRM.rm only        Z register in the opcode (+r)      I immediate   J relative branch
 *   S segment register by ModRM.reg   C, D control, debug register by ModRM.reg   O moffs      A far pointer ptr16:16/32
 *   W xmm or memory     V xmm by reg     U xmm by rm only     Q mmx or memory    P mmx by reg    N mmx by rm only
 *   X DS:rSI  Y ES:rDI  (string operands: no decoding, semantics address them)
 *   T ST(i) by rm       F memory float operand (like M)
 *   names: AL CL AX DX rAX eAX 1 ES CS SS DS FS GS XMM0 ST
 * Sizes: b 1, w 2, d 4, q 8, v 2/4/8 by operand size, z 2/4/4, y 4/8, p far pointer (size+2), s 6/10 (descriptor),
 *   t 10 (f80), o 16 (vector; W, V, U default), x 512 (FXSAVE), ' ' none (address only, as in LEA's `M`).
 *   `Ib` alone is zero-extended; `Isb` is a byte sign-extended to the operand size; Iz and Jz are sign-extended.
 *   A W, U or V operand may have size d or q (scalar: the low part): `Wd`, `Wq`, `Ww`, `Vq`; likewise `Qd`.
 */
import type { Semantics } from './builder.ts';

export interface RowOptions {
  /** LOCK is allowed when the first operand is memory; elsewhere it raises #UD. */
  readonly lock?: boolean;
  /** Operand size in 64-bit code: 'd64' defaults to 64 (66 gives 16), 'f64' is always 64. */
  readonly size64?: 'd64' | 'f64';
  /** Operand sizes for which the row stands, where the size selects the instruction (CMPXCHG8B, CMPXCHG16B). */
  readonly sizes?: readonly (2 | 4 | 8)[];
  /** Where the row decodes at all: absent = everywhere. 'legacy' = not in 64-bit code, 'long' = only in it. */
  readonly modes?: 'legacy' | 'long';
  /** REP prefixes mean repetition: 'rep' (MOVS, STOS, LODS, INS, OUTS) or 'repe' (CMPS, SCAS). */
  readonly repeat?: 'rep' | 'repe';
  /** Accesses the stack (other rows than PUSH…, POP…, CALL, RET, ENTER, LEAVE): the form differs where SS is not flat. */
  readonly stack?: boolean;
  /** The form differs by address size although no ModRM operand says so (other rows than LOOP…, JCXZ…, XLAT, MASKMOV…). */
  readonly addressSized?: boolean;
  /** Ends a decoded block: control does not (always) reach the next instruction. */
  readonly ends?: boolean;
  /** #GP(0) unless CPL = 0. */
  readonly privileged?: boolean;
  /** #UD in real and virtual-8086 mode. */
  readonly protectedOnly?: boolean;
  /** Which unit it needs: raises #NM or #UD as CR0, CR4 say before anything else. */
  readonly unit?: 'x87' | 'mmx' | 'sse';
  /** CPUID feature that must be there, else #UD. */
  readonly feature?: string;
  /** Worth an inline case in the dispatch loop for every operand shape (the most frequent instructions). */
  readonly hot?: boolean;
  /** Bits of EFLAGS that the manual leaves undefined after it. */
  readonly undefinedFlags?: number;
  /** Memory operand must be 16-byte aligned, else #GP(0) (SSE without U). */
  readonly aligned?: boolean;
}

export interface Row extends RowOptions {
  readonly encoding: string;
  readonly mnemonic: string;
  /** Operand notations, e.g. ['Eb', 'Gb']. */
  readonly operands: readonly string[];
  readonly semantics: Semantics;
}

export function row(
  encoding: string,
  mnemonic: string,
  operands: string,
  semantics: Semantics,
  options: RowOptions = {},
): Row {
  return { encoding, mnemonic, operands: operands === '' ? [] : operands.split(','), semantics, ...options };
}
