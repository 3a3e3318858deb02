/**
 * Pairs of instructions that are one case of the dispatch loop: those that follow one another most often in 32-bit code,
 * as counted in a kernel's boot. A comparison with its branch can be the second one.
 */
import type { Form } from '../isa/compile.ts';
import type { BranchFusion, PairFusion } from './fusion.ts';

const load = 'MOV_4_rr4_m04_base';
const loadIndexed = 'MOV_4_rr4_m04';
const loadByte = 'MOV_1_rr1_m01';
const store = 'MOV_4_m04_rr4_base';
const storeConstant = 'MOV_4_m04_i04_base';
const storeWord = 'MOV_2_m02_rr2_base';
const storeWordIndexed = 'MOV_2_m02_rr2';
const storeByte = 'MOV_1_m01_rr1';
const move = 'MOV_4_rr4_rr4';
const constant = 'MOV_4_rr4_i04';
const byte = 'MOVZX_4_rr4_m01_base';
const byteIndexed = 'MOVZX_4_rr4_m01';
const lowByte = 'MOVZX_4_rr4_rr1';
const word = 'MOVZX_4_rr4_m02_base';
const wordIndexed = 'MOVZX_4_rr4_m02';
const add = 'ADD_4_rr4_rr4';
const addConstant = 'ADD_4_rr4_i04';
const addTo = 'ADD_4_m04_rr4_base';
const subtract = 'SUB_4_rr4_rr4';
const subtractConstant = 'SUB_4_rr4_i04';
const subtractLoaded = 'SUB_4_rr4_m04_base';
const and = 'AND_4_rr4_rr4';
const andConstant = 'AND_4_rr4_i04';
const andLoaded = 'AND_4_rr4_m04_base';
const andTo = 'AND_4_m04_rr4_base';
const or = 'OR_4_rr4_rr4';
const xor = 'XOR_4_rr4_rr4';
const xorByte = 'XOR_1_rr1_m01_base';
const xorIndexed = 'XOR_4_rr4_m04';
const not = 'NOT_4_rr4';
const increment = 'INC_4_rr4';
const decrement = 'DEC_4_rr4';
const left = 'SHL_4_rr4_i01';
const leftBy = 'SHL_4_rr4_rr1';
const right = 'SHR_4_rr4_i01';
const rightBy = 'SHR_4_rr4_rr1';
const rightWord = 'SHR_2_rr2_i01';
const rightSigned = 'SAR_4_rr4_i01';
const multiply = 'IMUL_4_rr4_rr4';
const address = 'LEA_4_rr4_m00_base';
const indexed = 'LEA_4_rr4_m00';
const push = 'PUSH_4_rr4';
const pop = 'POP_4_rr4';
const call = 'CALL_4_i04';
const jump = 'JMP_4_i04';
const ret = 'RET_4_';
const compare = 'CMP_4_rr4_rr4';
const compareConstant = 'CMP_4_rr4_i04';
const compareLoaded = 'CMP_4_rr4_m04_base';
const compareTo = 'CMP_4_m04_rr4_base';
const test = 'TEST_4_rr4_rr4';

