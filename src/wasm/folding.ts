/**
 * Stack code as statements. Operands are folded into the expression that uses them; what the stack holds is written
 * where it is used, unless something comes in between that it must not be moved across. Then it gets a name:
 *
 *     local.get 0                        %1 = i32.load offset=4 ($0)
 *     i32.load offset=4                  i32.store offset=4 ($0, 7)
 *     local.get 0, i32.const 7     →     $1 = %1
 *     i32.store offset=4
 *     local.set 1
 *
 * So the printed order of reads, writes, traps and branches is the order in which they happen. Pure values that nothing
 * uses are not printed. Values that blocks take and leave are temporaries too: `%1 = …` before the branch or the end.
 */
import type { Block } from './blocks.ts';
import { blockStructure } from './blocks.ts';
import type { Instruction, Signature } from './decoder.ts';
import { arity, effects } from './decoder.ts';
import { conflicts, merged } from './ordering.ts';
import type { Step, Value } from './ordering.ts';

/** How the indices of the code are called; signatures tell what calls and blocks take and leave. */
export interface Naming {
  readonly local: (index: number) => string;
  readonly function: (index: number) => string;
  readonly signatureOf: (functionIndex: number) => Signature | undefined;
  readonly typeOf: (typeIndex: number) => Signature | undefined;
  /** Name of an i32 constant, and of what lies at an offset from an address; nothing: the number. */
  readonly constant: (value: number) => string | undefined;
  readonly place: (address: string, offset: number) => string | undefined;
}

/** A line in front of the instruction at a byte offset. */
export interface Comment {
  readonly offset: number;
  readonly text: string;
}

interface Frame {
  readonly block: Block | undefined;
  readonly base: number;
  /** Temporaries of parameters and results; their count is that of the values. */
  readonly parameters: readonly number[];
  readonly results: readonly number[];
  /** Its braces are those of the block around it: it ends with a line that bears its label. */
  readonly chained: boolean;
  reachable: boolean;
}

/** Operands that are longer than this together are named one after the other, the longest first. */
const widest = 100;
const simple = /^[$%]?[\w.:-]+$/;
/** Temporaries of what the function returns, for a br_table that leaves it. */
const firstResult = -1_000_000;

function temporaryText(temporary: number): string {
  return temporary <= firstResult ? `%result${firstResult - temporary}` : `%${-temporary}`;
}

export class Folder {
  readonly lines: string[] = [];
  private readonly code: readonly Instruction[];
  private readonly naming: Naming;
  private readonly signature: Signature;
  /** Still to be printed, in order. */
  private readonly comments: Comment[];
  private readonly stack: Value[] = [];
  private readonly frames: Frame[] = [];
  private indentation: number;
  private temporaries = 0;
  /** The last line opens a block that carries no values. */
  private justOpened = false;

  constructor(
    code: readonly Instruction[],
    naming: Naming,
    signature: Signature,
    indentation: number,
    comments: readonly Comment[],
  ) {
    this.code = code;
    this.comments = [...comments];
    this.naming = naming;
    this.signature = signature;
    this.indentation = indentation;
  }

  fold(): readonly string[] {
    const blocks = blockStructure(this.code);
    const results = this.signature.results.map((_, n) => firstResult - n);
    this.frames.push({
      block: undefined,
      base: 0,
      parameters: [],
      results,
      chained: false,
      reachable: true,
    });
    for (const [index, instruction] of this.code.entries()) {
      const block = blocks.get(index);
      this.comment(instruction.offset);
      if (block) this.open(block, instruction);
      else this.step(instruction);
    }
    this.comment(Infinity);
    const frame = this.innermost();
    if (frame.reachable) {
      this.checkHeight(frame, undefined);
      if (results.length > 0) this.return({ offset: 0, name: 'end', immediates: { kind: 'none' } });
    }
    return this.lines;
  }

  // Lines, values and their order

  private line(text: string, outdent = 0): void {
    this.lines.push('  '.repeat(this.indentation - outdent) + text);
    this.justOpened = false;
  }

