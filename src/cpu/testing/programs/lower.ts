/**
 * Makes bytes of a program's tree. What a removed part would have been needed for (calls of it, writes to it) goes with
 * it, so that every tree can be lowered.
 */
import { Draft, FLAG, REGION } from '../oracle/draft.ts';
import { Random, toBytes } from '../oracle/random.ts';
import { CONDITION_READS } from '../oracle/programs.ts';
import { ALL, functionEnd, functionLabel, LOOP_OPCODE } from './program.ts';
import type { Subroutine, Label, Node, Op, Program } from './program.ts';

/** Code that a program may not exceed: beyond lies what it writes itself. */
export const CODE_LIMIT = REGION.code.base + 0x3000;
/** Most faults of a program. */
export const STOP_LIMIT = 40;
/** HLT fills what is no code. */
export const FILLER = 0xf4;
const UNDEFINED_OPCODE = [0x0f, 0x0b];

export class TooLongError extends Error {
  override readonly name = 'TooLongError';
}

/** A line of a listing: address, bytes, and what they are. */
export interface Line {
  readonly address: number;
  readonly bytes: readonly number[];
  readonly text: string;
}

export interface Lowered {
  readonly draft: Draft;
  readonly lines: readonly Line[];
}

type PlacedFixup = { readonly size: 1 | 4; readonly address: number; value(of: (label: Label) => number): number };

interface Scope {
  readonly end: Label;
}

export function lower(program: Program): Lowered {
  const longBranches = new Set<string>();
  for (;;) {
    const lowering = new Lowering(program, longBranches);
    const done = lowering.run();
    if (done) return done;
  }
}

class Lowering {
  private readonly program: Program;
  private readonly long: Set<string>;
  private readonly code: number[] = [];
  private readonly labels = new Map<string, number>();
  private readonly pending = new Map<string, number>();
  private fixups: PlacedFixup[] = [];
  private lines: Line[] = [];
  private resumes: [number, Label][] = [];
  private readonly known: ReadonlySet<string>;
  private scopes: Scope[] = [];
  private undefinedFlags = 0;
  private next = 0;

  constructor(program: Program, long: Set<string>) {
    this.program = program;
    this.long = long;
    this.known = new Set([
      ...labelsOf(program.body),
      ...program.functions.flatMap((f) => [functionLabel(f.number).label, ...labelsOf(f.body)]),
    ]);
  }

  /** Undefined when a short branch was too short: once more, with that one long. */
  run(): Lowered | undefined {
    const { program } = this;
    const start = program.start;
    this.nodes(program.body);
    const mask = ~this.undefinedFlags;
    this.place({ label: 'end' });
    this.emit('the end', [FILLER]);
    for (const f of program.functions) this.function(f);
    if (this.here > CODE_LIMIT) throw new TooLongError(`${program.name}: ${this.code.length} bytes of code`);
    const of = (label: Label): number => {
      const at = this.labels.get(label.label);
      if (at === undefined) throw new Error(`no label ${label.label}`);
      return at;
    };
    let fits = true;
    for (const { address, size, value } of this.fixups) {
      const v = value(of);
      if (size === 1 && (v < -128 || v > 127)) fits = false;
      for (let n = 0; n < size; n++) this.code[address - program.origin + n] = (v >> (8 * n)) & 0xff;
    }
    if (!fits) return undefined;
    const draft = copyDraft(start);
    draft.rip = program.origin;
    draft.window(program.origin, Uint8Array.from(this.code));
    draft.resumes.push(...this.resumes.map(([from, to]): [number, number] => [from, of(to)]));
    draft.stopLimit = STOP_LIMIT;
    draft.flagsMask &= mask;
    const lines = this.lines.map((line) => {
      const at = line.address - program.origin;
      return { ...line, bytes: this.code.slice(at, at + line.bytes.length) };
    });
    return { draft, lines };
  }

