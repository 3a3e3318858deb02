/**
 * Flags in the compiler's builder: a note at compile time of what set them last. They are made where somebody asks, and
 * at exits they are left in the vCPU held by a kind (`emit/flag-kind.ts`).
 */
import type { FlagName, FlagRule, Size, Value } from '../isa/builder.ts';
import { flagKind, flagKindOf } from '../emit/flag-kind.ts';
import type { FlagKind } from '../emit/flag-kind.ts';
import type { Calls } from '../emit/core-calls.ts';
import { flagPlaces } from '../emit/flag-words.ts';
import { sizeOf } from '../emit/operations.ts';
import { Vcpu } from '../state.ts';
import { Node } from './expressions.ts';
import { allFlags, flagBits } from './facts.ts';
import type { RegionFrame } from './frame.ts';
import { ValueBuilder } from './value-builder.ts';

/** Core functions that compiled code calls, besides helpers. */
export const compiledFunctions = [
  'segmentLinear',
  'segmentBase',
  'probeWrite',
  'compiledRead',
  'compiledWrite',
  'settleFlags',
  'heldCarry',
  'callCompiled',
  'returnedElsewhere',
  'noteJump',
  'runForm',
  'secondPageHolds',
  'fetchesFrom',
] as const;
export type CompiledCalls = Calls<(typeof compiledFunctions)[number]>;

/** Flags that an instruction has set: x, y and r as in `Builder.setFlags`; c is the carry in, CF, or CF and AF. */
interface FlagNote {
  readonly rule: FlagKind;
  readonly size: Size;
  readonly x: Node;
  readonly y: Node;
  readonly r: Node;
  readonly c: Node | undefined;
  readonly aux: Node | undefined;
  /** Of INC and DEC that keep CF: where it still is, unless somebody has asked for it (`c`). Nothing changes it there. */
  readonly kept?: FlagPlace | undefined;
}

/** In the lazy words of the vCPU; in the vCPU, maybe held by a kind; in the function's flag locals. */
type FlagPlace = 'words' | 'memory' | 'locals';

/** Where the flags are, or what makes them. */
export type Flags = FlagPlace | FlagNote;

/** Flags as `flag-kind.ts` has them. */
interface HeldFlags {
  readonly kind: number;
  readonly a: Node;
  readonly b?: Node;
  readonly c?: Node;
}

const noNodes: readonly Node[] = [];

export abstract class FlagBuilder extends ValueBuilder {
  protected readonly calls: CompiledCalls;
  /** Flags that are needed after the instruction. */
  protected live = 0;
  flags: Flags = 'memory';

  constructor(frame: RegionFrame, calls: CompiledCalls) {
    super(frame);
    this.calls = calls;
  }

  protected flagNodes(): readonly Node[] {
    const { flags } = this;
    if (typeof flags === 'string') return noNodes;
    const { x, y, r, c, aux } = flags;
    if (!c) return [x, y, r];
    return aux ? [x, y, r, c, aux] : [x, y, r, c];
  }

  /**
   * Flags as they are now, for a block that is entered from here alone. Registers that they stand on have been copied
   * (`copyWatched`).
   */
  bequeath(): Flags {
    const { flags } = this;
    if (typeof flags === 'string') return flags;
    this.nodes.keep(this.flagNodes());
    const copies = new Map<Node, Node>();
    const copy = (n: Node): Node => {
      if (n.local >= 0) return this.nodes.inLocal(n.type, n.local);
      const known = copies.get(n);
      if (known) return known;
      const made = new Node(n.type, n.op, n.args.map(copy), -1, n.constant, n.high, n.lanes);
      made.uses = n.uses;
      copies.set(n, made);
      return made;
    };
    const { rule, size, x, y, r, c, aux, kept } = flags;
    return {
      rule,
      size,
      x: copy(x),
      y: copy(y),
      r: copy(r),
      c: c && copy(c),
      aux: aux && copy(aux),
      kept,
    };
  }

  private note(rule: FlagKind, size: Size, x: Value, y: Value, r: Value, c?: Value, aux?: Value): FlagNote {
    const note: FlagNote = {
      rule,
      size,
      x: x as Node,
      y: y as Node,
      r: r as Node,
      c: c as Node | undefined,
      aux: aux as Node | undefined,
    };
    this.flags = note;
    for (const n of this.flagNodes()) n.uses++;
    return note;
  }

