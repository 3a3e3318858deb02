/**
 * A region as text: the guest's instructions, and below each the code that stands for it. The code is written anew from
 * the plan, with names for what differs from run to run: records are `record.` and their offset, functions have the
 * core's names, fields of the vCPU their own.
 *
 *     ;; 1004  add eax,ebx                                            [4]
 *     $11 = i32.add($eax, $ebx)
 *     …
 *
 * In brackets: how many WebAssembly instructions stand below, blocks and their ends aside. A value is written where it
 * is used, so that an instruction's code may stand below a later one, and the last of a block has the way out of it, too.
 */
import { Arena, TlbEntry } from '../arena.ts';
import { importCore } from '../emit/core-calls.ts';
import type { Disassembler } from '../isa/disassembler.ts';
import { helpers } from '../isa/helpers.ts';
import { modeKey } from '../mode-key.ts';
import { Vcpu } from '../state.ts';
import { decodeInstructions } from '../../wasm/decoder.ts';
import { ModuleBuilder } from '../../wasm/encoder.ts';
import { readModule } from '../../wasm/module-reader.ts';
import { printFunction } from '../../wasm/printer.ts';
import { compiledFunctions } from './flag-builder.ts';
import type { Mark } from './region-writer.ts';
import { RegionWriter } from './region-writer.ts';
import type { BasicBlock, ForeignPage, Instruction, RegionPlan } from './region.ts';
import { helpersOf } from './region.ts';
import { tlbOf } from './tlb-set.ts';

export interface ListingSource {
  /** The guest's memory. */
  readonly bytes: Uint8Array;
  /** RIP of the first byte of the region's page. */
  readonly ripBase: bigint;
  readonly disassemble: Disassembler;
}

const instructionColumn = 56;
const cpuName = 'cpu';
/** They become no code of the machine. */
const structural: ReadonlySet<string> = new Set(['block', 'loop', 'else', 'end']);

/** Where control is while these stand: 16-, 32- or 64-bit code, and what the mode key says of the segments. */
export function modeText(key: number): string {
  const bits = [16, 32, 64][key & modeKey.code] ?? 64;
  const flat = [
    [modeKey.codeFlat, 'code'],
    [modeKey.stackFlat, 'stack'],
    [modeKey.dataFlat, 'data'],
  ].flatMap(([bit, name]) => (key & Number(bit) ? [name] : []));
  const segments = bits === 64 ? '' : flat.length === 3 ? ', flat' : `, flat: ${flat.join(' ') || 'nothing'}`;
  return `${bits}-bit code, ${key & modeKey.user ? 'user' : 'supervisor'}${segments}`;
}

/** Ends with a newline. */
export function listRegion(plan: RegionPlan, source: ListingSource): string {
  const m = new ModuleBuilder();
  const calls = importCore(m, compiledFunctions, helpers, helpersOf([plan]));
  const f = m.function('region', ['i32', 'i32', 'i32'], ['i32']);
  const writer = new RegionWriter(f, plan, calls);
  writer.write();
  const module = readModule(m.encode());
  const [body] = module.functions;
  if (!body) throw new Error('the module has no function');
  const counts = countBetween(writer.marks, writer.tail, body.code);
  const total = [...counts.values()].reduce((sum, n) => sum + n, 0);
  const inInstructions = writer.marks.reduce((sum, m) => sum + (m.instruction ? (counts.get(m) ?? 0) : 0), 0);
  const comments = writer.marks.map((mark) => ({
    offset: mark.at,
    text: mark.instruction
      ? `${instructionText(mark.instruction, mark.block.page, plan, source).padEnd(instructionColumn)}[${counts.get(mark) ?? 0}]`
      : blockText(mark.block, mark.label),
  }));
  const named = writer.frame.names();
  const text = printFunction(body.code, {
    names: {
      local: (n) => named.get(n) ?? `t${n - named.size + 1}`,
      function: (n) => module.nameOf(n),
      constant: constantNames(plan),
      place: (address, offset) => (address === cpuName ? fieldName(offset) : tlbName(offset, plan)),
    },
    signature: body.signature,
    signatureOf: module.signatureOf,
    typeOf: (n) => module.types[n],
    indentation: 1,
    comments: [...comments, { offset: writer.tail, text: 'exit' }],
  });
  const plural = (n: number, what: string): string => `${n} ${what}${n === 1 ? '' : 's'}`;
  const each = (inInstructions / Math.max(plan.count, 1)).toFixed(1);
  return [
    `${modeText(plan.modeKey)}; ${plural(plan.count, 'instruction')} in ${plural(plan.blocks.length, 'block')}`,
    `WebAssembly: ${plural(total, 'instruction')}, ${each} for an instruction of the guest and ${
      total - inInstructions
    } at entries and exits`,
    '',
    'region ($label) -> i32 {',
    text,
    '}',
    '',
  ].join('\n');
}