  private comment(upTo: number): void {
    for (;;) {
      const [next] = this.comments;
      if (!next || next.offset > upTo) return;
      this.comments.shift();
      this.line(`;; ${next.text}`);
    }
  }

  private innermost(): Frame {
    const frame = this.frames.at(-1);
    if (!frame) throw new Error('code goes on after the end of its function');
    return frame;
  }

  private push(text: string, parts: readonly Omit<Value, 'text'>[]): void {
    this.stack.push({
      text,
      reads: parts.some((p) => p.reads),
      writes: parts.some((p) => p.writes),
      locals: [...new Set(parts.flatMap((p) => p.locals))],
    });
  }

  /** The top `count` values in the order in which they were pushed, the longest named if a line would get too wide. */
  private pop(count: number, at: Instruction): Value[] {
    const frame = this.innermost();
    const missing = frame.base + count - this.stack.length;
    if (missing > 0) {
      if (frame.reachable) throw new Error(`${at.name} at byte ${at.offset} finds ${missing} operands too few`);
      // After a branch the stack is polymorphic.
      const nothing = { text: '?', reads: false, writes: false, locals: [] };
      this.stack.splice(frame.base, 0, ...Array.from({ length: missing }, () => nothing));
    }
    const first = this.stack.length - count;
    for (;;) {
      const lengths = this.stack.slice(first).map((v) => (simple.test(v.text) ? 0 : v.text.length));
      const longest = Math.max(0, ...lengths);
      if (longest < 24 || lengths.reduce((sum, n) => sum + n, 0) <= widest) break;
      this.name(first + lengths.indexOf(longest));
    }
    return this.stack.splice(first);
  }

  private popOne(at: Instruction): Value {
    const [value] = this.pop(1, at);
    if (!value) throw new Error('pop gives as many values as it is asked for');
    return value;
  }

  private temporary(): number {
    return --this.temporaries;
  }

  /** Gives the value at this height a name, and before it whatever must happen before it. */
  private name(height: number): void {
    const value = this.stack[height];
    if (!value) return;
    this.settle({ ...value, sets: [], control: false }, height);
    const temporary = this.temporary();
    this.line(`${temporaryText(temporary)} = ${value.text}`);
    this.stack[height] = { text: temporaryText(temporary), reads: false, writes: false, locals: [temporary] };
  }

  /** Names what lies on the stack below `height` and must not be moved across that step. */
  private settle(step: Step, height = this.stack.length): void {
    for (let i = 0; i < height; i++) {
      const value = this.stack[i];
      if (value && conflicts(value, step)) this.name(i);
    }
  }

  private statement(text: string, step: Partial<Step>, operands: readonly Value[] = []): void {
    this.settle(merged(operands, { reads: false, writes: false, sets: [], control: false, ...step }));
    this.line(text);
  }

  /** Names those of the topmost values that read one of the temporaries, or all that are not simple. */
  private fix(count: number, temporaries: readonly number[], all: boolean): void {
    for (let i = this.stack.length - count; i < this.stack.length; i++) {
      const value = this.stack[i];
      if (!value) continue;
      if ((all && !simple.test(value.text)) || value.locals.some((l) => temporaries.includes(l))) this.name(i);
    }
  }

  /** Takes the topmost values from the stack into these temporaries. */
  private assignTop(temporaries: readonly number[], at: Instruction): void {
    if (temporaries.length === 0) return;
    const values = this.pop(temporaries.length, at);
    const first = this.stack.length;
    this.stack.push(...values);
    if (temporaries.length > 1) this.fix(temporaries.length, temporaries, false);
    for (const temporary of temporaries) {
      const [value] = this.stack.splice(first, 1);
      if (!value) continue;
      // What lies above is evaluated later and reads none of the temporaries: only what lies below can be in the way.
      this.settle({ ...value, sets: [temporary], control: false }, first);
      this.line(`${temporaryText(temporary)} = ${value.text}`);
    }
  }

  // Constructs