  private get here(): number {
    return this.program.origin + this.code.length;
  }

  private label(): Label {
    return { label: `.${this.next++}` };
  }

  private place(label: Label): void {
    this.labels.set(label.label, this.here);
    this.undefinedFlags |= this.pending.get(label.label) ?? 0;
  }

  /** Control may come to the label from here. */
  private leads(label: Label): void {
    this.pending.set(label.label, (this.pending.get(label.label) ?? 0) | this.undefinedFlags);
  }

  private emit(text: string, bytes: readonly number[]): void {
    this.lines.push({ address: this.here, bytes, text });
    this.code.push(...bytes);
  }

  private field(size: 1 | 4, offset: number, value: PlacedFixup['value']): void {
    this.fixups.push({ size, address: this.here + offset, value });
  }

  /** A comparison where flags are needed that are undefined. */
  private ensure(flags: number): void {
    if ((this.undefinedFlags & flags) === 0) return;
    this.emit('cmp eax, ecx', [0x39, 0xc8]);
    this.undefinedFlags = 0;
  }

  private op(op: Op): void {
    const { fixups = [], marks = [] } = op;
    if (fixups.some((f) => !this.resolvable(f.target) || (f.from && !this.resolvable(f.from)))) return;
    this.ensure(op.reads ?? 0);
    const start = this.here;
    for (const mark of marks) this.labels.set(mark.label.label, start + mark.at);
    for (const f of fixups) {
      const end = start + f.at + f.size + (f.behind ?? 0);
      this.field(f.size, f.at, (of) => {
        const target = of(f.target) + (f.addend ?? 0);
        if (f.kind === 'relative') return target - end;
        return f.kind === 'length' && f.from ? target - of(f.from) : target;
      });
    }
    this.emit(op.text, op.bytes);
    this.undefinedFlags &= ~(op.defines ?? 0);
    this.undefinedFlags |= op.undefines ?? 0;
  }

  private resolvable(label: Label): boolean {
    return this.known.has(label.label) || label.label.endsWith('.end') || label.label.startsWith('.');
  }

  private nodes(nodes: readonly Node[]): void {
    for (const node of nodes) this.node(node);
  }

  private node(node: Node): void {
    switch (node.kind) {
      case 'op':
        return this.op(node);
      case 'bracket':
        this.op(node.before);
        this.nodes(node.body);
        return this.op(node.after);
      case 'branch':
        return this.branch(node);
      case 'loop':
        return this.loop(node);
      case 'exit': {
        const scope = this.scopes[this.scopes.length - node.levels];
        if (scope) this.jump(node.condition, scope.end, true);
        return;
      }
      case 'switch':
        return this.switch(node);
      case 'call':
        return this.call(node);
      case 'copy':
        return this.copy(node);
      case 'fault':
        return this.fault(node);
    }
  }

  /** JMP or Jcc to a label. Short ones become long where they have to. */
  private jump(condition: number | undefined, to: Label, long: boolean): void {
    if (condition !== undefined) this.ensure(CONDITION_READS[condition] ?? 0);
    const name = condition === undefined ? 'jmp' : `j${CONDITION_NAMES[condition]}`;
    this.leads(to);
    const id = `${this.next++}`;
    const isLong = long || this.long.has(id);
    const opcode =
      condition === undefined ? [isLong ? 0xe9 : 0xeb] : isLong ? [0x0f, 0x80 + condition] : [0x70 + condition];
    const size = isLong ? 4 : 1;
    const end = this.here + opcode.length + size;
    this.field(size, opcode.length, (of) => {
      const distance = of(to) - end;
      if (size === 1 && (distance < -128 || distance > 127)) this.long.add(id);
      return distance;
    });
    this.emit(`${name} ${to.label}`, [...opcode, ...zeros(size)]);
  }

