/**
 * Which published cases a processor later than the recorded one can't pass, as data. A rule either leaves a case out or
 * takes a few bits out of its comparison; each has its reason, and its cases are counted and shown at each run.
 *
 * A suite that is run whole must use every rule (one that matches nothing is an error), and may leave out only a stated
 * share of its cases. Rules match by the case's name and first instruction, so a part of a suite under another file name
 * is treated the same.
 */
import type { CpuCase } from './cases.ts';
import { byteAt, extensionOf, isRegisterForm, lockAllowed, realInstruction } from './real-instruction.ts';
import { usesStack, usesStackSegment } from './real-instruction.ts';
import type { RealInstruction } from './real-instruction.ts';

/** A published set of cases. */
export interface Suite {
  readonly id: string;
  /** All its cases' names start so. */
  readonly namePrefix: string;
  readonly caseCount: number;
  /** Share of the cases that may be excluded. */
  readonly excludedAtMost: number;
}

export const SUITES: readonly Suite[] = [
  { id: '80286', namePrefix: '80286/', caseCount: 19_500, excludedAtMost: 0.06 },
  { id: '8086', namePrefix: '8086/', caseCount: 9_660, excludedAtMost: 0.14 },
];

/** What a rule looks at; everything that is given must hold. */
export interface When {
  /** Opcodes in hex, `8E/4` with ModRM extension, `60-6F` a range. */
  readonly opcodes?: string;
  readonly form?: 'register' | 'memory';
  /** ModRM r/m field. */
  readonly rm?: number;
  /** One of these prefixes is there. */
  readonly prefix?: readonly number[];
  /** At least so many prefixes, repeated ones counted. */
  readonly prefixesAtLeast?: number;
  /** Bytes of displacement. */
  readonly displacement?: number;
  /** LOCK is there, and a 386 doesn't accept it. */
  readonly lockIllegal?: true;
  /** The case takes one of these exceptions through the vector table (as the file says). */
  readonly takes?: readonly number[];
  /** It ends at the handler of this vector, whether the file says so or not. */
  readonly endsAtVector?: number;
  /** The exception comes from the stack segment, which is #SS on a 386 and 13 on the 80286. */
  readonly stackFault?: true;
  /** The low byte of this register lies in the range, inclusive. */
  readonly lowByte?: { readonly register: string; readonly from: number; readonly to: number };
  readonly flags?: { readonly set?: number; readonly clear?: number };
  /** An access or the instruction goes on from offset FFFF at offset 0 of the same segment. */
  readonly wrapsAtFFFF?: true;
}

export type RuleAction =
  | { readonly kind: 'exclude' }
  /** These bits of the flags register aren't compared. */
  | { readonly kind: 'ignoreFlags'; readonly bits: number }
  /** The same for the flags word that lies this many bytes above the final stack pointer. */
  | { readonly kind: 'ignorePushedFlags'; readonly bits: number; readonly offset: number }
  /** The recorded machine had 20 address lines: memory from 0 on is also found from 1 MiB on. */
  | { readonly kind: 'wrapAtMegabyte' };

export interface Rule {
  readonly id: string;
  readonly suite: string;
  readonly action: RuleAction;
  /** Alternatives; without any, the rule is for every case of the suite. */
  readonly when?: readonly When[];
  readonly reason: string;
}

const RESERVED_FLAGS = 0xf000;
const CARRY = 1;
const AUXILIARY_CARRY = 0x10;
const exclude: RuleAction = { kind: 'exclude' };
/** Everything that pushes flags at the top of three words: INT, INT3, INTO. */
const INTERRUPTS = 'CC CD CE';