  private typeOf(index: number): Signature {
    const type = this.naming.typeOf(index);
    if (!type) throw new Error(`type ${index} is unknown: print the whole module, or give its types in the options`);
    return type;
  }

  private blockSignature(instruction: Instruction): { parameters: number; results: number } {
    if (instruction.immediates.kind !== 'block') throw new Error(`${instruction.name} opens no block`);
    const { type } = instruction.immediates;
    if (type.kind !== 'type') return { parameters: 0, results: type.kind === 'none' ? 0 : 1 };
    const { parameters, results } = this.typeOf(type.index);
    return { parameters: parameters.length, results: results.length };
  }

  private open(block: Block, instruction: Instruction): void {
    const count = this.blockSignature(instruction);
    // A condition is evaluated after the parameters.
    if (block.kind === 'if' && count.parameters > 0) this.fix(1, [], true);
    const condition = block.kind === 'if' ? [this.popOne(instruction)] : [];
    const parameters = Array.from({ length: count.parameters }, () => this.temporary());
    const results = Array.from({ length: count.results }, () => this.temporary());
    this.assignTop(parameters, instruction);
    const label = block.label === undefined ? '' : ` ${block.label}`;
    const plain = block.kind === 'block' && block.label !== undefined && count.parameters + count.results === 0;
    this.settle(
      merged(condition, { reads: block.reads, writes: block.writes, sets: block.locals, control: block.leaves }),
    );
    const chained = plain && this.justOpened;
    if (chained) {
      const last = this.lines.length - 1;
      this.lines[last] = `${this.lines[last]?.slice(0, -2)}${label} {`;
    } else {
      this.line(`${block.kind}${label}${condition.map((c) => ` (${c.text})`).join('')} {`);
      this.indentation++;
    }
    this.frames.push({ block, base: this.stack.length, parameters, results, chained, reachable: true });
    this.pushTemporaries(parameters);
    this.justOpened = plain;
  }

  private pushTemporaries(temporaries: readonly number[]): void {
    for (const t of temporaries) this.push(temporaryText(t), [{ reads: false, writes: false, locals: [t] }]);
  }

  private checkHeight(frame: Frame, at: Instruction | undefined): void {
    const height = this.stack.length - frame.base;
    if (height === frame.results.length) return;
    const place = at ? `at byte ${at.offset}` : 'at the end of the function';
    const hint = at ? '' : '; options.signature tells how many it returns';
    throw new Error(`${height} values on the stack ${place}, ${frame.results.length} expected${hint}`);
  }

  /** What a reachable end or else leaves goes to the construct's temporaries. */
  private leave(frame: Frame, at: Instruction): void {
    if (frame.reachable) {
      this.checkHeight(frame, at);
      this.assignTop(frame.results, at);
    }
    this.stack.length = frame.base;
  }

  private else(at: Instruction): void {
    const frame = this.innermost();
    this.leave(frame, at);
    this.line('} else {', 1);
    frame.reachable = true;
    this.pushTemporaries(frame.parameters);
  }

  private end(at: Instruction): void {
    const frame = this.innermost();
    this.leave(frame, at);
    if (frame.chained) {
      this.line(`${frame.block?.label}:`, 1);
    } else {
      this.indentation--;
      this.line('}');
    }
    this.frames.pop();
    this.pushTemporaries(frame.results);
  }

  // Branches

  private targets(at: Instruction): readonly Frame[] {
    if (at.immediates.kind !== 'labels') throw new Error(`${at.name} at byte ${at.offset} has no labels`);
    return at.immediates.depths.map((depth) => {
      const frame = this.frames.at(-1 - depth);
      if (!frame) throw new Error(`${at.name} at byte ${at.offset} leaves ${depth + 1} constructs: more than are open`);
      return frame;
    });
  }

  private carried(frame: Frame): readonly number[] {
    return frame.block?.kind === 'loop' ? frame.parameters : frame.results;
  }

  private goto(frame: Frame): string {
    return frame.block ? `br ${frame.block.label}` : ['return', ...frame.results.map(temporaryText)].join(' ');
  }