/** What follows what. */
const followers: Readonly<globalThis.Record<string, readonly string[]>> = {
  [load]: [
    ...[load, store, move, indexed, address, add, subtract, decrement, push, constant, addConstant, call],
    ...[andLoaded, jump, byteIndexed, loadIndexed, not, left],
  ],
  [store]: [
    ...[load, store, move, subtract, add, constant, word, 'MOV_2_rr2_m02_base', address, call, jump],
    ...['MOV_1_rr1_i01', loadByte],
  ],
  [storeConstant]: [store],
  [move]: [
    ...[move, load, store, right, rightSigned, left, add, subtract, constant, and, andConstant, call, push, jump],
    ...['MOVZX_4_rr4_rr2', rightWord],
  ],
  [constant]: [subtract, move, call, constant, store, load, jump, 'MOV_1_rr1_m01_base'],
  [byte]: [move, store, addConstant, word, rightBy],
  [byteIndexed]: [left],
  [lowByte]: [right],
  [word]: [multiply, move, byte],
  [wordIndexed]: [move],
  [add]: [load, store, add, move, indexed, storeWord, storeWordIndexed, left],
  [addConstant]: [pop, load, move, store, jump, indexed],
  [addTo]: [jump],
  [subtract]: [store, rightSigned, increment, move, load, lowByte, subtract],
  [subtractConstant]: [store],
  [and]: [add, move, indexed, store],
  [andConstant]: [move, store, load, addConstant],
  [andLoaded]: [leftBy],
  [andTo]: [storeWord],
  [or]: [move, store],
  [xor]: [move, load, store, xor, constant, call, pop],
  [xorByte]: [lowByte],
  [xorIndexed]: [load],
  [not]: [andTo],
  SBB_4_rr4_rr4: [andConstant],
  [increment]: [move, load, storeWord, constant],
  [decrement]: [move, load],
  [left]: [add, move, or, indexed, store],
  [leftBy]: [addTo],
  [right]: [word, store, move, andConstant, add, multiply, xorIndexed],
  [rightBy]: [subtract],
  [rightSigned]: [add, move],
  [multiply]: [move, add, multiply],
  [address]: [store, address, load, move, call, push],
  [indexed]: [add, store, load, move],
  [push]: [push, move, load, call, subtractConstant, constant],
  [pop]: [pop, ret],
  MOV_2_rr2_m02_base: [move],
  [storeWord]: [load, move, increment],
  [rightWord]: [subtract],
  [loadByte]: [storeByte, andConstant],
  MOV_1_rr1_m01_base: [leftBy],
  MOV_1_rr1_rr1: [rightBy],
  [storeByte]: [load],
  CMP_1_rr1_i01: [address],
  [compare]: [move],
};

/** Comparisons that follow, with the condition codes of their branches: below, equal, above and their opposites. */
const comparisons: Readonly<globalThis.Record<string, Readonly<globalThis.Record<string, readonly number[]>>>> = {
  [load]: {
    [compare]: [2, 3, 4, 5, 6, 7],
    [compareConstant]: [4, 5, 6, 7],
    [compareLoaded]: [2, 3],
    [test]: [4, 5],
  },
  [store]: { [compareTo]: [2, 3], [test]: [4, 5] },
  [storeWord]: { [compareConstant]: [6, 7] },
  [storeWordIndexed]: { [compareConstant]: [6, 7] },
  [storeByte]: { [compareLoaded]: [4, 5] },
  [move]: { [compareConstant]: [6, 7], [test]: [4, 5] },
  [byte]: { TEST_1_rr1_rr1: [4, 5, 8, 9] },
  [add]: { [compare]: [2, 3], [compareConstant]: [6, 7] },
  [subtractConstant]: { [compareConstant]: [6, 7] },
  [subtractLoaded]: { [compare]: [2, 3] },
  [decrement]: { [compare]: [2, 3] },
  [multiply]: { [compare]: [2, 3] },
  [indexed]: { [compare]: [4, 5], [compareConstant]: [6, 7] },
};

/** Forms of a name: of the two encodings of register and register only the one that assemblers choose. */
function named(forms: readonly Form[], name: string): readonly Form[] {
  const all = forms.filter((f) => f.name === name);
  return name.endsWith('_rr4_rr4') ? all.slice(0, 1) : all;
}

/** `branches` are the comparisons that fuse with their branches. */
export function pairsOf(inline: readonly Form[], branches: readonly BranchFusion[]): PairFusion[] {
  const plain = Object.entries(followers).flatMap(([first, seconds]) =>
    named(inline, first).flatMap((form) =>
      seconds.flatMap((name) => named(inline, name).map((second) => ({ form, second }))),
    ),
  );
  const compared = Object.entries(comparisons).flatMap(([first, seconds]) =>
    named(inline, first).flatMap((form) =>
      Object.entries(seconds).flatMap(([name, conditions]) => {
        const compares = new Set(named(inline, name));
        return branches
          .filter((b) => compares.has(b.form) && conditions.includes(b.condition))
          .map((second) => ({ form, second }));
      }),
    ),
  );
  return [...plain, ...compared];
}
