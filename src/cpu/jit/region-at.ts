/** For the developer: the compiled code of an address. */
import { createDisassembler } from '../isa/disassembler.ts';
import { instructionTable } from '../isa/table.ts';
import type { Compiler, LiveRegion } from './compiler.ts';
import { listRegion, modeText } from './listing.ts';
import { hasOffset, offsetsOf } from './offset-set.ts';

/** `text` ends with a newline; `message` is a whole sentence that says what is there instead. */
export type RegionText =
  { readonly ok: true; readonly text: string } | { readonly ok: false; readonly message: string };

/** Regions that are named where the address has none. */
const nearestCount = 5;

/**
 * The text of each region that holds the instruction at `address`: RIP where it ran when it was asked to be compiled.
 * Code that has been mapped at other addresses since, or also, is known by that one. `buffer` is the guest's memory.
 */
export function regionsAt(compiler: Compiler, buffer: ArrayBufferLike, address: bigint): RegionText {
  const regions = [...compiler.liveRegions()];
  const hex = address.toString(16);
  const found = regions.filter(
    (r) => (address & ~0xfffn) === r.ripBase && hasOffset(r.offsets, Number(address & 0xfffn)),
  );
  if (found.length === 0)
    return { ok: false, message: `No compiled instruction begins at ${hex}. ${nearest(regions, address)}` };
  const bytes = new Uint8Array(buffer);
  const disassemble = createDisassembler(instructionTable);
  const texts = found.flatMap((r) => {
    const members = new Set(offsetsOf(r.offsets));
    const plan = compiler.code.planAgain({ ...r, members, entries: new Set(r.entries) });
    return plan ? [`region ${extent(r)}: ${listRegion(plan, { bytes, ripBase: r.ripBase, disassemble })}`] : [];
  });
  if (texts.length === 0) return { ok: false, message: `The code at ${hex} has changed since it was compiled.` };
  return { ok: true, text: texts.join('\n') };
}

/** Its first and last instruction. */
function extent(r: LiveRegion): string {
  const all = offsetsOf(r.offsets);
  const at = (offset = 0): string => (r.ripBase + BigInt(offset)).toString(16);
  return `${at(all[0])} to ${at(all.at(-1))}`;
}

function distance(r: LiveRegion, address: bigint): bigint {
  const from = offsetsOf(r.offsets).map((offset) => {
    const d = r.ripBase + BigInt(offset) - address;
    return d < 0n ? -d : d;
  });
  return from.reduce((least, d) => (d < least ? d : least));
}

function nearest(regions: readonly LiveRegion[], address: bigint): string {
  if (regions.length === 0) return 'Nothing is compiled yet.';
  const list = regions
    .map((region) => ({ region, away: distance(region, address) }))
    .toSorted((a, b) => (a.away < b.away ? -1 : a.away > b.away ? 1 : 0))
    .slice(0, nearestCount)
    .map(
      ({ region }) =>
        `${extent(region)} (${offsetsOf(region.offsets).length} instructions; ${modeText(region.modeKey)})`,
    );
  return `The nearest of ${regions.length} region${regions.length === 1 ? '' : 's'}: ${list.join(', ')}.`;
}
