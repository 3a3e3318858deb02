/**
 * A guest's console as the page sees it: takes bytes from the output ring, keeps the text, hands the bytes to whoever
 * shows them, and feeds the input ring.
 *
 * Back-pressure goes all the way: a listener that has not digested what it was given stops the reading, the ring fills,
 * and the guest's transmitter stays busy. Each round of reading ends in the event loop, so that a guest that prints
 * without end leaves the page responsive.
 */
import type { ControlPage } from '../abi/control.ts';
import { ByteRing } from '../abi/ring.ts';
import type { GuestRings } from '../abi/executor.ts';
import { nextTask } from '../base/next-task.ts';
import { VmmError } from './errors.ts';

/** Shows bytes; may return a promise that resolves when they are digested. */
export type OutputListener = (bytes: Uint8Array) => void | Promise<void>;

export interface WaitForTextOptions {
  /** Default 60 s. */
  readonly timeoutMs?: number;
  /** Position (see `consolePosition`) from which text counts; default 0: everything since power-on. */
  readonly from?: number;
}

export interface TextMatch {
  /** What the pattern matched. */
  readonly text: string;
  readonly groups: readonly (string | undefined)[];
  /** Position after the match: give it as `from` to look for what comes next. */
  readonly position: number;
}

/** What reads a life's rings. */
export interface ConsolePump {
  /** `moving`: the same life goes on in another memory, and is attached again. */
  detach(why?: 'over' | 'moving'): Promise<void>;
}

/** Bytes taken from a ring in one task. */
const chunkBytes = 32 * 1024;
/** Bytes that listeners may still have to digest while more is read. */
const undigestedLimit = 256 * 1024;
/** Characters of text kept: when twice as many are there, the older half goes. */
const keptCharacters = 1 << 20;
/** Characters before new text in which a match may begin. */
const lookBehind = 16 * 1024;

interface Waiter {
  readonly pattern: RegExp;
  from: number;
  readonly resolve: (match: TextMatch) => void;
  readonly reject: (error: VmmError) => void;
}

export class GuestConsole {
  readonly #listeners = new Set<OutputListener>();
  readonly #waiters = new Set<Waiter>();
  #decoder = new TextDecoder();
  #text = '';
  /** Position of the first character of `#text`. */
  #textStart = 0;
  #input: ByteRing | undefined;
  /** The guest is on its way to another memory: what is typed meanwhile waits. */
  #moving: { readonly arrived: Promise<void>; readonly arrive: () => void } | undefined;
  /** Counts lives, so that what was typed in one does not come in the next. */
  #lives = 0;
  #inputTail: Promise<void> = Promise.resolve();
  #undigested = 0;
  #generation = 0;
  #lost: () => number = () => 0;
  #output: ByteRing | undefined;

