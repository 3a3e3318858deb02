/**
 * The user's terminal as the guest's serial console: raw input, Ctrl-A as the escape (as in QEMU), and the terminal as
 * it was when everything ends.
 */
import type { ReadStream } from 'node:tty';

const controlA = 1;

export interface TerminalActions {
  readonly type: (bytes: Uint8Array) => void;
  readonly leave: () => void;
  readonly say: (text: string) => void;
}

const help = 'Ctrl-A X: leave   Ctrl-A H: this help   Ctrl-A Ctrl-A: send Ctrl-A\r\n';

/** Splits typed bytes into what goes to the guest and commands after Ctrl-A. */
export class EscapeFilter {
  readonly #actions: TerminalActions;
  #escaped = false;

  constructor(actions: TerminalActions) {
    this.#actions = actions;
  }

  feed(bytes: Uint8Array): void {
    const plain: number[] = [];
    for (const byte of bytes) {
      if (!this.#escaped) {
        if (byte === controlA) this.#escaped = true;
        else plain.push(byte);
        continue;
      }
      this.#escaped = false;
      switch (String.fromCharCode(byte).toLowerCase()) {
        case 'x':
          this.#actions.leave();
          return;
        case 'h':
          this.#actions.say(help);
          break;
        case '\x01':
          plain.push(controlA);
          break;
      }
    }
    if (plain.length > 0) this.#actions.type(Uint8Array.from(plain));
  }
}

/** Feeds standard input to the guest. A terminal is set raw; returns what restores it. The end of input is no event. */
export function openTerminal(input: NodeJS.ReadStream | ReadStream, actions: TerminalActions): () => void {
  const terminal = input.isTTY;
  if (terminal) input.setRawMode(true);
  const filter = new EscapeFilter(actions);
  const feed = (bytes: Uint8Array): void => {
    // A file or a pipe is passed on as it is.
    if (terminal) filter.feed(bytes);
    else actions.type(bytes);
  };
  input.on('data', feed);
  input.on('error', () => {});
  return () => {
    input.off('data', feed);
    if (terminal) input.setRawMode(false);
    input.pause();
  };
}
