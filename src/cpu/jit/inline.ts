/**
 * Short functions are copied to where they are called: a call and its return take some hundred machine instructions, most
 * of which are stores and loads of registers, the look-up of what is called, and the frame of a function. What is copied
 * calls nothing itself and has no loops, beside which a call would be little.
 *
 * A copy is made of blocks as any others are, with the same records. The call pushes its return address and goes on in
 * the copy; RET goes on behind the call if the address that it pops is that one. What may prove wrong is looked at: where
 * an indirect call leads, and whether the page of the function is still mapped to the frame that it was decoded from. Then
 * the call is made as any other. Where the copied function goes on in code that had not run when it was copied, the rest
 * is called (`BasicBlock.goesOn`). Mappings change only while other code runs, so a page is looked at when a copy in it is
 * entered, and never left in its midst.
 */
import { layOut } from './lay-out.ts';
import type { Flows } from './lay-out.ts';
import { callOutOf, successorsOf } from './region.ts';
import type { BasicBlock, CodeLocation, Decoded, ForeignPage, Granules, Instruction } from './region.ts';

/** Instructions of a function that is copied, and of all copies of a region. */
const longestFunction = 16;
const mostCopied = 200;

/** Where functions are found. */
export interface FunctionSource {
  /** What a call of the region leads to, as far as is known. */
  calleeOf(call: Instruction): CodeLocation | undefined;
  /** The decoded code of a page; what it gives is good until it is asked for the next one. */
  codeOf(page: ForeignPage | undefined): { readonly decoded: Decoded; readonly flows: Flows };
}

export interface Inlined {
  readonly blocks: readonly BasicBlock[];
  /** Instructions that were copied. */
  readonly count: number;
  /** What they are made from: in the region's own page, and in others by their frames. */
  readonly granules: Granules;
  readonly foreign: ReadonlyMap<number, Granules>;
  /** What was copied for the calls with these records. */
  readonly calls: ReadonlyMap<number, CodeLocation>;
}

type Draft = { -readonly [K in keyof BasicBlock]: BasicBlock[K] };

interface Body {
  readonly blocks: readonly BasicBlock[];
  readonly granules: Granules;
  readonly count: number;
}

/** A call whose operand names its target. */
export function isDirectCall(i: Instruction): boolean {
  return i.form.operands[0]?.kind === 'immediate';
}

/** Blocks of a region, the first ones as they are given, with copies of what they call. */
export function inlineCalls(blocks: readonly BasicBlock[], source: FunctionSource): Inlined {
  const inliner = new Inliner(blocks, source);
  inliner.run();
  return inliner.result();
}

class Inliner {
  private readonly drafts: Draft[];
  private readonly source: FunctionSource;
  private readonly bodies = new Map<string, Body | undefined>();
  private readonly calls = new Map<number, CodeLocation>();
  private readonly foreign = new Map<number, Granules>();
  private granules: Granules = [0, 0];
  private count = 0;

  constructor(blocks: readonly BasicBlock[], source: FunctionSource) {
    this.drafts = blocks.map((b) => ({ ...b }));
    this.source = source;
  }

  run(): void {
    for (const draft of [...this.drafts]) this.tryCall(draft);
    const predecessors: number[][] = this.drafts.map(() => []);
    for (const draft of this.drafts) {
      for (const to of new Set(successorsOf(draft))) predecessors[to]?.push(draft.number);
    }
    for (const draft of this.drafts) draft.predecessors = predecessors[draft.number] ?? [];
  }

  result(): Inlined {
    const { drafts: blocks, count, granules, foreign, calls } = this;
    return { blocks, count, granules, foreign, calls };
  }

  private tryCall(draft: Draft): void {
    const call = callOutOf(draft);
    if (!call || call.secondPage !== 0 || draft.next === undefined) return;
    const place = this.source.calleeOf(call);
    const body = place && this.bodyAt(place);
    if (!body || this.count + body.count > mostCopied) return;
    this.calls.set(call.record, place);
    this.count += body.count;
    this.note(place.page, body.granules);
    this.copy(draft, call, place, body);
  }

  private note(page: ForeignPage | undefined, [low, high]: Granules): void {
    const known = page ? (this.foreign.get(page.page) ?? [0, 0]) : this.granules;
    const all: Granules = [known[0] | low, known[1] | high];
    if (page) this.foreign.set(page.page, all);
    else this.granules = all;
  }

  private bodyAt(place: CodeLocation): Body | undefined {
    const key = `${place.page?.distance ?? 0n} ${place.offset}`;
    if (!this.bodies.has(key)) this.bodies.set(key, this.read(place));
    return this.bodies.get(key);
  }

  private read({ offset, page }: CodeLocation): Body | undefined {
    const { decoded, flows } = this.source.codeOf(page);
    const members = membersOf(offset, decoded, flows, page !== undefined);
    if (!members) return undefined;
    const laid = layOut({ members, entries: new Set([offset]), chosen: [] }, decoded, flows);
    return { blocks: laid.blocks, granules: laid.granules, count: laid.count };
  }

  /** Appends a copy of the body for the call at the end of `caller`. */
  private copy(caller: Draft, call: Instruction, place: CodeLocation, body: Body): void {
    const base = this.drafts.length;
    const behind = { block: caller.next ?? 0, offset: call.offset + call.length };
    const moved = (n: number | undefined): number | undefined => (n === undefined ? undefined : base + n);
    const copies = body.blocks.map((b): Draft => {
      const number = base + b.number;
      return { ...b, number, page: place.page, isEntry: false, taken: moved(b.taken), next: moved(b.next) };
    });
    this.drafts.push(...copies);
    /** A way out of the copy, to code that had not run: it is called, and returns behind the call that was copied. */
    const goOn = (offset: number): number => {
      const number = this.drafts.length;
      const goesOn = { offset, returnsTo: behind.offset };
      const ways = { taken: undefined, next: behind.block, predecessors: [] };
      this.drafts.push({ number, instructions: [], page: place.page, isEntry: false, goesOn, ...ways });
      return number;
    };
    for (const c of copies) {
      const last = c.instructions.at(-1);
      if (!last) continue;
      const after = last.offset + last.length;
      const transfer = last.apart ? 'none' : last.facts.transfer;
      if (transfer === 'jump') {
        c.next = behind.block;
        c.returnsTo = behind.offset;
        continue;
      }
      if (transfer !== 'none') c.taken ??= goOn(after + Number(last.immediate));
      if (transfer !== 'branch') c.next ??= goOn(after);
    }
    caller.taken = copies.find((c) => c.instructions[0]?.offset === place.offset)?.number;
    if (isDirectCall(call) && place.page === undefined) caller.next = undefined;
  }
}

/** Offsets of the function at `start`; undefined if it is not to be copied. */
function membersOf(start: number, decoded: Decoded, flows: Flows, foreign: boolean): ReadonlySet<number> | undefined {
  const members = new Set([start]);
  let returns = false;
  for (const offset of members) {
    const i = decoded.get(offset);
    const flow = flows[offset];
    if (!i || !flow || members.size > longestFunction || i.secondPage !== 0) return undefined;
    const { next, taken } = flow;
    // What is done by its form's function may change the mapping of the page.
    if (i.apart ? flow.ends || foreign : i.facts.transfer === 'call') return undefined;
    if (!i.apart && i.facts.transfer === 'jump') {
      if (i.form.mnemonic !== 'RET') return undefined;
      returns = true;
    }
    if (taken !== undefined && taken <= offset) return undefined;
    if (next !== undefined) members.add(next);
    if (taken !== undefined) members.add(taken);
  }
  return returns ? members : undefined;
}
