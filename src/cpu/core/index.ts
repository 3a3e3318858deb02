/**
 * The core's exports: what handlers and machines call. The handlers' list is checked against `isa/helpers.ts` by linking.
 */
export { flushBlocks, invalidateHost, linkTo, lookup, relink } from './blocks';
export {
  addEntry,
  addRegion,
  addWatch,
  compiledRead,
  fetchesFrom,
  missed,
  noteJump,
  secondPageHolds,
  compiledWrite,
  publish,
  removeRegion,
  request,
  sample,
  strayed,
  heldCarry,
  settleFlags,
} from './compiled';
export { decode } from './decode';
export { div128Overflow, div128QuotientS, div128QuotientU } from './divide';
export { deliverEvents, raise, raiseNoError, softwareInterrupt } from './events';
export { getFlags, setArithmeticFlags } from './flags';
export {
  f80Add,
  f80Multiply,
  f80Subtract,
  f80Divide,
  f80Binary,
  f80Compare,
  f80Constant,
  f80FromBcd,
  f80FromInteger,
  f80Load32,
  f80Load64,
  f80Split,
  f80Store,
  f80TagWord,
  f80Unary,
  f80Unpack32,
  f80Unpack64,
} from './fpu-glue';
export { portIn, portOut } from './io';
export { commitWrite, readLinear8, slowRead, slowWrite, writeLinear8 } from './memory';
export { hostOfPhysical } from './paging';
export { flushTlb, resetTlb, translate } from './tlb';
export { updateMode } from './mode';
export { rdmsr, wrmsr } from './msr';
export { operandOffset, probeWrite, segmentBase, undefinedInstruction, wrapIp, wrapOffset } from './operands';
export { attach, beginOne, endOne, resume, run, stepOnce } from './run';
export {
  loadAccessRights,
  loadLdt,
  loadSegment,
  loadSegmentChecked,
  loadTask,
  popSegment,
  segmentLinear,
} from './segments';
export {
  crc32,
  sseApproximate,
  sseConvert,
  sseDotProduct,
  sseF32,
  sseF64,
  ssePackedConvert,
  ssePackedF32,
  ssePackedF64,
  sseRound,
} from './sse-glue';
export { sseStringCompare } from './string-compare';
export { repString } from './strings';
export { swapgs, syscall, sysenter, sysexit, sysret } from './syscalls';
export {
  cpuid,
  enter,
  halt,
  invlpg,
  loadGdt,
  loadIdt,
  popFlags,
  random,
  rdpmc,
  rdtsc,
  readControl,
  readDebug,
  setAlignmentCheck,
  setInterruptFlag,
  writeControl,
  writeDebug,
  xgetbv,
  xsetbv,
} from './system';
export { farCall, farJump, farReturn, interruptReturn } from './transfers';