  /** The note with the CF that INC and DEC have kept. */
  private withCarry(note: FlagNote): FlagNote {
    if (!note.kept) return note;
    const c = this.keptCarry(note.kept);
    c.uses++;
    return { ...note, c, kept: undefined };
  }

  private keptCarry(place: FlagPlace): Node {
    const { code, frame } = this;
    if (place !== 'locals') {
      // What is settled here may run or not: the flags are still where they were.
      const { flags } = this;
      this.flags = place;
      const c = this.flag('cf') as Node;
      this.flags = flags;
      return c;
    }
    // Of INC and DEC before, as in a loop that counts, it is at hand.
    code.get(frame.flagKind).i32(flagKind.inc).op('i32.sub');
    code
      .i32(flagKind.dec + 4 - flagKind.inc)
      .op('i32.lt_u')
      .if('i32', true);
    code.get(frame.flagC).else().i32(this.cpu).get(frame.flagKind);
    for (const local of [frame.flagA, frame.flagB]) {
      code.get(local);
      if (!frame.long) code.op('i64.extend_i32_u');
    }
    code.get(frame.flagC).call(this.calls.heldCarry).end();
    return this.nodes.take('i32');
  }

  override setFlags(rule: FlagRule, x: Value, y: Value, r: Value, carry?: Value): void {
    const keepsCarry = rule === 'inc' || rule === 'dec';
    if (!(this.live & (keepsCarry ? allFlags & ~flagBits.cf : allFlags))) return;
    if (rule === 'zsp') {
      this.toWords();
      super.setFlags(rule, x, y, r, carry);
      return;
    }
    const size = sizeOf(r);
    if (keepsCarry) {
      const { flags } = this;
      const kept = typeof flags === 'string' ? flags : flags.kept;
      if (!(this.live & flagBits.cf)) this.note(rule, size, x, y, r, this.bool(false));
      else if (kept) this.flags = { ...this.note(rule, size, x, y, r), kept };
      else this.note(rule, size, x, y, r, this.flag('cf'));
    } else if (carry) this.note(rule === 'add' ? 'adc' : 'sbb', size, x, y, r, carry);
    else this.note(rule, size, x, y, r);
  }

  override setFlagsFrom(result: Value, carry: Value, overflow: Value, aux?: Value): void {
    if (this.live) this.note('parts', sizeOf(result), this.int(4, 0), overflow, result, carry, aux);
  }

  override setFlag(name: FlagName, b: Value): void {
    if (!(this.live & flagBits[name])) return;
    this.toWords();
    super.setFlag(name, b);
  }

  override loadArithmeticFlags(v: Value): void {
    const unused = this.int(4, 0);
    if (this.live) this.note('word', 4, unused, unused, this.as('i32', v));
  }

  override flag(name: FlagName): Value {
    const { flags } = this;
    if (typeof flags === 'string') {
      this.toWords();
      return super.flag(name);
    }
    const { rule, x, y, r, c, aux } = name === 'cf' ? this.withCarry(flags) : flags;
    if (rule === 'word') return this.bit(r, flagPlaces[name]);
    const base = this.baseRule(rule);
    switch (name) {
      case 'zf':
        return this.isZero(r);
      case 'sf':
        return this.sign(r);
      case 'pf':
        return this.evenParity(r);
      case 'cf':
        if (rule === 'parts' || rule === 'inc' || rule === 'dec') return c ?? this.bool(false);
        return base ? this.carryOf(base, x, y, r, c) : this.bool(false);
      case 'of':
        if (rule === 'parts') return this.sign(y);
        return base ? this.sign(this.overflowOf(base, x, y, r)) : this.bool(false);
      case 'af':
        if (rule === 'parts') return aux ?? this.bool(false);
        return base ? this.bit(this.xor(this.xor(x, y), r), 4) : this.bool(false);
    }
  }

  private baseRule(rule: FlagKind): 'add' | 'sub' | undefined {
    if (rule === 'add' || rule === 'adc' || rule === 'inc') return 'add';
    if (rule === 'sub' || rule === 'sbb' || rule === 'dec') return 'sub';
    return undefined;
  }

  override condition(cc: number): Value {
    const { flags } = this;
    if (typeof flags === 'string') {
      this.toWords();
      return super.condition(cc);
    }
    const { rule, x, y, r } = flags;
    if (rule === 'word') return this.conditionOfWord(r, cc);
    const plain: FlagRule = rule === 'sub' || rule === 'logic' ? rule : 'zsp';
    const short = this.comparison({ rule: plain, x, y, r }, cc);
    if (short) return short;
    const less = (): Value => this.differ(this.flag('sf'), this.flag('of'));
    return this.conditionOf(cc, (name) => this.flag(name), less);
  }

