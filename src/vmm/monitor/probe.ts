/**
 * Reads what one life of a guest has counted from the guest's memory, and turns it into a row of figures. It makes no
 * objects: it is called for each guest each second.
 */
import type { ControlPage } from '../../abi/control.ts';
import { guestCounter } from '../../abi/statistics.ts';
import { countFrames, type FrameCounts } from '../../base/frame-entry.ts';
import { exitReasons, guestColumns, type GuestColumn } from './figures.ts';

const pageBytes = 4096;
const noFrames: FrameCounts = { resident: 0, ballooned: 0, reported: 0 };

/** What the guest's memory does not tell. */
export interface ProbeSurroundings {
  readonly ramBytes: number;
  /** Bytes through the console since power-on, mod 2^32. */
  readonly consoleOut: number;
  readonly consoleIn: number;
  /** Seconds ready but waiting; undefined in hosted mode. */
  readonly stealSeconds: number | undefined;
}

/** Places in {@link Probe}'s counts; the exits follow. */
const count = { retired: 0, busyNs: 1, interpreted: 2, compiled: 3, tlbMisses: 4, out: 5, in: 6, steal: 7, exits: 8 };

const place = new Map<GuestColumn, number>(guestColumns.map((column, n) => [column, n]));
const at = (column: GuestColumn): number => place.get(column) ?? 0;
const to = {
  time: at('time'),
  cpu: at('cpu'),
  steal: at('steal'),
  instructions: at('instructions'),
  interpreted: at('interpreted'),
  compiled: at('compiled'),
  exits: at('exits'),
  tlbMisses: at('tlbMisses'),
  reserved: at('reserved'),
  resident: at('resident'),
  ballooned: at('ballooned'),
  reportedFree: at('reportedFree'),
  consoleOut: at('consoleOut'),
  consoleIn: at('consoleIn'),
  firstExit: at(`exit.${exitReasons[0] ?? 'budget'}`),
};

export class Probe {
  readonly control: ControlPage;
  #before = new Float64Array(count.exits + exitReasons.length);
  #now = new Float64Array(count.exits + exitReasons.length);
  #beforeMs = NaN;
  #frames = noFrames;
  #framesAt = NaN;

  constructor(control: ControlPage) {
    this.control = control;
  }

  /** Pages that the balloon has, and shall have. */
  get balloonPages(): number {
    return this.#frames.ballooned;
  }

  get balloonTargetPages(): number {
    return this.control.fields.balloonTargetPages;
  }

  /**
   * Fills a row with the figures since the last call; rates are 0 at the first one.
   * @param row in the order of {@link guestColumns}
   * @param nowMs monotonic
   */
  read(row: Float64Array, nowMs: number, timeSeconds: number, around: ProbeSurroundings): void {
    [this.#before, this.#now] = [this.#now, this.#before];
    this.#count(around);
    const seconds = (nowMs - this.#beforeMs) / 1000;
    this.#beforeMs = nowMs;
    row.fill(0);
    row[to.time] = timeSeconds;
    this.#memory(row, around.ramBytes);
    if (seconds > 0) this.#rates(row, seconds);
  }

  #count({ consoleOut, consoleIn, stealSeconds }: ProbeSurroundings): void {
    const now = this.#now;
    const { fields } = this.control;
    const { counters, exitCounts } = fields;
    now[count.retired] = fields.retired;
    now[count.busyNs] = fields.busyNs;
    now[count.interpreted] = counters[guestCounter.interpreted] ?? 0;
    now[count.compiled] = counters[guestCounter.compiled] ?? 0;
    now[count.tlbMisses] = counters[guestCounter.tlbMisses] ?? 0;
    now[count.out] = consoleOut;
    now[count.in] = consoleIn;
    now[count.steal] = stealSeconds ?? 0;
    for (let n = 0; n < exitReasons.length; n++) now[count.exits + n] = exitCounts[n] ?? 0;
  }

  /** A guest that has not run since has touched no page: its frame table is not looked through again. */
  #memory(row: Float64Array, ramBytes: number): void {
    const retired = this.#now[count.retired] ?? 0;
    if (retired !== this.#framesAt) this.#frames = countFrames(this.control.frameTable);
    this.#framesAt = retired;
    row[to.reserved] = ramBytes;
    row[to.resident] = this.#frames.resident * pageBytes;
    row[to.ballooned] = this.#frames.ballooned * pageBytes;
    row[to.reportedFree] = this.#frames.reported * pageBytes;
  }

  #rates(row: Float64Array, seconds: number): void {
    row[to.cpu] = Math.min(100, this.#rate(count.busyNs, seconds) / 1e7);
    row[to.steal] = Math.min(100, this.#rate(count.steal, seconds) * 100);
    row[to.instructions] = this.#rate(count.retired, seconds) / 1e6;
    row[to.interpreted] = this.#rate(count.interpreted, seconds) / 1e6;
    row[to.compiled] = this.#rate(count.compiled, seconds) / 1e6;
    row[to.tlbMisses] = this.#rate(count.tlbMisses, seconds);
    row[to.consoleOut] = this.#bytes(count.out) / seconds;
    row[to.consoleIn] = this.#bytes(count.in) / seconds;
    let exits = 0;
    for (let n = 0; n < exitReasons.length; n++) {
      const rate = this.#rate(count.exits + n, seconds);
      row[to.firstExit + n] = rate;
      exits += rate;
    }
    row[to.exits] = exits;
  }

  /** A second. A count that went back began anew (steal time does with a switch of the mode). */
  #rate(which: number, seconds: number): number {
    return Math.max(0, (this.#now[which] ?? 0) - (this.#before[which] ?? 0)) / seconds;
  }

  /** Counts of rings wrap at 2^32. */
  #bytes(which: number): number {
    return ((this.#now[which] ?? 0) - (this.#before[which] ?? 0)) >>> 0;
  }
}
