/** MMX, SSE … SSE4.2. */
import { REGION } from '../draft.ts';
import { setMmx } from '../assemble.ts';
import { operandBytes, toBytes } from '../random.ts';
import type { Assembly, Template } from '../template.ts';

const hex = (byte: number): string => byte.toString(16).padStart(2, '0').toUpperCase();

/** Rows as lines `NAME operands = encoding`, with the same options for all. */
function table(group: string, options: Partial<Template>, text: string): Template[] {
  return text
    .trim()
    .split('\n')
    .map((line) => {
      const [name, encoding] = line.split('=').map((part) => part.trim());
      if (!name || !encoding) throw new Error(`bad row '${line}'`);
      return { group, name, encoding, ...options };
    });
}

/** MXCSR with random rounding, sticky flags and at times DAZ, FTZ or unmasked exceptions. SDM vol. 1, 10.2.3. */
function randomMxcsr(a: Assembly): void {
  const { draft } = a;
  const { random } = draft;
  draft.usesMxcsr = true;
  let value = 0x1f80 | (random.below(4) << 13);
  if (random.chance(0.3)) value |= random.below(64);
  if (random.chance(0.1)) value |= 0x8000;
  if (random.chance(0.1)) value |= 0x40;
  if (!draft.usesX87 && random.chance(0.06)) {
    value &= ~((random.below(64) << 7) | 0x3f);
    draft.extraRegs.cr4 = draft.bits === 64 ? 0x620 : 0x600;
  }
  draft.mxcsr = value;
}

/** MMX instructions set TOP to 0; a start at another TOP shows it. */
function randomTop(a: Assembly): void {
  if (a.draft.random.chance(0.25)) a.draft.fsw = a.draft.random.below(8) << 11;
}

const floating: Partial<Template> = { prepare: randomMxcsr, aligned: false, count: 24 };
const packed: Partial<Template> = { ...floating, aligned: true };

const FLOAT_OPS: [string, number, number][] = [
  ['SQRT', 0x51, 16], ['ADD', 0x58, 24], ['MUL', 0x59, 24], ['SUB', 0x5c, 24], ['MIN', 0x5d, 16],
  ['DIV', 0x5e, 24], ['MAX', 0x5f, 16],
]; // prettier-ignore

function floatArithmetic(): Template[] {
  const forms: [string, string, Partial<Template>][] = [
    ['PS Vps,Wps', '', packed],
    ['PD Vpd,Wpd', '66 ', packed],
    ['SS Vss,Wss', 'F3 ', floating],
    ['SD Vsd,Wsd', 'F2 ', floating],
  ];
  return forms.flatMap(([suffix, prefix, options]) => [
    ...FLOAT_OPS.map(([name, opcode, count]): Template => ({
      group: 'sse-float',
      name: name + suffix,
      encoding: `${prefix}0F ${hex(opcode)} /r`,
      ...options,
      count,
    })),
    ...[0, 1, 2, 3, 4, 5, 6, 7].map((predicate): Template => ({
      group: 'sse-float',
      name: `CMP${predicate}${suffix}`,
      encoding: `${prefix}0F C2 /r ${hex(predicate)}`,
      ...options,
      count: 6,
    })),
  ]);
}

/** Rounding control in the immediate, or MXCSR's. */
const rounding = (a: Assembly): void => {
  randomMxcsr(a);
  a.immediate = BigInt(a.ordinal & 15);
};

const noNan = (a: Assembly): void => {
  randomMxcsr(a);
  const width = a.template.data === 'f64' ? 8 : 4;
  const clean = (bytes: Uint8Array): void => {
    for (let i = 0; i < bytes.length; i += width) {
      const high = ((bytes[i + width - 1] ?? 0) << 8) | (bytes[i + width - 2] ?? 0);
      const special = width === 8 ? (high & 0x7ff0) === 0x7ff0 : (high & 0x7f80) === 0x7f80;
      if (special) bytes[i + width - 1] = (bytes[i + width - 1] ?? 0) & 0xbf;
    }
  };
  for (const bytes of a.draft.xmm.values()) clean(bytes);
  if (a.memory) clean(a.memory);
};