  private branch(node: Extract<Node, { kind: 'branch' }>): void {
    const [middle, end] = [this.label(), this.label()];
    if (node.written) {
      this.ensure(ALL);
      this.labels.set(node.written.label, this.here + 1);
    }
    this.jump(node.condition, middle, node.written !== undefined);
    if (node.condition === undefined) this.undefinedFlags = 0;
    this.nodes(node.body);
    if (node.otherwise.length === 0) return this.place(middle);
    this.jump(undefined, end, false);
    this.undefinedFlags = 0;
    this.place(middle);
    this.nodes(node.otherwise);
    this.place(end);
  }

  private loop(node: Extract<Node, { kind: 'loop' }>): void {
    this.op(node.start);
    const [head, end] = [this.label(), this.label()];
    // What is undefined at the end of the body is so at its head, too: until nothing is added.
    for (;;) {
      const mark = { code: this.code.length, fixups: this.fixups.length, lines: this.lines.length };
      const [resumes, next, before] = [this.resumes.length, this.next, this.undefinedFlags];
      this.place(head);
      const atHead = this.undefinedFlags;
      this.scopes.push({ end });
      this.nodes(node.body);
      this.scopes.pop();
      this.op(node.step);
      if (typeof node.condition === 'string') {
        if (node.condition !== 'loop') this.ensure(FLAG.ZF);
        this.leads(head);
        const distance = (at: number) => (of: (label: Label) => number) => of(head) - at;
        // LOOP next; JMP end; next: JMP head
        this.emit(`${node.condition} $+7; jmp`, [LOOP_OPCODE[node.condition], 5]);
        this.jump(undefined, end, true);
        this.field(4, 1, distance(this.here + 5));
        this.emit(`jmp ${head.label}`, [0xe9, 0, 0, 0, 0]);
      } else this.jump(node.condition, head, false);
      const more = (this.pending.get(head.label) ?? 0) & ~atHead;
      if (more === 0) break;
      this.code.length = mark.code;
      this.fixups.length = mark.fixups;
      this.lines.length = mark.lines;
      this.resumes.length = resumes;
      this.next = next;
      this.undefinedFlags = before | more;
    }
    this.place(end);
  }

  private switch(node: Extract<Node, { kind: 'switch' }>): void {
    const { bits } = this.program;
    const [table, end] = [this.label(), this.label()];
    const size = bits / 8;
    const scale = bits === 64 ? 0xc0 : 0x80;
    const rex = (base: number): number[] => (bits === 64 && base ? [0x40 | base] : []);
    const r = node.register;
    const high = r > 7 ? 1 : 0;
    this.op(node.select);
    const sib = scale | ((r & 7) << 3) | 5;
    const emitTable = (text: string, prefix: number[], opcode: number, reg: number, last: number[] = []): void => {
      const head = [...prefix, opcode, 0x04 | (reg << 3), sib];
      this.field(4, head.length, (of) => of(table));
      this.emit(text, [...head, 0, 0, 0, 0, ...last]);
    };
    if (node.form === 'memory') emitTable('jmp [table + n]', rex(high << 1), 0xff, 4);
    else if (node.form === 'return') emitTable('push [table + n]; ret', rex(high << 1), 0xff, 6, [0xc3]);
    else {
      emitTable('mov r, [table + n]', bits === 64 ? [0x48 | (high << 1) | (high << 2)] : [], 0x8b, r & 7);
      this.emit('jmp r', [...rex(high), 0xff, 0xe0 | (r & 7)]);
    }
    const places = node.cases.map(() => this.label());
    const before = this.undefinedFlags;
    node.cases.forEach((body, n) => {
      const place = places[n];
      this.undefinedFlags = before;
      if (place) this.place(place);
      this.nodes(body);
      this.jump(undefined, end, body.length > 6);
    });
    this.undefinedFlags = 0;
    this.labels.set(table.label, this.here);
    for (const place of places) {
      this.field(4, 0, (of) => of(place));
      this.emit(`table of ${size}: ${place.label}`, zeros(size));
    }
    this.place(end);
  }

