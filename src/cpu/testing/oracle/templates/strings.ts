/** String instructions, single and repeated, in both directions. */
import { FLAG, REGION } from '../draft.ts';
import { userPages } from '../assemble.ts';
import { fromBytes, toBytes } from '../random.ts';
import type { Assembly, Template } from '../template.ts';

interface StringForm {
  name: string;
  opcode: number;
  reads: boolean;
  writes: boolean;
  /** REPE/REPNE compare flags; the others know only REP. */
  compares: boolean;
  usesAccumulator: boolean;
}

const FORMS: StringForm[] = [
  { name: 'MOVS', opcode: 0xa4, reads: true, writes: true, compares: false, usesAccumulator: false },
  { name: 'CMPS', opcode: 0xa6, reads: true, writes: true, compares: true, usesAccumulator: false },
  { name: 'STOS', opcode: 0xaa, reads: false, writes: true, compares: false, usesAccumulator: true },
  { name: 'LODS', opcode: 0xac, reads: true, writes: false, compares: false, usesAccumulator: true },
  { name: 'SCAS', opcode: 0xae, reads: false, writes: true, compares: true, usesAccumulator: true },
];

/** Lays both strings out, near each other at times so that they overlap, and points the registers at them. */
function prepare(a: Assembly, form: StringForm, width: number, repeat: number | undefined): void {
  const { draft } = a;
  const { random } = draft;
  const length = width / 8;
  const count = repeat === undefined ? 1 : random.pick([0, 1, 2, 3, 5, 8, 17, random.below(60)]);
  if (repeat !== undefined) a.prefixes.push(repeat);
  const wantsAddress32 = random.chance(0.12);
  const low = wantsAddress32 && draft.bits === 32;
  const backwards = random.chance(0.35);
  if (backwards) draft.flags |= FLAG.DF;
  const span = Math.max(1, count) * length;
  const region = low ? REGION.low.base : REGION.data.base;
  const source = region + 0x400 + random.below(0x400);
  const near = random.chance(0.25);
  const destination = near ? source + random.below(2 * length + 2) - length : region + 0xa00 + random.below(0x600);
  const text = form.compares ? repeatedBytes(a, span) : random.bytes(span);
  const start = (address: number): bigint => BigInt(backwards ? address + span - length : address);
  if (form.reads) draft.window(source, text);
  if (form.writes && !near) {
    const other = form.name === 'CMPS' ? text.slice() : random.bytes(span);
    if (form.name === 'CMPS' && random.chance(0.7)) other[random.below(span)] = random.below(256);
    draft.window(destination, form.name === 'SCAS' ? text : other);
  } else if (form.writes && near) draft.zero.push([source - 64, span + 128]);
  const upper = low ? random.bits(16) << 16n : wantsAddress32 ? random.bits(32) << 32n : 0n;
  if (form.reads) draft.pin(6, upper | start(source));
  if (form.writes) draft.pin(7, upper | start(destination));
  if (repeat !== undefined) draft.pin(1, upper | BigInt(count));
  if (form.usesAccumulator) {
    const value = form.name === 'SCAS' && random.chance(0.6) ? fromBytes(text.subarray(0, length)) : random.bits(width);
    draft.pin(0, ((random.bits(draft.bits) >> BigInt(width)) << BigInt(width)) | value);
  }
  a.addressOverride = wantsAddress32;
}

function repeatedBytes(a: Assembly, span: number): Uint8Array {
  const { random } = a.draft;
  const value = random.below(256);
  return Uint8Array.from({ length: span }, () => (random.chance(0.93) ? value : random.below(256)));
}

const ROWS: Template[] = FORMS.flatMap((form) =>
  [8, 16, 32, 64].flatMap((width) => {
    const suffix = { 8: 'B', 16: 'W', 32: 'D', 64: 'Q' }[width] ?? '';
    const opcode = (form.opcode + (width === 8 ? 0 : 1)).toString(16).toUpperCase();
    const repeats: [string, number | undefined][] = form.compares
      ? [['', undefined], ['REPE-', 0xf3], ['REPNE-', 0xf2]]
      : [['', undefined], ['REP-', 0xf3]]; // prettier-ignore
    return repeats.map(([prefix, repeat]): Template => ({
      group: 'string',
      name: `${prefix}${form.name}${suffix}`,
      encoding: opcode,
      sizes: [width],
      count: repeat === undefined ? 8 : 18,
      prepare: (a) => prepare(a, form, width, repeat),
    }));
  }),
);

/** A repeated instruction that faults in the middle: finished iterations stay, the fault is precise. */
const FAULTING: Template[] = ['MOVS', 'STOS'].flatMap((name, i) =>
  [8, 32].map((width): Template => ({
    group: 'string',
    name: `REP-${name}-fault${width}`,
    encoding: i ? (width === 8 ? 'AA' : 'AB') : width === 8 ? 'A4' : 'A5',
    sizes: [width],
    count: 6,
    prepare(a) {
      const { draft } = a;
      const { random } = draft;
      userPages(draft);
      a.prefixes.push(0xf3);
      const length = width / 8;
      const count = 6 + random.below(10);
      const end = REGION.data.base + REGION.data.size;
      const before = random.below(6 * length);
      const source = REGION.data.base + random.below(0x1000);
      draft.window(source, random.bytes(count * length));
      draft.pin(6, BigInt(source));
      draft.pin(7, BigInt(end - before));
      draft.pin(1, BigInt(count));
      draft.pin(0, draft.random.bits(32));
      draft.window(end - 64, toBytes(random.bits(512), 64));
    },
  })),
);

export const STRINGS: readonly Template[] = [...ROWS, ...FAULTING];