/** RCP and RSQRT are approximations that differ between vendors; only inputs with an exact answer are used. */
const exactInputs = (a: Assembly): void => {
  const exact = a.template.name.startsWith('RSQRT')
    ? [0n, 0x80000000n, 0x7f800000n, 0xff800000n, 0xbf800000n, 0x7fc00001n, 0x7f800001n, 1n, 0x80000001n]
    : [0n, 0x80000000n, 0x7f800000n, 0xff800000n, 0x7fc00001n, 0xff800001n, 1n, 0x80000001n];
  const fill = (bytes: Uint8Array): void => {
    for (let i = 0; i < bytes.length; i += 4) bytes.set(toBytes(a.draft.random.pick(exact), 4), i);
  };
  for (const bytes of a.draft.xmm.values()) fill(bytes);
  if (a.memory) fill(a.memory);
};

const FLOAT: Template[] = [
  ...floatArithmetic(),
  ...table('sse-float', packed, `
ADDSUBPS Vps,Wps = F2 0F D0 /r
ADDSUBPD Vpd,Wpd = 66 0F D0 /r
HADDPS Vps,Wps = F2 0F 7C /r
HADDPD Vpd,Wpd = 66 0F 7C /r
HSUBPS Vps,Wps = F2 0F 7D /r
HSUBPD Vpd,Wpd = 66 0F 7D /r`),
  ...table('sse-float', floating, `
UCOMISS Vss,Wss = 0F 2E /r
UCOMISD Vsd,Wsd = 66 0F 2E /r
COMISS Vss,Wss = 0F 2F /r
COMISD Vsd,Wsd = 66 0F 2F /r`),
  ...table('sse-float', { prepare: exactInputs, count: 6 }, `
RSQRTSS Vss,Wss = F3 0F 52 /r
RCPSS Vss,Wss = F3 0F 53 /r`),
  ...table('sse-float', { prepare: exactInputs, count: 6, aligned: true }, `
RSQRTPS Vps,Wps = 0F 52 /r
RCPPS Vps,Wps = 0F 53 /r`),
  ...table('sse-float', { prepare: rounding, count: 32 }, `
ROUNDSS Vss,Wss,Ib = 66 0F 3A 0A /r ib
ROUNDSD Vsd,Wsd,Ib = 66 0F 3A 0B /r ib`),
  ...table('sse-float', { prepare: rounding, count: 32, aligned: true }, `
ROUNDPS Vps,Wps,Ib = 66 0F 3A 08 /r ib
ROUNDPD Vpd,Wpd,Ib = 66 0F 3A 09 /r ib`),
  ...table('sse-float', { prepare: noNan, data: 'f32', aligned: true, count: 24 }, 'DPPS Vps,Wps,Ib = 66 0F 3A 40 /r ib'),
  ...table('sse-float', { prepare: noNan, data: 'f64', aligned: true, count: 24 }, 'DPPD Vpd,Wpd,Ib = 66 0F 3A 41 /r ib'),
]; // prettier-ignore

const CONVERSIONS: Template[] = [
  ...table('sse-convert', { ...floating, data: 'i32' }, `
CVTPI2PS Vps,Qq = 0F 2A /r
CVTPI2PD Vpd,Qq = 66 0F 2A /r
CVTSI2SS Vss,Ey = F3 0F 2A /r
CVTSI2SD Vsd,Ey = F2 0F 2A /r
CVTDQ2PD Vpd,Wq = F3 0F E6 /r`),
  ...table('sse-convert', { ...packed, data: 'i32' }, 'CVTDQ2PS Vps,Wdq = 0F 5B /r'),
  ...table('sse-convert', { ...floating, data: 'f32' }, `
CVTTPS2PI Pq,Wq = 0F 2C /r
CVTPS2PI Pq,Wq = 0F 2D /r
CVTTSS2SI Gy,Wss = F3 0F 2C /r
CVTSS2SI Gy,Wss = F3 0F 2D /r
CVTSS2SD Vsd,Wss = F3 0F 5A /r
CVTPS2PD Vpd,Wq = 0F 5A /r`),
  ...table('sse-convert', { ...packed, data: 'f32' }, `
CVTPS2DQ Vdq,Wps = 66 0F 5B /r
CVTTPS2DQ Vdq,Wps = F3 0F 5B /r`),
  ...table('sse-convert', { ...floating, data: 'f64' }, `
CVTTSD2SI Gy,Wsd = F2 0F 2C /r
CVTSD2SI Gy,Wsd = F2 0F 2D /r
CVTSD2SS Vss,Wsd = F2 0F 5A /r`),
  ...table('sse-convert', { ...packed, data: 'f64' }, `
CVTTPD2PI Pq,Wpd = 66 0F 2C /r
CVTPD2PI Pq,Wpd = 66 0F 2D /r
CVTPD2PS Vps,Wpd = 66 0F 5A /r
CVTPD2DQ Vdq,Wpd = F2 0F E6 /r
CVTTPD2DQ Vdq,Wpd = 66 0F E6 /r`),
].map((row) => ({ ...row, count: 24 })); // prettier-ignore

