/**
 * The executor of a guest: runs it on the core, turn by turn, for a driver that decides what comes between them:
 * `hosted.ts` for a guest that has the thread to itself, `processor.ts` for guests that share it.
 *
 *     a turn: requests of the coordinator → what is due on the clock → a slice of instructions → why it ended
 *
 * A slice lasts a few milliseconds of host time at most, so that requests are honoured quickly, and never goes beyond
 * the next device deadline. When an exit within the slice changes what is due (a timer is programmed, the machine is
 * switched off, the coordinator asks for something), the slice ends there. Under the virtual clock all of this is
 * invisible to the guest: where slices end for the host's sake depends on the host's speed, but what happens between
 * two instructions depends on their count alone.
 *
 * The executor has no state that matters: all of the guest is in its memory at every return of {@link Executor.turn},
 * and another executor may go on there. The same holds while it sleeps: it leaves the guest at rest (`abi/tenure.ts`).
 */
import { Control, exitCounter, powerRequest, requestBit, type ControlPage } from '../abi/control.ts';
import type { FinalState, RegionResult, RunResult } from '../abi/executor.ts';
import { ByteRing } from '../abi/ring.ts';
import { Tenure } from '../abi/tenure.ts';
import type { SignalledPort } from '../base/port.ts';
import { Arena, ArenaHeader } from '../cpu/arena.ts';
import type { TierName } from '../cpu/jit/compiler.ts';
import { Compiler } from '../cpu/jit/compiler.ts';
import { formTable } from '../cpu/jit/form-table.ts';
import { regionsAt } from '../cpu/jit/region-at.ts';
import { RemoteTranslation } from '../cpu/jit/translation-link.ts';
import { Vcpu } from '../cpu/state.ts';
import { exitReason } from '../cpu/status.ts';
import type { Pc } from '../machine/pc.ts';
import { instantiateCore, type Core } from './core.ts';
import { CounterPublisher } from './counters.ts';
import { IdleSleep, type Activity } from './idle.ts';
import type { OutputWatch } from './output-watch.ts';
import { publish, registerDump } from './published.ts';

/** Host time that a slice should take. */
const sliceNs = 3e6;
/** Bounds of a slice in instructions, and what the first one has. */
const minSlice = 10_000;
const maxSlice = 20_000_000;
const firstSlice = 100_000;
/** The real clock's estimate of a deadline is off by more than this many instructions anyway. */
const minRealSlice = 64;
/** Pulses that the machine feels. */
const machinePulses = requestBit.reset | requestBit.powerButton | requestBit.nmi | requestBit.renewIdentity;
/** How often the registers are published while the guest computes, and while it is quiet. */
const publishNs = 20e6;
const quietPublishNs = 250e6;

export interface ExecutorOptions {
  readonly memory: WebAssembly.Memory;
  /** `core.wasm`. */
  readonly module: WebAssembly.Module;
  readonly pc: Pc;
  /** Monotonic host time in nanoseconds. */
  readonly nowNs: () => number;
  /** Loads the boot image anew after the machine was reset. */
  readonly boot: () => void;
  /** Which code runs the guest; `auto` when absent. */
  readonly tier?: TierName | undefined;
  /** Leads to a translation service, for the tier `auto`; absent: code is translated in this thread. */
  readonly translator?: SignalledPort | undefined;
  /** The memory's arena is another executor's, and holds: {@link Executor.takeOver} comes before the first turn. */
  readonly keepArena?: boolean | undefined;
  /** Collects this thread's garbage, where the host has a way to ask for that. */
  readonly collectGarbage?: (() => void) | undefined;
  /** Compiled code checks its invariants at each block (`cpu/jit/invariants.ts`): a violation ends the executor. */
  readonly debugCompiled?: boolean | undefined;
  /** Counts instructions that are not compiled code's own by form (`cpu/jit/form-counts.ts`); slow. */
  readonly countForms?: boolean | undefined;
  /** A line for the developer. */
  readonly log?: (line: string) => void;
}

export interface RunLimits {
  /** Park when exactly this many instructions have retired since power-on. */
  readonly parkAtRetired?: number;
  /** Return right after the exit at which the console's output matches. */
  readonly watch?: OutputWatch | undefined;
  /** A slice ends at the next exit once this word of shared memory is not what it was at the slice's start. */
  readonly interruption?: { readonly words: Int32Array; readonly at: number } | undefined;
}

export type ExecutorResult = RunResult | { readonly kind: 'matched' };