export const RULES: readonly Rule[] = [
  {
    id: '80286-lock',
    suite: '80286',
    action: exclude,
    when: [{ lockIllegal: true }],
    reason:
      'The 80286 accepts LOCK everywhere; from the 386 on it is #UD but for a few instructions that write memory.',
  },
  {
    id: '80286-flags-12-15',
    suite: '80286',
    action: { kind: 'ignoreFlags', bits: RESERVED_FLAGS },
    reason: 'In real mode the 80286 keeps flags bits 12–15 clear; from the 386 on IOPL and NT can be set.',
  },
  {
    id: '80286-pushf-12-15',
    suite: '80286',
    action: { kind: 'ignorePushedFlags', bits: RESERVED_FLAGS, offset: 0 },
    when: [{ opcodes: '9C' }],
    reason: 'PUSHF writes flags bits 12–15.',
  },
  {
    id: '80286-interrupt-12-15',
    suite: '80286',
    action: { kind: 'ignorePushedFlags', bits: RESERVED_FLAGS, offset: 4 },
    when: [{ opcodes: INTERRUPTS }, { takes: [0, 4, 5, 6, 13] }],
    reason: 'Interrupts and exceptions push flags bits 12–15.',
  },
  {
    id: '80286-segment-registers',
    suite: '80286',
    action: exclude,
    when: [{ opcodes: '8C/4 8C/5 8E/4 8E/5' }],
    reason: 'FS and GS came with the 386; on the 80286 their numbers are #UD.',
  },
  {
    id: '80286-stack-fault',
    suite: '80286',
    action: exclude,
    when: [{ takes: [13], stackFault: true }],
    reason: 'A word at offset FFFF of the stack segment is exception 13 on the 80286 and #SS (12) from the 386 on.',
  },
  {
    id: '80286-length',
    suite: '80286',
    action: exclude,
    when: [{ takes: [13], opcodes: '81', prefixesAtLeast: 5, displacement: 2 }],
    reason: 'An instruction of more than 10 bytes is exception 13 on the 80286; from the 386 on 15 bytes are allowed.',
  },
  {
    id: '80286-string-fault',
    suite: '80286',
    action: exclude,
    when: [{ takes: [13], opcodes: '6C-6F A4-A7 AA-AF' }],
    reason: 'The 80286 has already advanced SI, DI and CX when a string instruction faults; from the 386 on they stay.',
  },
  {
    id: '8086-flags-12-15',
    suite: '8086',
    action: { kind: 'ignoreFlags', bits: RESERVED_FLAGS },
    reason: 'Flags bits 12–15 are always set on the 8086.',
  },
  {
    id: '8086-pushf-12-15',
    suite: '8086',
    action: { kind: 'ignorePushedFlags', bits: RESERVED_FLAGS, offset: 0 },
    when: [{ opcodes: '9C' }],
    reason: 'PUSHF writes flags bits 12–15.',
  },
  {
    id: '8086-interrupt-12-15',
    suite: '8086',
    action: { kind: 'ignorePushedFlags', bits: RESERVED_FLAGS, offset: 4 },
    when: [{ opcodes: INTERRUPTS }],
    reason: 'Interrupts push flags bits 12–15.',
  },
  {
    id: '8086-megabyte',
    suite: '8086',
    action: { kind: 'wrapAtMegabyte' },
    reason: 'The 8086 has 20 address lines, as a PC with its A20 gate closed.',
  },
  {
    id: '8086-push-sp',
    suite: '8086',
    action: exclude,
    when: [{ opcodes: '54' }, { opcodes: 'FF/6', form: 'register', rm: 4 }],
    reason: 'The 8086 pushes SP as it is after the push, later processors as it was before.',
  },
  {
    id: '8086-aliases',
    suite: '8086',
    action: exclude,
    when: [{ opcodes: '60-6F C0 C1 C8 C9' }],
    reason: 'On the 8086 these repeat 70–7F, C2, C3, CA, CB; the 80186 made new instructions of them.',
  },
  {
    id: '8086-setmo',
    suite: '8086',
    action: exclude,
    when: [{ opcodes: 'D0/6 D1/6 D2/6 D3/6' }],
    reason: 'Undocumented: sets all bits on the 8086, is SHL later.',
  },
  {
    id: '8086-shift-count',
    suite: '8086',
    action: exclude,
    when: [{ opcodes: 'D2 D3', lowByte: { register: 'cx', from: 32, to: 255 } }],
    reason: 'The 8086 shifts by all of CL; later processors use its low five bits.',
  },
  {
    id: '8086-ignored-modrm',
    suite: '8086',
    action: exclude,
    when: [
      { opcodes: '8F/1 8F/2 8F/3 8F/4 8F/5 8F/6 8F/7' },
      { opcodes: 'C6/1 C6/2 C6/3 C6/4 C6/5 C6/6 C6/7 C7/1 C7/2 C7/3 C7/4 C7/5 C7/6 C7/7 FF/7' },
      { opcodes: '8C/4 8C/5 8C/6 8C/7 8E/1 8E/4 8E/5 8E/6 8E/7' },
    ],
    reason: 'The 8086 ignores bits of ModRM in these; later they are other registers, or undefined opcodes (#UD).',
  },
  {
    id: '8086-coprocessor',
    suite: '8086',
    action: exclude,
    when: [
      { opcodes: 'D9/1 D9/2 D9/3 D9/6 D9/7 DB/1 DB/2 DB/3 DB/4 DB/6 DB/7', form: 'memory' },
      { opcodes: 'DD/1 DD/2 DD/3 DD/5 DD/6 DD/7 DF/1 DF/2 DF/3 DF/6 DF/7', form: 'memory' },
      { opcodes: 'DA/4 DA/6 DA/7 DB/4 DB/7 DD/6 DD/7 DE/3 DF/4 DF/7', form: 'register' },
      { opcodes: 'DA/5 D9/2 D9/4 D9/5', form: 'register' },
    ],
    reason: 'The recorded machine had no coprocessor: stores wrote nothing, undefined x87 opcodes did nothing.',
  },
  {
    id: '8086-divide-error',
    suite: '8086',
    action: exclude,
    when: [{ opcodes: 'F6/6 F6/7 F7/6 F7/7 D4', endsAtVector: 0 }],
    reason: 'The 8086 pushes the address behind the dividing instruction; later processors that of the instruction.',
  },
  {
    id: '8086-repeated-divide',
    suite: '8086',
    action: exclude,
    when: [{ opcodes: 'F6/4 F6/5 F6/7 F7/4 F7/5 F7/7', prefix: [0xf2, 0xf3] }],
    reason: 'A repeat prefix in front of IMUL or IDIV negates the result on the 8086: an accident of its microcode.',
  },
  {
    id: '8086-decimal-adjust',
    suite: '8086',
    action: exclude,
    when: [
      { opcodes: '37', lowByte: { register: 'ax', from: 0xfa, to: 0xff } },
      { opcodes: '3F', lowByte: { register: 'ax', from: 0, to: 5 }, flags: { set: AUXILIARY_CARRY } },
      {
        opcodes: '27 2F',
        lowByte: { register: 'ax', from: 0x9a, to: 0x9f },
        flags: { set: AUXILIARY_CARRY, clear: CARRY },
      },
    ],
    reason: 'AAA and AAS carry from AL into AH only on later processors; DAA and DAS compare with 9F after a carry.',
  },
  {
    id: '8086-wrap-at-ffff',
    suite: '8086',
    action: exclude,
    when: [{ wrapsAtFFFF: true }],
    reason: 'On the 8086 a word at offset FFFF ends at offset 0; from the 80286 on it is an exception.',
  },
];

