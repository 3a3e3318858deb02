/**
 * Wrong definitions on purpose: a row whose semantics does one thing differently, to see that the cases notice.
 *
 * The change is made at the first effect that the definition has (of the wanted kind): a written value, a flag, a jump.
 * It works on any builder, so that a mutant can be generated, interpreted and compiled as the real row is.
 */
import type { Builder, Extended, Operand, Semantics, Value } from '../isa/builder.ts';
import type { Row } from '../isa/row.ts';

/** `effect`: the first value that is written, or the first branch. `flags`: the first change of arithmetic flags. */
export type MutationKind = 'effect' | 'flags';

export interface Mutant {
  readonly row: Row;
  /** What is changed, once the definition has run; undefined before, and for a definition without such an effect. */
  change(): string | undefined;
}

/** A value with its lowest bit flipped (of an f80: a high bit of the fraction). */
function flipped(b: Builder, v: Value): Value {
  switch (v.type) {
    case 'bool':
      return b.negate(v);
    case 'v128':
      return b.vector('v128.xor', v, b.vectorConst(1n, 0n));
    case 'f32':
      return b.reinterpret('f32', b.xor(b.reinterpret('i32', v), b.int(4, 1)));
    case 'f64':
      return b.reinterpret('f64', b.xor(b.reinterpret('i64', v), b.int(8, 1)));
    case 'f80':
      return b.f80(b.xor(b.significand(v), b.int(8, 1n << 60n)), b.signExponent(v));
    default: {
      const sizes = { i8: 1, i16: 2, i32: 4, i64: 8 } as const;
      return b.xor(v, b.int(sizes[v.type], 1));
    }
  }
}

/** Rules that differ in flags which programs see; of the others the result is inverted. */
const otherRule = { add: 'sub', sub: 'add', inc: 'add', dec: 'sub', logic: 'logic', zsp: 'zsp' } as const;

/** Effects by kind: what each becomes. `once` says whether this one is to be changed, and notes what it is. */
function effects(b: Builder, kind: MutationKind, once: (what: string) => boolean): Partial<Builder> {
  const flags: Partial<Builder> = {
    setFlags: (rule, x, y, r, carry) =>
      once(`flags by the rule '${rule}'`)
        ? b.setFlags(otherRule[rule], x, y, otherRule[rule] === rule ? b.not(r) : r, carry)
        : b.setFlags(rule, x, y, r, carry),
    setFlagsFrom: (result, carry, overflow, aux) =>
      b.setFlagsFrom(result, once('the carry') ? b.negate(carry) : carry, overflow, aux),
    setFlag: (name, v) => b.setFlag(name, once(`flag ${name}`) ? b.negate(v) : v),
    loadArithmeticFlags: (v) => b.loadArithmeticFlags(once('the loaded flags') ? flipped(b, v) : v),
  };
  if (kind === 'flags') return flags;
  let storesWrongly = false;
  return {
    ...flags,
    write: (o, v) => b.write(o, once(`the written ${o.kind}`) ? flipped(b, v) : v),
    update: (o: Operand, change, then) => {
      const wrong = once(`the updated ${o.kind}`);
      b.update(o, (old) => (wrong ? flipped(b, change(old)) : change(old)), then);
    },
    // All of them, because the first may only probe.
    store: (segment, offset, v) => {
      storesWrongly ||= once('the stored value');
      b.store(segment, offset, storesWrongly ? flipped(b, v) : v);
    },
    push: (v) => b.push(once('the pushed value') ? flipped(b, v) : v),
    pop: (size, then, extra) => {
      const wrong = once('the popped value');
      b.pop(size, (v) => then(wrong ? flipped(b, v) : v), extra);
    },
    setStackPointer: (v) => b.setStackPointer(once('the stack pointer') ? flipped(b, v) : v),
    jump: (target) => b.jump(once('the target') ? flipped(b, target) : target),
    branch: (c) => b.branch(once('the branch') ? (c ? b.negate(c) : b.bool(false)) : c),
    setSystem: (name, v) => b.setSystem(name, once(name) ? flipped(b, v) : v),
    setSystemFlag: (bit, v) => b.setSystemFlag(bit, once(`bit ${bit} of the flags`) ? b.negate(v) : v),
    setSt: (n, v) => b.setSt(n, once(`ST(${n})`) ? flipped(b, v) : v),
    get registerStack() {
      const stack = b.registerStack;
      const wrong = (what: string, v: Extended): Extended =>
        once(what) ? { ...v, significand: b.xor(v.significand, b.int(8, 1n << 60n)) } : v;
      return overridden(stack, {
        set: (n, v) => stack.set(n, wrong('an x87 register', v)),
        push: (v) => stack.push(wrong('the loaded value', v)),
        setCodes: (codes) =>
          stack.setCodes(codes && once('the condition codes') ? b.xor(codes, b.int(4, 0x100)) : codes),
      });
    },
  };
}

/** An object that does everything as `b` does, but for the methods given. */
function overridden<T extends object>(b: T, methods: Partial<T>): T {
  return new Proxy(b, {
    get(target, name) {
      const method: unknown = Reflect.get(name in methods ? methods : target, name);
      return typeof method === 'function' && !(name in methods) ? (method.bind(target) as unknown) : method;
    },
  });
}

/** The row with a wrong definition. */
export function mutate(row: Row, kind: MutationKind): Mutant {
  let changed: string | undefined;
  const semantics: Semantics = (b, i) => {
    let done = false;
    const once = (what: string): boolean => {
      if (done) return false;
      done = true;
      changed = what;
      return true;
    };
    row.semantics(overridden(b, effects(b, kind, once)), i);
  };
  return { row: { ...row, semantics }, change: () => changed };
}