/** MASKMOV stores at the address in the data index register. */
const maskedStore = (a: Assembly): void => {
  const { draft } = a;
  const address = REGION.data.base + 0x400 + draft.random.below(0x400);
  draft.pin(7, BigInt(address));
  draft.window(address, draft.random.bytes(16));
  randomTop(a);
};

const MOVES: Template[] = [
  ...table('sse-move', { aligned: true }, `
MOVAPS Vps,Wps = 0F 28 /r
MOVAPS Wps,Vps = 0F 29 /r
MOVAPD Vpd,Wpd = 66 0F 28 /r
MOVAPD Wpd,Vpd = 66 0F 29 /r
MOVDQA Vdq,Wdq = 66 0F 6F /r
MOVDQA Wdq,Vdq = 66 0F 7F /r
MOVNTPS Mps,Vps = 0F 2B /r
MOVNTPD Mpd,Vpd = 66 0F 2B /r
MOVNTDQ Mdq,Vdq = 66 0F E7 /r
MOVNTDQA Vdq,Mdq = 66 0F 38 2A /r
MOVSLDUP Vps,Wps = F3 0F 12 /r
MOVSHDUP Vps,Wps = F3 0F 16 /r
UNPCKLPS Vps,Wps = 0F 14 /r
UNPCKHPS Vps,Wps = 0F 15 /r
UNPCKLPD Vpd,Wpd = 66 0F 14 /r
UNPCKHPD Vpd,Wpd = 66 0F 15 /r
SHUFPS Vps,Wps,Ib = 0F C6 /r ib
SHUFPD Vpd,Wpd,Ib = 66 0F C6 /r ib
ANDPS Vdq,Wdq = 0F 54 /r
ANDNPS Vdq,Wdq = 0F 55 /r
ORPS Vdq,Wdq = 0F 56 /r
XORPS Vdq,Wdq = 0F 57 /r
ANDPD Vdq,Wdq = 66 0F 54 /r
ANDNPD Vdq,Wdq = 66 0F 55 /r
ORPD Vdq,Wdq = 66 0F 56 /r
XORPD Vdq,Wdq = 66 0F 57 /r`),
  ...table('sse-move', {}, `
MOVUPS Vps,Wps = 0F 10 /r
MOVUPS Wps,Vps = 0F 11 /r
MOVUPD Vpd,Wpd = 66 0F 10 /r
MOVUPD Wpd,Vpd = 66 0F 11 /r
MOVSS Vss,Wss = F3 0F 10 /r
MOVSS Wss,Vss = F3 0F 11 /r
MOVSD Vsd,Wsd = F2 0F 10 /r
MOVSD Wsd,Vsd = F2 0F 11 /r
MOVDQU Vdq,Wdq = F3 0F 6F /r
MOVDQU Wdq,Vdq = F3 0F 7F /r
LDDQU Vdq,Mdq = F2 0F F0 /r
MOVLPS Vdq,Mq = 0F 12 /r
MOVHLPS Vdq,Udq = 0F 12 /r
MOVLPS Mq,Vdq = 0F 13 /r
MOVHPS Vdq,Mq = 0F 16 /r
MOVLHPS Vdq,Udq = 0F 16 /r
MOVHPS Mq,Vdq = 0F 17 /r
MOVLPD Vdq,Mq = 66 0F 12 /r
MOVLPD Mq,Vdq = 66 0F 13 /r
MOVHPD Vdq,Mq = 66 0F 16 /r
MOVHPD Mq,Vdq = 66 0F 17 /r
MOVDDUP Vdq,Wq = F2 0F 12 /r
MOVD Vdq,Ey = 66 0F 6E /r
MOVD Ey,Vdq = 66 0F 7E /r
MOVQ Vdq,Wq = F3 0F 7E /r
MOVQ Wq,Vdq = 66 0F D6 /r
MOVMSKPS Gd,Ups = 0F 50 /r
MOVMSKPD Gd,Upd = 66 0F 50 /r
PMOVMSKB Gd,Udq = 66 0F D7 /r
MOVNTI My,Gy = 0F C3 /r
PREFETCHNTA M = 0F 18 /0
PREFETCHT0 M = 0F 18 /1
CLFLUSH M = 0F AE /7
LFENCE = 0F AE E8
MFENCE = 0F AE F0
SFENCE = 0F AE F8`).map((row) => (row.name.endsWith(' M') ? { ...row, memoryLength: 1, noFaults: true, count: 2 } : row)),
  {
    group: 'sse-move',
    name: 'LDMXCSR Md',
    encoding: '0F AE /2',
    count: 16,
    prepare(a) {
      a.draft.usesMxcsr = true;
      a.memory?.set(toBytes(BigInt(a.draft.random.below(0x10000)) | (a.ordinal % 5 === 4 ? 0x100000n : 0n), 4));
    },
  },
  { group: 'sse-move', name: 'STMXCSR Md', encoding: '0F AE /3', count: 8, prepare: randomMxcsr },
  { group: 'sse-move', name: 'MASKMOVDQU Vdq,Udq', encoding: '66 0F F7 /r', data: 'i8', prepare: maskedStore },
]; // prettier-ignore