/** What the rules do to one case. */
export interface RuleEffects {
  excludedBy: Rule | undefined;
  /** All rules that apply; for an excluded case only the one that excludes it. */
  readonly applied: Rule[];
}

/** Matches rules to cases, and counts. */
export class Exclusions {
  private readonly rules: readonly Rule[];
  private readonly matched = new Map<string, number>();
  private readonly seen = new Map<string, number>();
  private readonly excluded = new Map<string, number>();

  constructor(rules: readonly Rule[] = RULES) {
    this.rules = rules.map((rule) => {
      if (!SUITES.some((suite) => suite.id === rule.suite))
        throw new Error(`rule ${rule.id}: no suite '${rule.suite}'`);
      return rule;
    });
  }

  /** The rules for a case; counts it. Call once a case, whatever the number of tiers. */
  apply(c: CpuCase): RuleEffects {
    const suite = SUITES.find((s) => c.name.startsWith(s.namePrefix));
    if (!suite) return { excludedBy: undefined, applied: [] };
    this.count(this.seen, suite.id);
    const instruction = realInstruction(c);
    const hits = this.rules.filter((rule) => rule.suite === suite.id && matches(rule, c, instruction));
    for (const rule of hits) this.count(this.matched, rule.id);
    const excludedBy = hits.find((rule) => rule.action.kind === 'exclude');
    if (excludedBy) this.count(this.excluded, suite.id);
    return { excludedBy, applied: excludedBy ? [excludedBy] : hits };
  }

  private count(map: Map<string, number>, key: string): void {
    map.set(key, (map.get(key) ?? 0) + 1);
  }

  /** A line for each rule of the suites that were run: what it does, to how many cases, and why. */
  lines(): string[] {
    return this.rules
      .filter((rule) => this.seen.has(rule.suite))
      .map((rule) => {
        const what = rule.action.kind === 'exclude' ? 'excluded' : 'adapted';
        return `rule ${rule.id}: ${this.matched.get(rule.id) ?? 0} cases ${what}: ${rule.reason}`;
      });
  }