  private callee(n: number): Subroutine | undefined {
    return this.program.functions.find((f) => f.number === n);
  }

  private call(node: Extract<Node, { kind: 'call' }>): void {
    const callee = this.callee(node.callee);
    if (!callee) return;
    const { bits } = this.program;
    const target = functionLabel(node.callee);
    this.ensure(ALL);
    if (callee.recursion) this.setCounter(callee.recursion.counter, callee.recursion.depth);
    const r = node.register;
    const high = r > 7 ? [0x41] : [];
    const toRegister = (): void => {
      this.field(4, high.length + 1, (of) => of(target));
      this.emit(`mov r, ${target.label}`, [...high, 0xb8 | (r & 7), 0, 0, 0, 0]);
    };
    switch (node.form) {
      case 'direct': {
        const end = this.here + 5;
        this.field(4, 1, (of) => of(target) - end);
        this.emit(`call ${target.label}`, [0xe8, 0, 0, 0, 0]);
        break;
      }
      case 'register':
        toRegister();
        this.emit('call r', [...high, 0xff, 0xd0 | (r & 7)]);
        break;
      case 'pushed': {
        // PUSH the return address; JMP r
        toRegister();
        const back = this.label();
        this.field(4, 1, (of) => of(back));
        this.emit(`push ${back.label}`, [0x68, 0, 0, 0, 0]);
        this.emit('jmp r', [...high, 0xff, 0xe0 | (r & 7)]);
        this.labels.set(back.label, this.here);
        break;
      }
      case 'memory':
        toRegister();
        this.emit('push r', [...high, 0x50 | (r & 7)]);
        this.emit('call [sp]', [0xff, 0x14, 0x24]);
        break;
    }
    for (let n = 0; n < callee.skip; n++) this.emit('skipped', [n % 2 ? 0xcc : FILLER]);
    if (node.form === 'memory') {
      // The pushed target goes, flags stay: LEA SP, [SP + size].
      const rex = bits === 64 ? [0x48] : [];
      this.emit('lea sp, [sp + size]', [...rex, 0x8d, 0x64, 0x24, bits / 8]);
    }
    this.undefinedFlags = 0;
  }

  private setCounter(counter: number, value: number): void {
    const sib = this.program.bits === 64 ? [0x04, 0x25] : [0x05];
    const bytes = [0xc7, ...sib, ...toBytes(BigInt(counter), 4), ...toBytes(BigInt(value), 4)];
    this.emit(`mov dword [0x${counter.toString(16)}], ${value}`, bytes);
  }

  /** MOV ESI, function; MOV EDI, to; MOV ECX, length; REP MOVSB; CALL to */
  private copy(node: Extract<Node, { kind: 'copy' }>): void {
    if (!this.callee(node.callee)) return;
    this.ensure(ALL);
    const [from, end] = [functionLabel(node.callee), functionEnd(node.callee)];
    this.field(4, 1, (of) => of(from));
    this.emit(`mov esi, ${from.label}`, [0xbe, 0, 0, 0, 0]);
    this.emit(`mov edi, 0x${node.to.toString(16)}`, [0xbf, ...toBytes(BigInt(node.to), 4)]);
    this.field(4, 1, (of) => of(end) - of(from));
    this.emit('mov ecx, its length', [0xb9, 0, 0, 0, 0]);
    this.emit('rep movsb', [0xf3, 0xa4]);
    for (let n = 0; n < node.times; n++) {
      const next = this.here + 5;
      this.emit(`call 0x${node.to.toString(16)}`, [0xe8, ...toBytes(BigInt(node.to - next), 4)]);
    }
    this.undefinedFlags = 0;
  }

  private fault(node: Extract<Node, { kind: 'fault' }>): void {
    if (node.before) this.op(node.before);
    const behind = this.label();
    this.ensure(ALL);
    const start = this.here;
    this.op(node.op);
    const at = node.at === 'start' ? start + node.offset : node.at === 'end' ? this.here : node.at;
    this.resumes.push([at, behind]);
    this.place(behind);
    if (node.after) this.op(node.after);
  }

