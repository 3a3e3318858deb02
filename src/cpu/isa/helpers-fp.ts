/**
 * Core functions for MMX, SSE and x87 that wasm has no operation for (`core/fpu-glue.ts`, `core/sse-glue.ts`). Those of
 * kind 'fault' keep the sticky flags of MXCSR and raise #XM; x87 arithmetic only returns its flags, because what
 * becomes of them is in the definitions (`x87-common.ts`).
 */
import type { Helper } from './helper.ts';

const exact = 'wasm has no flags, no rounding modes, no denormals-are-zero: the exact result where the fast path ends';

/** (result, x, y, flags of unpacking) → flags of an operation on two f80. */
function arithmetic(mnemonic: string): Helper {
  return {
    parameters: ['i32', 'i32', 'i32', 'i32'],
    result: 'i32',
    kind: 'pure',
    reason: `${mnemonic}: no 80-bit format in wasm`,
  };
}

export const fpHelpers = {
  sseF64: { parameters: ['i32', 'i64', 'i64'], result: 'i64', kind: 'fault', reason: exact },
  sseF32: { parameters: ['i32', 'i32', 'i32'], result: 'i32', kind: 'fault', reason: exact },
  ssePackedF64: { parameters: ['i32', 'i32', 'i32'], result: 'none', kind: 'fault', reason: exact },
  ssePackedF32: { parameters: ['i32', 'i32', 'i32'], result: 'none', kind: 'fault', reason: exact },
  sseConvert: { parameters: ['i32', 'i64'], result: 'i64', kind: 'fault', reason: exact },
  ssePackedConvert: { parameters: ['i32', 'i32'], result: 'none', kind: 'fault', reason: exact },
  sseRound: { parameters: ['i32', 'i32', 'i32', 'i32'], result: 'none', kind: 'fault', reason: exact },
  sseDotProduct: {
    parameters: ['i32', 'i32', 'i32', 'i32'],
    result: 'none',
    kind: 'fault',
    reason: 'DPPS and DPPD: each step rounds and raises flags',
  },
  sseApproximate: {
    parameters: ['i32', 'i32'],
    result: 'i32',
    kind: 'pure',
    reason: 'RCPSS and RSQRTSS: special values beside a 12-bit approximation',
  },
  sseStringCompare: {
    parameters: ['i32', 'i32', 'i32', 'i64', 'i64'],
    result: 'i32',
    kind: 'pure',
    reason: 'PCMPESTRI and its kin: loops over both strings',
  },
  crc32: {
    parameters: ['i32', 'i64', 'i32'],
    result: 'i32',
    kind: 'pure',
    reason: 'a polynomial division, bit by bit or by folding',
  },

  f80Unpack32: { parameters: ['i32', 'i32'], result: 'i32', kind: 'pure', reason: 'normalizes denormals' },
  f80Unpack64: { parameters: ['i32', 'i64'], result: 'i32', kind: 'pure', reason: 'normalizes denormals' },
  f80FromInteger: { parameters: ['i32', 'i64'], result: 'none', kind: 'pure', reason: 'no 80-bit format in wasm' },
  f80FromBcd: { parameters: ['i32', 'i64', 'i32'], result: 'none', kind: 'pure', reason: 'decimal digits' },
  f80Load32: { parameters: ['i32', 'i32'], result: 'i32', kind: 'pure', reason: 'FLD m32: quiets signalling NaNs' },
  f80Load64: { parameters: ['i32', 'i64'], result: 'i32', kind: 'pure', reason: 'FLD m64: quiets signalling NaNs' },
  f80Add: arithmetic('FADD'),
  f80Subtract: arithmetic('FSUB'),
  f80Multiply: arithmetic('FMUL'),
  f80Divide: arithmetic('FDIV'),
  f80Compare: {
    parameters: ['i32', 'i32', 'i32'],
    result: 'i32',
    kind: 'pure',
    reason: 'FCOM, FUCOM: no 80-bit format in wasm',
  },
  f80Unary: {
    parameters: ['i32', 'i32', 'i32'],
    result: 'i32',
    kind: 'pure',
    reason: 'FSQRT, FRNDINT, FTST, FXAM, F2XM1, FSIN, FCOS: no 80-bit format in wasm',
  },
  f80Binary: {
    parameters: ['i32', 'i32', 'i32', 'i32'],
    result: 'i32',
    kind: 'pure',
    reason: 'FPREM, FSCALE, FPATAN, FYL2X …: no 80-bit format in wasm',
  },
  f80Split: {
    parameters: ['i32', 'i32', 'i32', 'i32'],
    result: 'i32',
    kind: 'pure',
    reason: 'FXTRACT, FSINCOS, FPTAN: two 80-bit results',
  },
  f80Constant: { parameters: ['i32', 'i32'], result: 'none', kind: 'pure', reason: 'rounded as RC says' },
  f80Store: {
    parameters: ['i32', 'i32', 'i32'],
    result: 'i32',
    kind: 'pure',
    reason: 'FST, FIST, FISTTP, FBSTP: rounds to the format of memory',
  },
  f80TagWord: { parameters: [], result: 'i32', kind: 'pure', reason: 'classifies eight registers, in a loop' },
} as const satisfies Record<string, Helper>;