  /** What is wrong with the rules, for suites that were run whole: unused rules, too many excluded cases. */
  problems(): string[] {
    return SUITES.filter((suite) => this.seen.get(suite.id) === suite.caseCount).flatMap((suite) => {
      const unused = this.rules.filter((rule) => rule.suite === suite.id && !this.matched.has(rule.id));
      const excluded = this.excluded.get(suite.id) ?? 0;
      const limit = Math.floor(suite.caseCount * suite.excludedAtMost);
      const tooMany =
        excluded > limit ? [`suite ${suite.id}: ${excluded} cases are excluded, and at most ${limit} may be`] : [];
      return [...unused.map((rule) => `rule ${rule.id} matches no case: remove it`), ...tooMany];
    });
  }
}

function matches(rule: Rule, c: CpuCase, instruction: RealInstruction | undefined): boolean {
  return rule.when === undefined || rule.when.some((when) => holds(when, c, instruction));
}

function holds(when: When, c: CpuCase, instruction: RealInstruction | undefined): boolean {
  if (!instruction) return false;
  if (when.opcodes !== undefined && !opcodeMatches(when.opcodes, instruction)) return false;
  if (when.form !== undefined && isRegisterForm(instruction) !== (when.form === 'register')) return false;
  if (when.rm !== undefined && ((instruction.modrm ?? 0) & 7) !== when.rm) return false;
  if (when.prefix && !when.prefix.some((p) => instruction.prefixes.includes(p))) return false;
  if (instruction.prefixes.length < (when.prefixesAtLeast ?? 0)) return false;
  if (when.displacement !== undefined && instruction.displacement !== when.displacement) return false;
  if (when.lockIllegal && (!instruction.prefixes.includes(0xf0) || lockAllowed(instruction))) return false;
  if (when.takes && (c.takesException === undefined || !when.takes.includes(c.takesException))) return false;
  if (when.endsAtVector !== undefined && !endsAtVector(c, when.endsAtVector)) return false;
  if (when.stackFault && !usesStack(instruction) && !usesStackSegment(instruction)) return false;
  if (when.lowByte) {
    const value = Number((c.regs[when.lowByte.register] ?? 0n) & 0xffn);
    if (value < when.lowByte.from || value > when.lowByte.to) return false;
  }
  if (when.flags) {
    const flags = Number(c.regs.flags ?? 0n);
    if ((flags & (when.flags.set ?? 0)) !== (when.flags.set ?? 0) || (flags & (when.flags.clear ?? 0)) !== 0)
      return false;
  }
  return !when.wrapsAtFFFF || wrapsAtFFFF(c);
}

function opcodeMatches(opcodes: string, instruction: RealInstruction): boolean {
  return opcodes.split(' ').some((text) => {
    const [opcode = '', extension] = text.split('/');
    if (extension !== undefined && Number(extension) !== extensionOf(instruction)) return false;
    const [first = '', last = first] = opcode.split('-');
    return instruction.opcode >= parseInt(first, 16) && instruction.opcode <= parseInt(last, 16);
  });
}

/** Whether CS:IP at the end is what the vector table has for the vector. */
function endsAtVector(c: CpuCase, vector: number): boolean {
  const word = (address: number): number | undefined => {
    const [low, high] = [byteAt(c.mem, address), byteAt(c.mem, address + 1)];
    return low === undefined || high === undefined ? undefined : low | (high << 8);
  };
  const [ip, cs] = [word(4 * vector), word(4 * vector + 2)];
  return ip !== undefined && BigInt(ip) === c.expect.regs.ip && BigInt(cs ?? -1) === c.expect.regs.cs;
}

/** The recording names each byte that the processor touched: look for both sides of a segment's end. */
function wrapsAtFFFF(c: CpuCase): boolean {
  const segments = ['cs', 'ds', 'es', 'ss'].flatMap((name) => [c.regs[name], c.expect.regs[name]]);
  const named = (address: number): boolean =>
    byteAt(c.mem, address) !== undefined || byteAt(c.expect.mem, address) !== undefined;
  return segments.some((segment) => {
    if (segment === undefined) return false;
    const base = Number(segment) * 16;
    return named((base + 0xffff) & 0xf_ffff) && named(base & 0xf_ffff);
  });
}