/** The guest has more to do. */
export const goOn = Symbol('goOn');

/** Nothing is to be done until the doorbell differs from `doorbell`, at most for `timeoutMs`. */
export interface Sleep {
  readonly kind: 'sleep';
  readonly while: 'halted' | 'paused' | 'console' | 'disk';
  readonly doorbell: number;
  readonly timeoutMs: number;
  /** It is likely to last: the engine's own tasks should run meanwhile, which collect garbage and give memory back. */
  readonly long: boolean;
}

/** How a turn ended. */
export type Turn = ExecutorResult | Sleep | typeof goOn;

export class Executor {
  readonly #pc: Pc;
  readonly control: ControlPage;
  readonly #tenure: Tenure;
  readonly #core: Core;
  readonly #nowNs: () => number;
  readonly #boot: () => void;
  readonly #tier: TierName;
  readonly #countForms: boolean;
  readonly #compiler: Compiler | undefined;
  readonly #collectGarbage: (() => void) | undefined;
  /** Modules that had been compiled when garbage was last collected. */
  #modulesTidied = 0;
  readonly #output: ByteRing;
  readonly #counters: CounterPublisher;
  /** Words of the control page and of the vCPU that are looked at after every exit. */
  readonly #controlWords: Int32Array;
  readonly #retired: Uint32Array;
  readonly #idleSleep = new IdleSleep();
  #limits: RunLimits = {};
  /** Guest time up to which the slice that runs was planned. */
  #plannedUntilNs = Infinity;
  #requestsSeen = 0;
  #interruptionSeen = 0;
  #matched = false;
  /** Instructions that take about {@link sliceNs}. */
  #sliceLength = firstSlice;
  #publishedAtNs = -Infinity;