  /** Reads the rings of a new life of the guest, until the returned function is called; text starts anew. */
  attach(buffer: ArrayBufferLike, rings: GuestRings, control: ControlPage): ConsolePump {
    const generation = ++this.#generation;
    const output = new ByteRing(buffer, rings.consoleOutput, () => control.ring());
    const log = new ByteRing(buffer, rings.log, () => control.ring());
    this.#input = new ByteRing(buffer, rings.consoleInput, () => control.ring());
    if (this.#moving === undefined) this.#inputTail = Promise.resolve();
    this.#arrive();
    this.#lost = () => output.lost;
    this.#output = output;
    output.attachConsumer();
    log.attachConsumer();
    const live = () => this.#generation === generation;
    void this.#pump(output, live, (bytes) => this.#accept(bytes));
    const logDecoder = new TextDecoder();
    void this.#pump(log, live, (bytes) => {
      for (const line of logDecoder.decode(bytes, { stream: true }).split('\n')) if (line !== '') this.onLog(line);
    });
    return {
      detach: async (why = 'over') => {
        if (why === 'over') this.#arrive();
        if (!live()) return;
        if (why === 'over') this.#lives++;
        else this.#leave();
        // Before the memory goes: what the guest said last is what tells why it ended.
        for (let rest = output.read(); rest.length > 0; rest = output.read()) this.#accept(rest);
        this.#generation++;
        this.#input = undefined;
        this.#output = undefined;
        const lost = output.lost;
        this.#lost = () => lost;
        await nextTask();
      },
    };
  }

  #leave(): void {
    let arrive = () => {};
    const arrived = new Promise<void>((resolve) => (arrive = resolve));
    this.#moving = { arrived, arrive };
  }

  #arrive(): void {
    this.#moving?.arrive();
    this.#moving = undefined;
  }

  /** Called with each line that the executor logs about the guest. */
  onLog: (line: string) => void = () => {};

  /** Forgets the text of the former life. */
  clear(): void {
    this.#decoder = new TextDecoder();
    this.#textStart += this.#text.length;
    this.#text = '';
    this.#textStart = 0;
    for (const waiter of this.#waiters) waiter.from = 0;
  }

  /** Everything printed since power-on, as far as it is kept (the last million characters at least). */
  get text(): string {
    return this.#text;
  }

  get position(): number {
    return this.#textStart + this.#text.length;
  }

  /** Bytes that the guest printed while nobody read. */
  get lostBytes(): number {
    return this.#lost();
  }

  /** Bytes that the guest printed, and was given, since power-on, mod 2^32; 0 while it does not run. */
  get traffic(): { readonly out: number; readonly in: number } {
    return { out: this.#output?.written ?? 0, in: this.#input?.written ?? 0 };
  }

  /** Returns a function that ends the listening. */
  listen(listener: OutputListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Sends UTF-8 text or bytes to the guest's serial port; resolves when its ring has taken all. */
  type(what: string | Uint8Array): Promise<void> {
    if (this.#input === undefined && this.#moving === undefined) {
      throw new VmmError('wrongState', 'The guest is not running: nobody reads what you type.');
    }
    const life = this.#lives;
    const bytes = typeof what === 'string' ? new TextEncoder().encode(what) : what.slice();
    const put = async () => {
      for (let rest = bytes; rest.length > 0;) {
        await this.#moving?.arrived;
        const input = this.#input;
        if (input === undefined || this.#lives !== life) return;
        rest = rest.subarray(input.write(rest));
        if (rest.length > 0) await Promise.race([input.waitWritable(), nextTask()]);
      }
    };
    this.#inputTail = this.#inputTail.then(put);
    return this.#inputTail;
  }

  waitForText(pattern: RegExp | string, options: WaitForTextOptions = {}): Promise<TextMatch> {
    const source = typeof pattern === 'string' ? pattern.replace(/[.*+?^${}()|[\]\\]/g, '\\$&') : pattern.source;
    const flags = typeof pattern === 'string' ? '' : pattern.flags.replace(/[gy]/g, '');
    const timeoutMs = options.timeoutMs ?? 60_000;
    return new Promise((resolve, reject) => {
      const waiter: Waiter = { pattern: new RegExp(source, flags), from: options.from ?? 0, resolve, reject };
      if (this.#tryMatch(waiter, waiter.from)) return;
      this.#waiters.add(waiter);
      const timer = setTimeout(() => {
        if (!this.#waiters.delete(waiter)) return;
        const tail = JSON.stringify(this.#text.slice(-300));
        reject(new VmmError('timeout', `${String(pattern)} was not printed within ${timeoutMs} ms. Last: ${tail}`));
      }, timeoutMs);
      const settle = () => clearTimeout(timer);
      const original = { resolve, reject };
      Object.assign(waiter, {
        resolve: (match: TextMatch) => (settle(), original.resolve(match)),
        reject: (error: VmmError) => (settle(), original.reject(error)),
      });
    });
  }

  /** Those who wait for text learn that none will come. */
  rejectWaiters(why: string): void {
    for (const waiter of this.#waiters) waiter.reject(new VmmError('wrongState', why));
    this.#waiters.clear();
  }

  async #pump(ring: ByteRing, live: () => boolean, accept: (bytes: Uint8Array) => void): Promise<void> {
    while (live()) {
      // The time limit lets the pump of a guest that is gone end, though nobody will ever notify it.
      await ring.waitReadable(1000);
      if (!live()) return;
      if (this.#undigested < undigestedLimit) {
        const bytes = ring.read(chunkBytes);
        if (bytes.length > 0) accept(bytes);
      }
      await nextTask();
    }
  }

  #accept(bytes: Uint8Array): void {
    const before = this.position;
    this.#text += this.#decoder.decode(bytes, { stream: true });
    if (this.#text.length > 2 * keptCharacters) {
      this.#textStart += this.#text.length - keptCharacters;
      this.#text = this.#text.slice(-keptCharacters);
    }
    for (const waiter of this.#waiters) {
      if (this.#tryMatch(waiter, before - lookBehind)) this.#waiters.delete(waiter);
    }
    for (const listener of this.#listeners) void this.#deliver(listener, bytes);
  }

  async #deliver(listener: OutputListener, bytes: Uint8Array): Promise<void> {
    this.#undigested += bytes.length;
    try {
      await listener(bytes);
    } finally {
      this.#undigested -= bytes.length;
    }
  }

  #tryMatch(waiter: Waiter, notBefore: number): boolean {
    const start = Math.max(waiter.from, notBefore, this.#textStart);
    const match = waiter.pattern.exec(this.#text.slice(start - this.#textStart));
    if (match === null) return false;
    waiter.resolve({ text: match[0], groups: match.slice(1), position: start + match.index + match[0].length });
    return true;
  }
}