/** Integer operations that exist on MMX (no prefix) and XMM registers (66) alike: opcode after 0F. */
const BOTH: Readonly<Record<string, string>> = {
  PUNPCKLBW: '60', PUNPCKLWD: '61', PUNPCKLDQ: '62', PACKSSWB: '63', PCMPGTB: '64', PCMPGTW: '65', PCMPGTD: '66',
  PACKUSWB: '67', PUNPCKHBW: '68', PUNPCKHWD: '69', PUNPCKHDQ: '6A', PACKSSDW: '6B', PCMPEQB: '74', PCMPEQW: '75',
  PCMPEQD: '76', PSRLW: 'D1', PSRLD: 'D2', PSRLQ: 'D3', PADDQ: 'D4', PMULLW: 'D5', PSUBUSB: 'D8', PSUBUSW: 'D9',
  PMINUB: 'DA', PAND: 'DB', PADDUSB: 'DC', PADDUSW: 'DD', PMAXUB: 'DE', PANDN: 'DF', PAVGB: 'E0', PSRAW: 'E1',
  PSRAD: 'E2', PAVGW: 'E3', PMULHUW: 'E4', PMULHW: 'E5', PSUBSB: 'E8', PSUBSW: 'E9', PMINSW: 'EA', POR: 'EB',
  PADDSB: 'EC', PADDSW: 'ED', PMAXSW: 'EE', PXOR: 'EF', PSLLW: 'F1', PSLLD: 'F2', PSLLQ: 'F3', PMULUDQ: 'F4',
  PMADDWD: 'F5', PSADBW: 'F6', PSUBB: 'F8', PSUBW: 'F9', PSUBD: 'FA', PSUBQ: 'FB', PADDB: 'FC', PADDW: 'FD',
  PADDD: 'FE', PSHUFB: '38 00', PHADDW: '38 01', PHADDD: '38 02', PHADDSW: '38 03', PMADDUBSW: '38 04',
  PHSUBW: '38 05', PHSUBD: '38 06', PHSUBSW: '38 07', PSIGNB: '38 08', PSIGNW: '38 09', PSIGND: '38 0A',
  PMULHRSW: '38 0B', PABSB: '38 1C', PABSW: '38 1D', PABSD: '38 1E',
}; // prettier-ignore

/** Shift counts come from the low 64 bits of the source: mostly small ones, a few huge. */
function vectorCount(a: Assembly): void {
  const { random } = a.draft;
  if (random.chance(0.15)) return;
  const count = toBytes(BigInt(random.below(70)), 8);
  if (a.memory) a.memory.set(count);
  else if (a.rm !== undefined && a.rm !== a.reg) {
    (a.template.group === 'mmx' ? a.draft.x87 : a.draft.xmm).get(a.rm)?.set(count);
  }
}

const isShift = (name: string): boolean => /^PS(RL|RA|LL)[WDQ]$/.test(name);