  /** What follows up to the end of the construct is dead. */
  private dead(): void {
    const frame = this.innermost();
    frame.reachable = false;
    this.stack.length = frame.base;
  }

  private return(at: Instruction): void {
    const [outermost] = this.frames;
    const values = this.pop(outermost?.results.length ?? 0, at);
    this.statement(['return', ...values.map((v) => v.text)].join(' '), { control: true }, values);
    this.dead();
  }

  private branch(at: Instruction): void {
    const [frame] = this.targets(at);
    if (!frame) return;
    if (!frame.block) {
      this.return(at);
      return;
    }
    this.assignTop(this.carried(frame), at);
    this.statement(this.goto(frame), { control: true });
    this.dead();
  }

  /** The values that a conditional branch carries stay on the stack; in front of it they are assigned, too. */
  private carry(frames: readonly Frame[], at: Instruction): Value {
    const all = [...new Set(frames)].flatMap((f) => this.carried(f));
    const count = frames[0] ? this.carried(frames[0]).length : 0;
    this.fix(1, all, count > 0);
    const condition = this.popOne(at);
    this.stack.push(...this.pop(count, at));
    this.fix(count, all, true);
    return condition;
  }

  private assignCarried(frame: Frame): void {
    const temporaries = this.carried(frame);
    const first = this.stack.length - temporaries.length;
    this.settle({ reads: false, writes: false, sets: temporaries, control: false }, first);
    const values = this.stack.slice(first);
    temporaries.forEach((t, i) => this.line(`${temporaryText(t)} = ${values[i]?.text}`));
  }

  private branchIf(at: Instruction): void {
    const [frame] = this.targets(at);
    if (!frame) return;
    const condition = this.carry([frame], at);
    if (frame.block) {
      this.assignCarried(frame);
      this.statement(`br_if ${frame.block.label} if (${condition.text})`, { control: true }, [condition]);
    } else {
      const values = this.stack.slice(this.stack.length - frame.results.length).map((v) => v.text);
      this.statement(`${['return', ...values].join(' ')} if (${condition.text})`, { control: true }, [condition]);
    }
  }

  private branchTable(at: Instruction): void {
    const frames = this.targets(at);
    const index = this.carry(frames, at);
    for (const frame of new Set(frames)) this.assignCarried(frame);
    const fallback = frames.length - 1;
    const cases: string[] = [];
    for (let i = 0; i < fallback;) {
      const first = i;
      while (i < fallback && frames[i] === frames[first]) i++;
      const frame = frames[first];
      if (frame) cases.push(`${first === i - 1 ? first : `${first}..${i - 1}`}: ${this.caseTarget(frame)}`);
    }
    const last = frames[fallback];
    if (last) cases.push(`default: ${this.caseTarget(last)}`);
    const oneLine = `br_table (${index.text}) { ${cases.join(', ')} }`;
    if (oneLine.length <= widest) {
      this.statement(oneLine, { control: true }, [index]);
    } else {
      this.statement(`br_table (${index.text}) {`, { control: true }, [index]);
      for (const text of cases) this.line(text, -1);
      this.line('}');
    }
    this.dead();
  }

  private caseTarget(frame: Frame): string {
    return frame.block?.label ?? this.goto(frame);
  }

  // Instructions

  private step(at: Instruction): void {
    switch (at.name) {
      case 'else':
        return this.else(at);
      case 'end':
        return this.end(at);
      case 'br':
        return this.branch(at);
      case 'br_if':
        return this.branchIf(at);
      case 'br_table':
        return this.branchTable(at);
      case 'return':
        return this.return(at);
      case 'unreachable':
        this.statement('unreachable', { control: true });
        return this.dead();
      default:
        if (at.immediates.kind === 'indices') this.indexed(at, at.immediates.indices);
        else this.plain(at);
    }
  }

