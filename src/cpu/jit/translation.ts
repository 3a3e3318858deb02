/**
 * What the compiler orders of a translator, and what it gets: plain data, as the two may be in different threads. The
 * guest runs on meanwhile, so that an answer is about code that was there when it was ordered; {@link recordSum} says
 * whether it is there still.
 */
import { Record, accessNotes, recordFlags } from '../record.ts';
import type { OffsetSet } from './offset-set.ts';
import type { CodeLocation, Granules } from './region.ts';

/** Code that is worth compiling: the instruction at a host address, and what hangs together with it. */
export interface CodeRequest {
  readonly host: number;
  readonly modeKey: number;
  /** Its decoded record. */
  readonly record: number;
  /** RIP of the page's first byte, where it ran. */
  readonly ripBase: bigint;
  /** It is to be an entry, wherever control comes from. */
  readonly again: boolean;
  /** Offsets in the page that are to be entries besides. */
  readonly entries: readonly number[];
}

export interface TranslationOrder {
  readonly requests: readonly CodeRequest[];
  /** Records from this address on may be half written. */
  readonly recordsEnd: number;
  /** Most instructions of a region. */
  readonly instructions: number;
  /** Of the arena: with another one, all that was decoded before is gone. */
  readonly epoch: number;
}

/** A function of a module, not yet known to the core. */
export interface TranslatedRegion {
  /** Its export. */
  readonly name: string;
  /** Host address of the frame. */
  readonly page: number;
  readonly modeKey: number;
  readonly ripBase: bigint;
  readonly offsets: OffsetSet;
  /** Instructions. */
  readonly count: number;
  /** What of its page, and of other frames, it is made from. */
  readonly granules: Granules;
  readonly foreign: ReadonlyMap<number, Granules>;
  /** Functions that were copied for the calls with these records. */
  readonly inlined: ReadonlyMap<number, CodeLocation>;
  /** Offsets that computed jumps choose among, and are entered at by that. */
  readonly chosen: readonly number[];
  readonly entries: readonly TranslatedEntry[];
  /** The records that it is made from, and their {@link recordSum}. */
  readonly records: Uint32Array<ArrayBuffer>;
  readonly sum: number;
}

export interface TranslatedEntry {
  readonly offset: number;
  /** The decoded instruction there. */
  readonly record: number;
  /** What the function is called with. */
  readonly label: number;
  /** It is entered only as computed jumps lead to it. */
  readonly chosenOnly: boolean;
}

export interface TranslatedModule {
  /** Rises with each module that a translator makes, from 1. */
  readonly serial: number;
  readonly module: WebAssembly.Module;
  readonly bytes: number;
  readonly regions: readonly TranslatedRegion[];
}

/** Code that could not be compiled: a defect, but not for the guest, whose code is interpreted. */
export interface TranslationFailure {
  readonly error: Error;
  readonly records: Uint32Array<ArrayBuffer>;
}

export interface Translation {
  /** The executor that gets it has ordered it; otherwise another one of the same guest has. */
  readonly own: boolean;
  readonly epoch: number;
  readonly modules: readonly TranslatedModule[];
  readonly failures: readonly TranslationFailure[];
  /** Records where nothing can be compiled. */
  readonly declined: readonly number[];
  readonly microseconds: number;
}

/** Regions of a module that have numbers. */
const numberedRegions = 1024;

/** A number for a region of a module; never 0. */
export function codeNumber({ serial }: TranslatedModule, region: number): number {
  if (region >= numberedRegions) throw new RangeError(`a module of ${region + 1} regions`);
  return serial * numberedRegions + region;
}

export function moduleOf(code: number): { readonly serial: number; readonly region: number } {
  return { serial: Math.floor(code / numberedRegions), region: code % numberedRegions };
}

const { offsets } = Record;
const byteOf = (value: number, offset: number): number => value << (8 * (offset & 3));
const changing =
  byteOf(recordFlags.declined | recordFlags.entered, offsets.flags) | byteOf(~accessNotes.scale & 0xff, offsets.scale);
/** Words of a record that stay as they are while it stands for its instruction, and their bits. */
const lasting = Array.from({ length: Record.size >> 2 }, (_, word) => word)
  .filter((word) => word !== offsets.link >> 2)
  .map((word) => ({ word, bits: word === offsets.flags >> 2 ? ~changing : ~0 }));

/** A number that differs, almost certainly, when any of the records has come to stand for something else. */
export function recordSum(words: Int32Array, records: Uint32Array): number {
  let sum = records.length;
  for (const record of records) {
    for (const { word, bits } of lasting)
      sum = Math.imul(sum ^ ((words[(record >>> 2) + word] ?? 0) & bits), 0x9e3779b1);
    sum ^= sum >>> 15;
  }
  return sum >>> 0;
}