  private function(f: Subroutine): void {
    const { bits } = this.program;
    const wide = bits === 64 ? [0x48] : [];
    this.emit(
      'gap',
      Array.from({ length: f.gap }, () => FILLER),
    );
    this.undefinedFlags = 0;
    const [start, finish, out] = [functionLabel(f.number), functionEnd(f.number), this.label()];
    this.place(start);
    if (f.recursion) {
      // DEC [counter]; JS out; body; CALL itself; out:
      const sib = bits === 64 ? [0x04 | 8, 0x25] : [0x05 | 8];
      this.emit('dec dword [counter]', [0xff, ...sib, ...toBytes(BigInt(f.recursion.counter), 4)]);
      this.jump(8, out, true);
    }
    this.scopes = [{ end: out }];
    this.nodes(f.body);
    this.scopes = [];
    if (f.recursion) {
      this.ensure(ALL);
      const end = this.here + 5;
      this.field(4, 1, (of) => of(start) - end);
      this.emit(`call ${start.label}`, [0xe8, 0, 0, 0, 0]);
      for (let n = 0; n < f.skip; n++) this.emit('skipped', [n % 2 ? 0xcc : FILLER]);
    }
    this.place(out);
    // ADD [SP], skip
    if (f.skip) {
      this.emit(`add [sp], ${f.skip}`, [...wide, 0x83, 0x04, 0x24, f.skip]);
      this.undefinedFlags = 0;
    }
    this.ensure(ALL);
    switch (f.form) {
      case 'return':
        this.emit('ret', [0xc3]);
        break;
      case 'pop':
        this.emit('pop edx; jmp edx', [0x5a, 0xff, 0xe2]);
        break;
      case 'jump':
        // JMP [SP − size], after the return address has been taken from there: LEA keeps the flags.
        this.emit('lea sp, [sp + size]; jmp [sp - size]', [
          ...wide,
          0x8d,
          0x64,
          0x24,
          bits / 8,
          0xff,
          0x64,
          0x24,
          0x100 - bits / 8,
        ]);
        break;
      case 'release':
        // The same address once more below: RET size takes both.
        this.emit('push [sp]; ret size', [0xff, 0x34, 0x24, 0xc2, bits / 8, 0]);
        break;
    }
    this.labels.set(finish.label, this.here);
    this.emit('no way', UNDEFINED_OPCODE);
  }
}

const zeros = (length: number): number[] => Array.from({ length }, () => 0);

export const CONDITION_NAMES = ['o', 'no', 'b', 'ae', 'e', 'ne', 'be', 'a', 's', 'ns', 'p', 'np', 'l', 'ge', 'le', 'g'];

function labelsOf(nodes: readonly Node[]): string[] {
  return nodes.flatMap((node): string[] => {
    switch (node.kind) {
      case 'op':
        return (node.marks ?? []).map((m) => m.label.label);
      case 'bracket':
      case 'loop':
        return labelsOf(node.body);
      case 'branch':
        return [...(node.written ? [node.written.label] : []), ...labelsOf(node.body), ...labelsOf(node.otherwise)];
      case 'switch':
        return node.cases.flatMap((body) => labelsOf(body));
      default:
        return [];
    }
  });
}

function copyDraft(from: Draft): Draft {
  const draft = new Draft(from.bits, new Random(''));
  from.regs.forEach((value, n) => (draft.regs[n] = value));
  draft.flags = from.flags;
  draft.flagsMask = from.flagsMask;
  draft.mxcsr = from.mxcsr;
  draft.fcw = from.fcw;
  for (const [n, bytes] of from.xmm) draft.xmm.set(n, bytes);
  draft.windows.push(...from.windows);
  return draft;
}