const INTEGER: Template[] = Object.entries(BOTH).flatMap(([name, opcode]): Template[] => {
  const half = name.startsWith('PUNPCKL') ? 'Qd' : 'Qq';
  const shift = isShift(name);
  return [
    {
      group: 'mmx',
      name: `${name} Pq,${half}`,
      encoding: `0F ${opcode} /r`,
      count: 8,
      prepare: (a) => (randomTop(a), shift && vectorCount(a)),
    },
    {
      group: 'sse-int',
      name: `${name} Vdq,Wdq`,
      encoding: `66 0F ${opcode} /r`,
      count: 10,
      aligned: true,
      prepare: (a) => void (shift && vectorCount(a)),
    },
  ];
});

const shiftImmediate = (a: Assembly): void => {
  randomTop(a);
  a.immediate = BigInt(a.draft.random.chance(0.85) ? a.draft.random.below(70) : a.draft.random.below(256));
};

const IMMEDIATE_SHIFTS: Template[] = (
  [['PSRLW', '71', 2], ['PSRAW', '71', 4], ['PSLLW', '71', 6], ['PSRLD', '72', 2], ['PSRAD', '72', 4],
   ['PSLLD', '72', 6], ['PSRLQ', '73', 2], ['PSLLQ', '73', 6], ['PSRLDQ', '73', 3], ['PSLLDQ', '73', 7]] as const
).flatMap(([name, opcode, extension]): Template[] => {
  const rest = { prepare: shiftImmediate, count: 8 };
  const wide = { group: 'sse-int', name: `${name} Udq,Ib`, encoding: `66 0F ${opcode} /${extension} ib`, ...rest };
  const mmx = { group: 'mmx', name: `${name} Nq,Ib`, encoding: `0F ${opcode} /${extension} ib`, ...rest };
  return name.endsWith('DQ') ? [wide] : [mmx, wide];
}); // prettier-ignore

const MMX: Template[] = table('mmx', { prepare: randomTop }, `
PSHUFW Pq,Qq,Ib = 0F 70 /r ib
PINSRW Pq,Ew,Ib = 0F C4 /r ib
PEXTRW Gd,Nq,Ib = 0F C5 /r ib
PMOVMSKB Gd,Nq = 0F D7 /r
MOVNTQ Mq,Pq = 0F E7 /r
MOVD Pq,Ey = 0F 6E /r
MOVD Ey,Pq = 0F 7E /r
MOVQ Pq,Qq = 0F 6F /r
MOVQ Qq,Pq = 0F 7F /r
MOVQ2DQ Vdq,Nq = F3 0F D6 /r
MOVDQ2Q Pq,Udq = F2 0F D6 /r
PALIGNR Pq,Qq,Ib = 0F 3A 0F /r ib`).concat([
  { group: 'mmx', name: 'MASKMOVQ Pq,Nq', encoding: '0F F7 /r', data: 'i8', prepare: maskedStore },
  {
    group: 'mmx',
    name: 'EMMS',
    encoding: '0F 77',
    count: 3,
    prepare: (a) => (randomTop(a), setMmx(a.draft, 3, new Uint8Array(8)), a.draft.comparedX87.clear()),
  },
]); // prettier-ignore

const blend = (a: Assembly): void => {
  if (!a.draft.xmm.has(0)) a.draft.xmm.set(0, a.draft.random.bytes(16));
};

/** String comparisons: lengths in registers for the explicit forms, at times out of range. SDM vol. 1, 12.8. */
const compareStrings = (a: Assembly): void => {
  const { draft } = a;
  const { random } = draft;
  for (const index of [0, 2]) {
    const value = random.chance(0.8)
      ? BigInt(random.below(19))
      : random.chance(0.5)
        ? random.bits(64)
        : -BigInt(random.below(20));
    draft.pin(index, value);
  }
  a.immediate = BigInt(random.below(128));
  if (a.template.name.includes('M ')) {
    draft.xmm.set(0, random.bytes(16));
    draft.comparedXmm.add(0);
  }
  draft.pin(1, random.bits(64));
  if (random.chance(0.3)) {
    const same = operandBytes(random, 'text', 16);
    draft.xmm.get(a.reg)?.set(same);
    if (a.memory) a.memory.set(same);
    else if (a.rm !== undefined) draft.xmm.get(a.rm)?.set(same);
  }
};