  /** CF or ZF of a word of flags, as after comparisons of floating-point numbers, in one look; the others one by one. */
  private conditionOfWord(word: Node, cc: number): Value {
    if (cc >> 1 !== 3)
      return this.conditionOf(
        cc,
        (name) => this.flag(name),
        () => this.differ(this.flag('sf'), this.flag('of')),
      );
    const neither = this.isZero(this.and(word, this.int(4, (1 << flagPlaces.cf) | (1 << flagPlaces.zf))));
    return cc & 1 ? neither : this.negate(neither);
  }

  /** The lazy words become right, and nothing is held. */
  private toWords(): void {
    const { flags, code } = this;
    if (flags === 'words') return;
    if (typeof flags === 'string') {
      this.toMemory();
      code.i32(this.cpu).memory('i32.load', Vcpu.offsets.heldKind).ifUnlikely();
      code.i32(this.cpu).call(this.calls.settleFlags).end();
      this.flags = 'words';
      return;
    }
    const { rule, x, y, r, c, aux } = this.withCarry(flags);
    const carry = c ?? this.bool(false);
    this.forgetHeld();
    switch (rule) {
      case 'word':
        super.loadArithmeticFlags(r);
        break;
      case 'parts':
        super.setFlagsFrom(r, carry, y, aux);
        break;
      case 'inc':
      case 'dec':
        super.setFlags(rule, x, y, r);
        this.storeField('i32.store', Vcpu.offsets.flagCarry, carry);
        break;
      case 'adc':
      case 'sbb':
        super.setFlags(rule === 'adc' ? 'add' : 'sub', x, y, r, carry);
        break;
      default:
        super.setFlags(rule, x, y, r);
    }
  }

  /** The lazy words are about to be written, whatever was held. */
  private forgetHeld(): void {
    if (this.flags !== 'words') this.storeField('i32.store', Vcpu.offsets.heldKind, this.int(4, flagKind.none));
    this.flags = 'words';
  }

  /** The flags go to the vCPU: held by a kind, if they have not been made. */
  toMemory(): void {
    const { flags } = this;
    if (flags === 'memory' || flags === 'words') return;
    this.flags = 'memory';
    if (flags === 'locals') this.frame.holdFlags();
    else this.storeHeld(flags);
  }

  protected storeHeld(note: FlagNote): void {
    const { frame } = this;
    const { heldKind, heldA, heldB, heldC } = Vcpu.offsets;
    const { kind, a, b, c } = this.heldFlags(note);
    const wide = (offset: number, v: Node): void => {
      if (frame.long) this.storeField('i64.store', offset, this.as('i64', v));
      else this.storeField('i32.store', offset, this.as('i32', v));
    };
    wide(heldA, a);
    if (b) wide(heldB, b);
    if (c) this.storeField('i32.store', heldC, c);
    this.storeField('i32.store', heldKind, this.int(4, kind));
  }

  /** A note as the kind and values of `flag-kind.ts`. */
  private heldFlags(note: FlagNote): HeldFlags {
    const { rule, size, x, y, r, c, aux } = this.withCarry(note);
    const operands = rule === 'add' || rule === 'sub' || rule === 'adc' || rule === 'sbb';
    const carry = c && aux ? (this.or(this.retype('i32', c), this.boolAt(aux, 4)) as Node) : c;
    return {
      kind: flagKindOf(rule, size),
      a: operands ? x : r,
      ...(operands || rule === 'parts' ? { b: y } : {}),
      ...(carry ? { c: carry } : {}),
    };
  }

  /** The flag locals become right; what is known about the flags stays known. */
  putFlagsInLocals(): void {
    const { flags, frame, code } = this;
    if (flags === 'locals') return;
    if (typeof flags === 'string') {
      code.i32(flagKind.none).set(frame.flagKind);
      return;
    }
    const { kind, a, b, c } = this.heldFlags(flags);
    const width = frame.long ? 'i64' : 'i32';
    code.i32(kind).set(frame.flagKind);
    this.put(this.as(width, a)).set(frame.flagA);
    if (b) this.put(this.as(width, b)).set(frame.flagB);
    if (c) this.put(c).set(frame.flagC);
  }

  toLocals(): void {
    this.putFlagsInLocals();
    this.flags = 'locals';
  }
}