  /** Takes over the vCPU that the memory holds. */
  constructor(options: ExecutorOptions) {
    const { pc, memory, module, nowNs, boot } = options;
    this.#pc = pc;
    this.control = pc.control;
    this.#tenure = new Tenure(memory.buffer);
    this.#nowNs = nowNs;
    this.#boot = boot;
    this.#collectGarbage = options.collectGarbage;
    this.#output = new ByteRing(memory.buffer, pc.map.consoleOut);
    this.#counters = new CounterPublisher(memory.buffer, pc.map, pc.control);
    this.#controlWords = new Int32Array(memory.buffer, pc.map.control, Control.size >> 2);
    this.#retired = new Uint32Array(memory.buffer, pc.map.vcpu + Vcpu.offsets.retired, 2);
    this.#core = instantiateCore(memory, module, pc, {
      nowNs,
      afterExit: () => {
        this.#afterExit();
      },
    });
    this.#tier = options.tier ?? 'auto';
    this.#countForms = options.countForms ?? false;
    if (this.#tier !== 'interpreter') {
      const debug = options.debugCompiled ?? false;
      const { vcpu: cpu } = pc.map;
      const service = this.#tier === 'auto' ? options.translator : undefined;
      this.#compiler = new Compiler(
        this.#core,
        cpu,
        () => formTable(module),
        () => nowNs() / 1e6,
        {
          countForms: this.#countForms,
          debug,
          translation: service && new RemoteTranslation(service, cpu, debug),
          onFailure: (error) =>
            options.log?.(`code that the compiler could not compile is interpreted: ${error.message}`),
        },
      );
    }
    if (options.keepArena !== true) this.#attach();
  }

  #attach(): void {
    const { vcpu, arena } = this.#pc.map;
    this.#core.attach(vcpu);
    ArenaHeader.at(this.#core.memory.buffer, arena + Arena.header).countForms = this.#countForms ? 1 : 0;
    this.#compiler?.reset(this.#tier);
    this.#counters.restart();
  }

  /** Instructions retired since power-on. */
  get retired(): number {
    return (this.#retired[0] ?? 0) + (this.#retired[1] ?? 0) * 0x100000000;
  }

  /** The compiled code of an address as text, for the developer. */
  region(address: bigint): RegionResult {
    if (this.#compiler === undefined) {
      return { ok: false, message: 'Nothing is compiled: the guest runs on the interpreter alone.' };
    }
    return regionsAt(this.#compiler, this.#core.memory.buffer, address);
  }

  /** A driver takes the guest on: what holds for the turns that follow. */
  begin(limits: RunLimits): void {
    this.#limits = limits;
    this.#matched = false;
  }

  /** Host time that has passed since the guest last ran is not guest time. */
  resumeClock(): void {
    this.#pc.clock.resume();
  }

  /** Host time less guest time, under the real clock: another executor's clock goes on from there. */
  get clockOffsetNs(): number {
    return this.#pc.clock.hostOffsetNs;
  }

  /** Makes a guest that is at rest this executor's own, for {@link wake}. False: another executor is in its midst. */
  claim(): boolean {
    return this.#tenure.claim();
  }

  /** The guest was left paused, and nothing else is asked for. Reads only what a guest at rest shows to all. */
  lastingPause(): Sleep | undefined {
    const { control } = this;
    const doorbell = control.doorbellValue();
    const paused = control.state === 'paused' && control.load('request') === requestBit.pause;
    if (!paused || control.load('requestSerial') !== control.load('acknowledgeSerial')) return undefined;
    return pauseUntil(doorbell);
  }

  /** Takes up a guest that was left at rest so: see {@link Tenure.enter}. */
  enter(left: number): boolean {
    return this.#tenure.enter(left);
  }

  /** How this executor left the guest at rest, for the next one's {@link enter}. */
  get left(): number {
    return this.#tenure.left;
  }

  /** Leaves the guest at rest between two turns. After one that asks for sleep or ends the run it is already. */
  rest(): void {
    this.#tenure.rest();
  }

  /** Takes the guest up again. False: it was claimed meanwhile, and this executor must not touch it any more. */
  wake(): boolean {
    return this.#tenure.wake();
  }

  /**
   * Another executor has run the guest meanwhile: what this one has derived is stale. `kept`: the arena is one that the
   * guest's executors have in common, as those of a host page do, and goes on where the code that they compile comes here.
   */
  takeOver(kept: boolean): void {
    if (kept && (this.#compiler?.takeOver(this.#tier) ?? true)) this.#counters.takeOver();
    else this.#attach();
  }

  /** Compiled code of other executors that waits in the thread's event loop: so many messages. */
  get backlog(): number {
    return this.#compiler?.backlog ?? 0;
  }

  /** The guest is no longer this thread's. */
  close(): void {
    this.#compiler?.close();
  }

  /** Another executor runs the guest now: gives up what was derived, without touching the guest's memory. */
  abandon(): void {
    this.#compiler?.abandon();
  }

  continueClock(offsetNs: number): void {
    this.#pc.clock.continueAt(offsetNs);
  }

  /** Before another executor may run the guest: what is only known here is published. */
  yieldGuest(): void {
    this.#publish();
  }

  /** Compiled code waits in the thread's event loop: resolves when it is there. */
  delivery(): Promise<void> | undefined {
    return this.#compiler?.delivery();
  }

  /** The driver has slept as a turn had asked for. */
  slept(sleep: Sleep, tookNs: number): void {
    if (sleep.while === 'paused') this.resumeClock();
    else if (sleep.while === 'halted') this.control.fields.idleNs += tookNs;
  }

  /**
   * One round: a few milliseconds of the guest at most, which block the thread.
   * @param untilNs host time at which the slice should end, if it does not before
   */
  turn(untilNs = Infinity): Turn {
    const turn = this.#round(untilNs);
    if (turn !== goOn && turn.kind !== 'sleep') {
      this.#publish();
      this.#tenure.rest();
    }
    return turn;
  }

  #round(untilNs: number): Turn {
    const { clock } = this.#pc;
    const doorbell = this.control.doorbellValue();
    const ordered = this.#serve(doorbell);
    if (ordered !== goOn) return ordered;
    const { parkAtRetired = Infinity } = this.#limits;
    const left = parkAtRetired - this.retired;
    if (left <= 0) return this.#park();
    clock.synchronize();
    this.#pc.poll();
    if (this.#pc.waitsForConsole) return this.#waitForConsole(doorbell);
    this.#runDeadlines();
    if (this.#pc.waitsForDisk) return this.#waitForDisk(doorbell);
    this.control.setState('running');
    const reason = this.#slice(left, untilNs);
    return this.#act(reason, doorbell);
  }

  #runDeadlines(): void {
    const { clock } = this.#pc;
    if (this.#pc.nextDeadlineNs() > clock.nowNs()) return;
    this.control.count(exitCounter.deadline, 0);
    this.#pc.runDeadlines();
  }

  /** One slice; the reason why the core returned. */
  #slice(left: number, untilNs: number): number {
    const { clock, map } = this.#pc;
    const deadline = this.#pc.nextDeadlineNs();
    let length = Math.min(this.#sliceLength, left, this.#lengthUntil(untilNs));
    if (deadline !== Infinity) {
      const until = clock.instructionsUntil(deadline);
      length = Math.min(length, clock.isVirtual ? until : Math.max(until, minRealSlice));
    }
    this.#plannedUntilNs = clock.isVirtual ? deadline : this.#realPlan(deadline);
    this.#requestsSeen = this.control.load('requestSerial');
    this.#interruptionSeen = this.#interruption;
    const before = this.retired;
    const start = this.#nowNs();
    const reason = this.#core.run(map.vcpu, length);
    const end = this.#nowNs();
    clock.endSlice();
    this.#idleSleep.ran(this.retired);
    // What an idle kernel does now and then would be hot in time; it is not worth a compilation.
    if (!this.#idleSleep.quiet) this.#compiler?.serve();
    const { fields } = this.control;
    fields.busyNs += end - start;
    fields.retired = this.retired;
    this.#adapt(this.retired - before, end - start);
    if (end - this.#publishedAtNs > publishNs) this.#publish();
    this.control.count(reason, 0);
    return reason;
  }

  /** Instructions that fit into the time until then, by the pace of the last slices. */
  #lengthUntil(untilNs: number): number {
    if (untilNs === Infinity) return Infinity;
    return Math.max(Math.floor((this.#sliceLength * (untilNs - this.#nowNs())) / sliceNs), minRealSlice);
  }

  get #interruption(): number {
    const { interruption } = this.#limits;
    return interruption?.words[interruption.at] ?? 0;
  }

  /** Guest time before which a timer that is set within the slice ends it, under the real clock. */
  #realPlan(deadline: number): number {
    // The timers of a quiet guest may be late by more than a slice lasts.
    if (this.#idleSleep.quiet) return -Infinity;
    // A slice ends soon enough for what is due later than that.
    return Math.min(deadline, this.#pc.clock.nowNs() + sliceNs);
  }

  /**
   * Learns how many instructions fit into {@link sliceNs}; falls at once, rises slowly. Slices that something outside has
   * ended early say little about long ones.
   */
  #adapt(count: number, ns: number): void {
    if (ns < sliceNs / 8 && count < this.#sliceLength) return;
    const fitting = (count / Math.max(ns, 1)) * sliceNs;
    const next = fitting < this.#sliceLength ? fitting : this.#sliceLength + (fitting - this.#sliceLength) / 4;
    this.#sliceLength = Math.floor(Math.min(Math.max(next, minSlice), maxSlice));
  }

  /** After each exit: ends the slice where the plan no longer holds. */
  #afterExit(): void {
    const power = this.#controlWords[Control.offsets.powerRequest >> 2] !== powerRequest.none;
    const asked = this.#controlWords[Control.offsets.requestSerial >> 2] !== this.#requestsSeen;
    if (this.#limits.watch?.matches() === true) this.#matched = true;
    if (
      power ||
      asked ||
      this.#matched ||
      this.#interruption !== this.#interruptionSeen ||
      this.#pc.waitsForConsole ||
      this.#pc.nextDeadlineNs() < this.#plannedUntilNs
    ) {
      this.#pc.vcpu.exitReason = exitReason.request;
      this.#pc.vcpu.attention = 1;
    }
  }

  #act(reason: number, doorbell: number): Turn {
    if (this.control.fields.powerRequest !== powerRequest.none) return this.#actOnPower();
    if (reason === exitReason.shutdown) return this.#shutdown();
    if (this.#matched) return { kind: 'matched' };
    return reason === exitReason.halt ? this.#idle(doorbell) : goOn;
  }

  // Ends.

  #actOnPower(): Turn {
    const { fields } = this.control;
    const request = fields.powerRequest;
    fields.powerRequest = powerRequest.none;
    switch (request) {
      case powerRequest.powerOff:
        return this.#end('poweredOff', 0);
      case powerRequest.debugExit:
        return this.#end('debugExit', fields.exitCode);
      default:
        if (fields.noReboot !== 0) return this.#end('resetStopped', 0);
        this.#reset();
        return goOn;
    }
  }

  #shutdown(): Turn {
    if (this.control.fields.noReboot !== 0) {
      return this.#end('crashed', 1, `Triple fault.\n${registerDump(this.#pc.vcpu)}`);
    }
    this.#reset();
    return goOn;
  }

  #end(state: FinalState, exitCode: number, message?: string): ExecutorResult {
    this.#publish();
    this.control.fields.exitCode = exitCode;
    this.control.setState(state);
    this.control.acknowledge(0, this.control.load('requestSerial'));
    return { kind: 'ended', state, exitCode, ...(message === undefined ? {} : { message }) };
  }

  #park(): ExecutorResult {
    this.#publish();
    this.control.setState('parked');
    return { kind: 'parked' };
  }

  #reset(): void {
    this.#counters.publish();
    this.control.fields.resets++;
    this.#pc.reset();
    this.#boot();
    this.#attach();
  }

  // Requests of the coordinator.

  /** Acts on what is asked for. */
  #serve(doorbell: number): Turn {
    const serial = this.control.load('requestSerial');
    const request = this.control.load('request');
    if ((request & requestBit.stop) !== 0) return this.#end('stopped', 0);
    this.#servePulses(request);
    if ((request & requestBit.park) !== 0) {
      const result = this.#park();
      this.control.acknowledge(requestBit.park, serial);
      return result;
    }
    if (this.control.take(requestBit.mail) !== 0) {
      this.control.acknowledge(0, serial);
      return { kind: 'mail' };
    }
    if ((request & requestBit.pause) !== 0) {
      this.#publish();
      this.control.setState('paused');
      // Before anybody is told: a guest that is known to be paused survives its executor.
      this.#tenure.rest();
      this.control.acknowledge(requestBit.pause, serial);
      return pauseUntil(doorbell);
    }
    if (serial !== this.control.load('acknowledgeSerial')) this.control.acknowledge(0, serial);
    return goOn;
  }

  #servePulses(request: number): void {
    if ((request & machinePulses) === 0) return;
    const pulses = this.control.take(machinePulses);
    if ((pulses & requestBit.renewIdentity) !== 0) this.#pc.renewIdentity();
    if ((pulses & requestBit.reset) !== 0) this.#reset();
    if ((pulses & requestBit.powerButton) !== 0) this.#pc.pressPowerButton();
    if ((pulses & requestBit.nmi) !== 0) this.#pc.raiseNmi();
  }

  // Waiting.

  /** The vCPU halts: until something is due, or somebody rings. */
  #idle(doorbell: number): Turn {
    const { clock } = this.#pc;
    const deadline = this.#pc.nextDeadlineNs();
    if (clock.isVirtual && deadline !== Infinity) {
      clock.skipTo(deadline);
      return goOn;
    }
    const now = clock.synchronizedNs();
    const timeoutMs = (this.#idleSleep.until(deadline, now, this.#activity(doorbell)) - now) / 1e6;
    if (timeoutMs <= 0) return goOn;
    this.control.setState('halted');
    const { quiet } = this.#idleSleep;
    // A kernel that ticks while it idles need not publish at each tick.
    const interval = quiet ? quietPublishNs : publishNs;
    const start = this.#nowNs();
    if (timeoutMs * 1e6 > interval || start - this.#publishedAtNs > interval) this.#publish();
    if (quiet) this.#tidy();
    this.#tenure.rest();
    return { kind: 'sleep', while: 'halted', doorbell, timeoutMs, long: quiet };
  }

  /** Compiling leaves garbage, which the engine by itself leaves lying for a while. */
  #tidy(): void {
    const modules = this.#compiler?.modules ?? 0;
    if (modules === this.#modulesTidied) return;
    this.#modulesTidied = modules;
    this.#collectGarbage?.();
  }

  #activity(doorbell: number): Activity {
    const { vcpu } = this.#pc;
    const userRan = vcpu.userRan !== 0;
    vcpu.userRan = 0;
    return { userRan, doorbell, retired: this.retired };
  }

  /** Virtual clock: the guest does not run while its console is full, so that it cannot notice. */
  #waitForConsole(doorbell: number): Sleep | typeof goOn {
    this.#output.expectSpace();
    if (this.#output.writable > 0) return goOn;
    this.#tenure.rest();
    return { kind: 'sleep', while: 'console', doorbell, timeoutMs: Infinity, long: false };
  }

  /** Virtual clock: a disk's request takes the time that it takes, however slow the host is. */
  #waitForDisk(doorbell: number): Sleep {
    this.#tenure.rest();
    return { kind: 'sleep', while: 'disk', doorbell, timeoutMs: Infinity, long: false };
  }

  #publish(): void {
    this.#publishedAtNs = this.#nowNs();
    publish(this.control, this.#pc);
    this.#counters.publish();
  }
}

function pauseUntil(doorbell: number): Sleep {
  return { kind: 'sleep', while: 'paused', doorbell, timeoutMs: Infinity, long: true };
}