  private indexed(at: Instruction, indices: readonly number[]): void {
    const [first = 0, second = 0] = indices;
    switch (at.name) {
      case 'local.get':
        this.push(this.naming.local(first), [{ reads: false, writes: false, locals: [first] }]);
        return;
      case 'local.set':
      case 'local.tee': {
        const value = this.popOne(at);
        this.statement(`${this.naming.local(first)} = ${value.text}`, { sets: [first] }, [value]);
        if (at.name === 'local.tee') this.push(this.naming.local(first), [{ ...constant, locals: [first] }]);
        return;
      }
      case 'call':
      case 'return_call':
        this.call(at, `${at.name} ${this.naming.function(first)}`, this.naming.signatureOf(first), first);
        return;
      case 'call_indirect':
      case 'return_call_indirect': {
        const signature = this.typeOf(first);
        // The index is evaluated last but stands first: it must not depend on what the operands do.
        this.nameIndex(signature.parameters.length);
        const index = this.popOne(at);
        this.call(at, `${at.name} $table${second}[${index.text}] `, signature, first, index);
        return;
      }
      case 'global.get':
        this.push(`$global${first}`, [{ ...constant, reads: true, locals: [] }]);
        return;
      case 'global.set': {
        const value = this.popOne(at);
        this.statement(`$global${first} = ${value.text}`, { writes: true }, [value]);
        return;
      }
      default:
        this.plain(at);
    }
  }

  private nameIndex(parameters: number): void {
    const top = this.stack.length - 1;
    const index = this.stack[top];
    if (!index) return;
    const operands = this.stack.slice(Math.max(0, top - parameters), top);
    const step = { reads: index.reads, writes: index.writes, sets: [], control: false };
    if (operands.some((v) => conflicts(v, step))) this.name(top);
  }

  private call(at: Instruction, head: string, signature: Signature | undefined, index: number, ...also: Value[]): void {
    if (!signature) {
      throw new Error(`function ${index} has no known type: print the whole module, or give options.signatureOf`);
    }
    const operands = this.pop(signature.parameters.length, at);
    const text = `${head}(${operands.map((v) => v.text).join(', ')})`;
    const parts = [...operands, ...also];
    const does = { reads: true, writes: true };
    if (at.name.startsWith('return_')) {
      this.statement(text, { ...does, control: true }, parts);
      this.dead();
    } else if (signature.results.length === 0) {
      this.statement(text, does, parts);
    } else if (signature.results.length === 1) {
      this.push(text, [...parts, { ...does, locals: [] }]);
    } else {
      const results = signature.results.map(() => this.temporary());
      this.statement(`${results.map(temporaryText).join(', ')} = ${text}`, does, parts);
      this.pushTemporaries(results);
    }
  }

  private plain(at: Instruction): void {
    const { operands: count, results } = arity(at.name);
    const operands = this.pop(count, at);
    const does = effects(at.name);
    const text = expression(at, operands, this.naming);
    if (results === 0) this.statement(text, does, operands);
    else this.push(text, [...operands, { ...does, locals: [] }]);
  }
}

const constant = { reads: false, writes: false };

function expression({ name, immediates }: Instruction, operands: readonly Value[], naming: Naming): string {
  if (immediates.kind === 'constant') {
    if (name === 'v128.const') return `(${immediates.text})`;
    const named = name === 'i32.const' ? naming.constant(Number(immediates.value)) : undefined;
    return named ?? immediates.text;
  }
  const list = `(${operands.map((v) => v.text).join(', ')})`;
  const text = immediateText(immediates, operands[0]?.text ?? '', naming);
  if (text !== '') return operands.length > 0 ? `${name} ${text} ${list}` : `${name} ${text}`;
  return operands.length > 0 || /\./.test(name) ? `${name}${list}` : name;
}

function immediateText(immediates: Instruction['immediates'], address: string, naming: Naming): string {
  switch (immediates.kind) {
    case 'memory': {
      const place = naming.place(address, immediates.offset) ?? immediates.offset;
      return `${immediates.memory ? `memory=${immediates.memory} ` : ''}offset=${place}`;
    }
    case 'lanes':
      return immediates.lanes.join(' ');
    case 'indices':
      return immediates.indices.join(' ');
    case 'types':
      return immediates.types.join(' ');
    default:
      return '';
  }
}
