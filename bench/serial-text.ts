/**
 * What a machine under test printed, with the host time at which each part of it came. Waiting is always for text,
 * never for a time.
 *
 * @example
 * const { match, atMs } = await text.next(/^BENCH .*$/m, 60_000);   // consumes the text up to the match's end
 */

/** Text that was waited for. */
export interface Arrival {
  readonly match: RegExpExecArray;
  /** Host time (`performance.now()`) at which the last character of the match came. */
  readonly atMs: number;
}

/** How much of the text an error message shows. */
const tailLength = 400;

export class SerialText {
  readonly #decoder = new TextDecoder();
  /** Text that nobody has consumed yet. */
  #text = '';
  /** Ends of the pieces in `#text`, in order, with the time at which each came. */
  #pieces: { end: number; atMs: number }[] = [];
  #failure: Error | undefined;
  #tail = '';
  #waiter: { check: () => boolean; fail: (error: Error) => void } | undefined;

  feed(bytes: Uint8Array, atMs = performance.now()): void {
    // Carriage returns would keep `.` and `$` from meeting the line's end.
    const text = this.#decoder.decode(bytes, { stream: true }).replaceAll('\r', '');
    this.#text += text;
    this.#tail = (this.#tail + text).slice(-tailLength);
    this.#pieces.push({ end: this.#text.length, atMs });
    if (this.#waiter?.check() === true) this.#waiter = undefined;
  }

  /** The machine is gone: whoever waits, now or later, learns why. */
  fail(error: Error): void {
    this.#failure ??= error;
    this.#waiter?.fail(error);
    this.#waiter = undefined;
  }

  /** Resolves with the first match in the text that is not consumed yet. One caller at a time. */
  next(pattern: RegExp, timeoutMs: number): Promise<Arrival> {
    if (this.#waiter !== undefined) throw new Error('somebody waits for this text already');
    return new Promise((resolve, reject) => {
      const found = this.#take(pattern);
      if (found !== undefined) return resolve(found);
      if (this.#failure !== undefined) return reject(this.#describe(this.#failure));
      const timer = setTimeout(() => {
        this.#waiter = undefined;
        reject(this.#describe(new Error(`no ${pattern} within ${timeoutMs / 1000} s`)));
      }, timeoutMs);
      this.#waiter = {
        check: () => {
          const arrival = this.#take(pattern);
          if (arrival === undefined) return false;
          clearTimeout(timer);
          resolve(arrival);
          return true;
        },
        fail: (error) => {
          clearTimeout(timer);
          reject(this.#describe(error));
        },
      };
      return undefined;
    });
  }

  #take(pattern: RegExp): Arrival | undefined {
    const match = pattern.exec(this.#text);
    if (match === null) return undefined;
    const end = match.index + match[0].length;
    const piece = this.#pieces.find((one) => one.end >= end);
    this.#text = this.#text.slice(end);
    this.#pieces = this.#pieces.filter((one) => one.end > end).map((one) => ({ end: one.end - end, atMs: one.atMs }));
    return { match, atMs: piece?.atMs ?? performance.now() };
  }

  #describe(error: Error): Error {
    return new Error(`${error.message}; the last that it printed:\n${this.#tail}`);
  }
}
