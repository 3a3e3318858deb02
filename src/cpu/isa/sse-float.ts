/** SSE…SSE3 floating-point arithmetic and comparison (SDM vol. 1 §10.4.1, §11.4.1, §12.3.3); see `sse-exact.ts`. */
import type { Builder, Semantics, Value } from './builder.ts';
import { operand } from './common.ts';
import type { Row } from './row.ts';
import { addSub, comparison, double, packed, packedCompare, scalar, scalarCompare, single } from './sse-exact.ts';
import type { Format, Operation } from './sse-exact.ts';
import { immediate, shuffleLanes, sse, vectorOp } from './vector.ts';

function packedOp(f: Format, op: Operation): Semantics {
  return vectorOp((b, x, y) => packed(b, f, op, x, y));
}

/** The operands are the low lanes, integers; the rest of the register is kept. */
function scalarOp(f: Format, op: Operation): Semantics {
  return (b, i) => {
    const x = b.read(operand(i, 0));
    const y = b.read(operand(i, 1));
    b.write(operand(i, 0), scalar(b, f, op, x, y));
  };
}

/** ADDPS … of one opcode 0F 5x in its four forms. */
function arithmeticRows(opcode: string, name: string, op: Operation): readonly Row[] {
  const hot = op === 'add' || op === 'sub' || op === 'mul' || op === 'div' ? { hot: true } : {};
  return [
    sse(`NP 0F ${opcode} /r`, `${name}PS`, 'V,W', packedOp(single, op)),
    sse(`66 0F ${opcode} /r`, `${name}PD`, 'V,W', packedOp(double, op)),
    sse(`F3 0F ${opcode} /r`, `${name}SS`, 'Vd,Wd', scalarOp(single, op)),
    sse(`F2 0F ${opcode} /r`, `${name}SD`, 'Vq,Wq', scalarOp(double, op), hot),
  ];
}

function comparePacked(f: Format): Semantics {
  return (b, i) => {
    const x = b.read(operand(i, 0));
    const y = b.read(operand(i, 1));
    b.write(operand(i, 0), packedCompare(b, f, immediate(b, i, 2), x, y));
  };
}

function compareScalar(f: Format): Semantics {
  return (b, i) => {
    const x = b.read(operand(i, 0));
    const y = b.read(operand(i, 1));
    b.write(operand(i, 0), scalarCompare(b, f, immediate(b, i, 2), x, y));
  };
}

function compareToFlags(f: Format, quiet: boolean): Semantics {
  return (b, i) => {
    const x = b.read(operand(i, 0));
    const y = b.read(operand(i, 1));
    b.loadArithmeticFlags(comparison(b, f, quiet, x, y));
  };
}

/** HADDPS, HSUBPD …: neighbours are paired, first those of the destination. */
function horizontal(f: Format, op: 'add' | 'sub'): Semantics {
  const even = [...Array(f.lanes).keys()].map((n) => 2 * n);
  return vectorOp((b, x, y) => {
    const odd = even.map((n) => n + 1);
    return packed(b, f, op, shuffleLanes(b, f.bytes, x, y, even), shuffleLanes(b, f.bytes, x, y, odd));
  });
}

/** RCPPS and RSQRTPS: no exceptions, no flags, 1.5 × 2^-12 of relative error at most. */
const approximation = { reciprocal: 0, root: 1 } as const;

function approximate(b: Builder, op: keyof typeof approximation, bits: Value): Value {
  return b.helper('sseApproximate', b.int(4, approximation[op]), bits);
}

function approximatePacked(op: keyof typeof approximation): Semantics {
  return (b, i) => {
    let v = b.read(operand(i, 1));
    for (let lane = 0; lane < 4; lane++) v = b.replaceLane(v, lane, approximate(b, op, b.extractLane(v, 4, lane)));
    b.write(operand(i, 0), v);
  };
}

function approximateScalar(op: keyof typeof approximation): Semantics {
  return (b, i) => b.write(operand(i, 0), approximate(b, op, b.read(operand(i, 1))));
}

const hot = { hot: true };
const sse3 = { feature: 'sse3' };

export const sseFloatRows: readonly Row[] = [
  ...arithmeticRows('58', 'ADD', 'add'),
  ...arithmeticRows('59', 'MUL', 'mul'),
  ...arithmeticRows('5C', 'SUB', 'sub'),
  ...arithmeticRows('5D', 'MIN', 'min'),
  ...arithmeticRows('5E', 'DIV', 'div'),
  ...arithmeticRows('5F', 'MAX', 'max'),
  ...arithmeticRows('51', 'SQRT', 'sqrt'),

  sse('NP 0F 52 /r', 'RSQRTPS', 'V,W', approximatePacked('root')),
  sse('F3 0F 52 /r', 'RSQRTSS', 'Vd,Wd', approximateScalar('root')),
  sse('NP 0F 53 /r', 'RCPPS', 'V,W', approximatePacked('reciprocal')),
  sse('F3 0F 53 /r', 'RCPSS', 'Vd,Wd', approximateScalar('reciprocal')),

  sse('NP 0F C2 /r', 'CMPPS', 'V,W,Ib', comparePacked(single)),
  sse('66 0F C2 /r', 'CMPPD', 'V,W,Ib', comparePacked(double)),
  sse('F3 0F C2 /r', 'CMPSS', 'Vd,Wd,Ib', compareScalar(single)),
  sse('F2 0F C2 /r', 'CMPSD', 'Vq,Wq,Ib', compareScalar(double)),
  sse('NP 0F 2E /r', 'UCOMISS', 'Vd,Wd', compareToFlags(single, true)),
  sse('66 0F 2E /r', 'UCOMISD', 'Vq,Wq', compareToFlags(double, true), hot),
  sse('NP 0F 2F /r', 'COMISS', 'Vd,Wd', compareToFlags(single, false)),
  sse('66 0F 2F /r', 'COMISD', 'Vq,Wq', compareToFlags(double, false), hot),

  sse('66 0F 7C /r', 'HADDPD', 'V,W', horizontal(double, 'add'), sse3),
  sse('F2 0F 7C /r', 'HADDPS', 'V,W', horizontal(single, 'add'), sse3),
  sse('66 0F 7D /r', 'HSUBPD', 'V,W', horizontal(double, 'sub'), sse3),
  sse('F2 0F 7D /r', 'HSUBPS', 'V,W', horizontal(single, 'sub'), sse3),
  sse(
    '66 0F D0 /r',
    'ADDSUBPD',
    'V,W',
    vectorOp((b, x, y) => addSub(b, double, x, y)),
    sse3,
  ),
  sse(
    'F2 0F D0 /r',
    'ADDSUBPS',
    'V,W',
    vectorOp((b, x, y) => addSub(b, single, x, y)),
    sse3,
  ),
];