/** WebAssembly instructions from each mark to the next; those before the first and of the tail are counted under 0. */
function countBetween(marks: readonly Mark[], tail: number, code: Uint8Array): ReadonlyMap<Mark | 0, number> {
  const counts = new Map<Mark | 0, number>();
  let next = 0;
  for (const { offset, name } of decodeInstructions(code)) {
    while (next < marks.length && (marks[next]?.at ?? 0) <= offset) next++;
    if (structural.has(name)) continue;
    const under = offset >= tail ? 0 : (marks[next - 1] ?? 0);
    counts.set(under, (counts.get(under) ?? 0) + 1);
  }
  return counts;
}

/** Its address and notation. */
export function instructionText(
  i: Instruction,
  page: ForeignPage | undefined,
  plan: RegionPlan,
  source: ListingSource,
): string {
  const at = (page?.page ?? plan.page) + i.offset;
  const mode = ([16, 32, 64] as const)[plan.modeKey & modeKey.code] ?? 64;
  const rip = source.ripBase + (page?.distance ?? 0n) + BigInt(i.offset);
  const { text } = source.disassemble(source.bytes.slice(at, at + i.length), mode, rip);
  return `${rip.toString(16)}  ${text}${i.apart ? "  (by its form's function)" : ''}`;
}

function blockText(block: BasicBlock, label: number | undefined): string {
  const { number, predecessors, isEntry, goesOn } = block;
  const from = predecessors.length > 0 ? `, from ${predecessors.join(' ')}` : '';
  const on = goesOn ? `, on at ${goesOn.offset.toString(16)}` : '';
  return `block ${number}${isEntry ? `, entry by label ${label}` : ''}${from}${on}`;
}

function constantNames(plan: RegionPlan): (value: number) => string | undefined {
  const names = new Map<number, string>([[plan.cpu, cpuName]]);
  for (const { instructions, page } of plan.blocks) {
    const of = page
      ? `${page.distance < 0n ? '-' : '+'}${(page.distance < 0n ? -page.distance : page.distance).toString(16)}.`
      : '';
    for (const i of instructions) names.set(i.record | 0, `record.${of}${i.offset.toString(16).padStart(3, '0')}`);
  }
  return (value) => names.get(value | 0);
}

const fields = Object.entries(Vcpu.offsets).toSorted(([, a], [, b]) => a - b);

/** Within an entry of the TLB set. */
function tlbName(offset: number, plan: RegionPlan): string | undefined {
  const set = tlbOf(plan);
  if (offset < set || offset >= set + Arena.tlbSetBytes) return undefined;
  const array = ['read', 'write', 'fetch'][Math.floor((offset - set) / Arena.tlbArrayBytes)] ?? '';
  const at = (offset - set) % Arena.tlbArrayBytes;
  return `${array}.${at === TlbEntry.offsets.tag ? 'tag' : at === TlbEntry.offsets.addend ? 'addend' : at}`;
}

/** The field of the vCPU, and what is beyond its start. */
function fieldName(offset: number): string | undefined {
  const [name, start] = fields.findLast(([, at]) => at <= offset) ?? [];
  if (name === undefined || start === undefined || offset >= Vcpu.size) return undefined;
  return offset === start ? name : `${name}+${offset - start}`;
}
