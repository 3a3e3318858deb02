/**
 * Pairs of instructions that are one case of the dispatch loop: those that follow one another most often in 32-bit code,
 * as counted in the decompressor of a Linux kernel; of the kernel itself they are an estimate.
 */
import type { Form } from '../isa/compile.ts';
import type { PairFusion } from './fusion.ts';

const load = 'MOV_4_rr4_m04_base';
const store = 'MOV_4_m04_rr4_base';
const move = 'MOV_4_rr4_rr4';
const constant = 'MOV_4_rr4_i04';
const byte = 'MOVZX_4_rr4_m01_base';
const word = 'MOVZX_4_rr4_m02_base';
const add = 'ADD_4_rr4_rr4';
const addConstant = 'ADD_4_rr4_i04';
const subtract = 'SUB_4_rr4_rr4';
const and = 'AND_4_rr4_rr4';
const andConstant = 'AND_4_rr4_i04';
const or = 'OR_4_rr4_rr4';
const xor = 'XOR_4_rr4_rr4';
const increment = 'INC_4_rr4';
const decrement = 'DEC_4_rr4';
const left = 'SHL_4_rr4_i01';
const right = 'SHR_4_rr4_i01';
const rightSigned = 'SAR_4_rr4_i01';
const multiply = 'IMUL_4_rr4_rr4';
const address = 'LEA_4_rr4_m00_base';
const indexed = 'LEA_4_rr4_m00';
const push = 'PUSH_4_rr4';
const pop = 'POP_4_rr4';
const call = 'CALL_4_i04';
const jump = 'JMP_4_i04';
const ret = 'RET_4_';

/** What follows what. */
const followers: Readonly<globalThis.Record<string, readonly string[]>> = {
  [load]: [load, store, move, indexed, address, add, subtract, decrement, push, constant, addConstant, call],
  [store]: [load, store, move, subtract, add, constant, word, 'MOV_2_rr2_m02_base', address, call, jump],
  [move]: [move, load, store, right, rightSigned, left, add, subtract, constant, and, andConstant, call, push, jump],
  [constant]: [subtract, move, call, constant, store, load, jump],
  [byte]: [move, store],
  [word]: [multiply, move],
  [add]: [load, store, add, move, indexed, 'MOV_2_m02_rr2_base'],
  [addConstant]: [pop, load, move, store, jump],
  [subtract]: [store, rightSigned, increment, move, load],
  [and]: [add, move],
  [andConstant]: [move, store, load],
  [or]: [move, store],
  [xor]: [move, load, store, xor, constant, call, pop],
  [increment]: [move, load],
  [decrement]: [move],
  [left]: [add, move, or],
  [right]: [word, store, move, andConstant, add],
  [rightSigned]: [add, move],
  [multiply]: [move, add],
  [address]: [store, address, load, move, call, push],
  [indexed]: [add, store, load, move],
  [push]: [push, move, load, call, 'SUB_4_rr4_i04', constant],
  [pop]: [pop, ret],
  MOV_2_rr2_m02_base: [move],
  MOV_2_m02_rr2_base: [load, move],
  SHR_2_rr2_i01: [subtract],
  MOV_1_rr1_m01: ['MOV_1_m01_rr1'],
};

/** Forms of a name: of the two encodings of register and register only the one that assemblers choose. */
function named(forms: readonly Form[], name: string): readonly Form[] {
  const all = forms.filter((f) => f.name === name);
  return name.endsWith('_rr4_rr4') ? all.slice(0, 1) : all;
}

export function pairsOf(inline: readonly Form[]): PairFusion[] {
  return Object.entries(followers).flatMap(([first, seconds]) =>
    named(inline, first).flatMap((form) =>
      seconds.flatMap((name) => named(inline, name).map((second) => ({ form, second }))),
    ),
  );
}
