/** Instructions on EFLAGS (SDM vol. 2: CLC, STC, CMC, CLD, STD, CLI, STI, LAHF, SAHF, CLAC, STAC). */
import type { Semantics } from './builder.ts';
import { eflagsBit, word } from './common.ts';
import type { Row } from './row.ts';
import { row } from './row.ts';

const CLC: Semantics = (b) => b.setFlag('cf', b.bool(false));
const STC: Semantics = (b) => b.setFlag('cf', b.bool(true));
const CMC: Semantics = (b) => b.setFlag('cf', b.negate(b.flag('cf')));
const CLD: Semantics = (b) => b.setSystemFlag(eflagsBit.df, b.bool(false));
const STD: Semantics = (b) => b.setSystemFlag(eflagsBit.df, b.bool(true));

const LAHF: Semantics = (b) => b.write(b.register('ah', 1), b.trunc(1, b.flagsWord()));

/** OF stays. */
const SAHF: Semantics = (b) => {
  const low = b.zext(4, b.read(b.register('ah', 1)));
  const overflow = b.shl(b.boolToInt(4, b.flag('of')), b.int(4, 11));
  b.loadArithmeticFlags(b.or(low, overflow));
};

/** Privilege by IOPL, and the shadow of STI, are the helper's. */
const CLI: Semantics = (b) => {
  b.helper('setInterruptFlag', word(b, 0));
};
const STI: Semantics = (b) => {
  b.helper('setInterruptFlag', word(b, 1));
};

/** EFLAGS.AC opens user pages to the supervisor under SMAP: the TLB set in use changes with it. */
const CLAC: Semantics = (b) => {
  b.helper('setAlignmentCheck', word(b, 0));
};
const STAC: Semantics = (b) => {
  b.helper('setAlignmentCheck', word(b, 1));
};

const access = { privileged: true, feature: 'smap' } as const;

export const flagRows: readonly Row[] = [
  row('F8', 'CLC', '', CLC),
  row('F9', 'STC', '', STC),
  row('F5', 'CMC', '', CMC),
  row('FC', 'CLD', '', CLD),
  row('FD', 'STD', '', STD),
  row('FA', 'CLI', '', CLI),
  row('FB', 'STI', '', STI),
  row('9F', 'LAHF', '', LAHF),
  row('9E', 'SAHF', '', SAHF),
  row('NP 0F 01 CA', 'CLAC', '', CLAC, access),
  row('NP 0F 01 CB', 'STAC', '', STAC, access),
];