const SSE4: Template[] = [
  ...table('sse-int', { aligned: true }, `
PUNPCKLQDQ Vdq,Wdq = 66 0F 6C /r
PUNPCKHQDQ Vdq,Wdq = 66 0F 6D /r
PSHUFD Vdq,Wdq,Ib = 66 0F 70 /r ib
PSHUFHW Vdq,Wdq,Ib = F3 0F 70 /r ib
PSHUFLW Vdq,Wdq,Ib = F2 0F 70 /r ib
PALIGNR Vdq,Wdq,Ib = 66 0F 3A 0F /r ib`),
  ...table('sse-int', {}, `
PINSRW Vdq,Ew,Ib = 66 0F C4 /r ib
PEXTRW Gd,Udq,Ib = 66 0F C5 /r ib`),
  ...table('sse4', { aligned: true }, `
PTEST Vdq,Wdq = 66 0F 38 17 /r
PMULDQ Vdq,Wdq = 66 0F 38 28 /r
PCMPEQQ Vdq,Wdq = 66 0F 38 29 /r
PACKUSDW Vdq,Wdq = 66 0F 38 2B /r
PCMPGTQ Vdq,Wdq = 66 0F 38 37 /r
PMINSB Vdq,Wdq = 66 0F 38 38 /r
PMINSD Vdq,Wdq = 66 0F 38 39 /r
PMINUW Vdq,Wdq = 66 0F 38 3A /r
PMINUD Vdq,Wdq = 66 0F 38 3B /r
PMAXSB Vdq,Wdq = 66 0F 38 3C /r
PMAXSD Vdq,Wdq = 66 0F 38 3D /r
PMAXUW Vdq,Wdq = 66 0F 38 3E /r
PMAXUD Vdq,Wdq = 66 0F 38 3F /r
PMULLD Vdq,Wdq = 66 0F 38 40 /r
PHMINPOSUW Vdq,Wdq = 66 0F 38 41 /r
BLENDPS Vdq,Wdq,Ib = 66 0F 3A 0C /r ib
BLENDPD Vdq,Wdq,Ib = 66 0F 3A 0D /r ib
PBLENDW Vdq,Wdq,Ib = 66 0F 3A 0E /r ib
MPSADBW Vdq,Wdq,Ib = 66 0F 3A 42 /r ib`),
  ...table('sse4', { aligned: true, prepare: blend }, `
PBLENDVB Vdq,Wdq = 66 0F 38 10 /r
BLENDVPS Vdq,Wdq = 66 0F 38 14 /r
BLENDVPD Vdq,Wdq = 66 0F 38 15 /r`),
  ...['SX', 'ZX'].flatMap((kind, i) =>
    [['BW', 'q'], ['BD', 'd'], ['BQ', 'w'], ['WD', 'q'], ['WQ', 'd'], ['DQ', 'q']].map(([what, source], k): Template => ({
      group: 'sse4',
      name: `PMOV${kind}${what} Vdq,W${source}`,
      encoding: `66 0F 38 ${i + 2}${k} /r`,
      count: 8,
    })),
  ),
  ...table('sse4', {}, `
PEXTRB Eb,Vdq,Ib = 66 0F 3A 14 /r ib
PEXTRW Ew,Vdq,Ib = 66 0F 3A 15 /r ib
PEXTRD Ey,Vdq,Ib = 66 0F 3A 16 /r ib
EXTRACTPS Ed,Vdq,Ib = 66 0F 3A 17 /r ib
PINSRB Vdq,Eb,Ib = 66 0F 3A 20 /r ib
INSERTPS Vdq,Wss,Ib = 66 0F 3A 21 /r ib
PINSRD Vdq,Ey,Ib = 66 0F 3A 22 /r ib`),
  ...table('sse42', { data: 'text', count: 80, prepare: compareStrings }, `
PCMPESTRM Vdq,Wdq,Ib = 66 0F 3A 60 /r ib
PCMPESTRI Vdq,Wdq,Ib = 66 0F 3A 61 /r ib
PCMPISTRM Vdq,Wdq,Ib = 66 0F 3A 62 /r ib
PCMPISTRI Vdq,Wdq,Ib = 66 0F 3A 63 /r ib`),
]; // prettier-ignore

export const VECTORS: readonly Template[] = [
  ...FLOAT,
  ...CONVERSIONS,
  ...MOVES,
  ...INTEGER,
  ...IMMEDIATE_SHIFTS,
  ...MMX,
  ...SSE4,
];
