/** The console of a guest: xterm on the bytes of its serial port. */
import { FitAddon } from '@xterm/addon-fit';
import { WebLinksAddon } from '@xterm/addon-web-links';
import { Terminal } from '@xterm/xterm';
import '@xterm/xterm/css/xterm.css';

export interface TerminalOptions {
  readonly label: string;
  /** What the user typed or pasted. */
  readonly onInput: (text: string) => void;
  /** F6: the user wants the keyboard out of the terminal, which takes every other key. */
  readonly onLeave: () => void;
}

const scrollbackLines = 10_000;

export class GuestTerminal {
  readonly element: HTMLElement;
  readonly #terminal: Terminal;
  readonly #fit = new FitAddon();
  readonly #resized: ResizeObserver;
  #opened = false;

  constructor(options: TerminalOptions) {
    this.element = document.createElement('div');
    this.element.className = 'console';
    this.#terminal = new Terminal({
      scrollback: scrollbackLines,
      fontFamily: 'ui-monospace, "SF Mono", "Cascadia Mono", "DejaVu Sans Mono", Menlo, Consolas, monospace',
      fontSize: 13,
      lineHeight: 1.15,
      // A blinking cursor keeps the compositor at work while the guest does nothing.
      cursorBlink: false,
      macOptionIsMeta: true,
      rightClickSelectsWord: true,
    });
    this.#terminal.loadAddon(this.#fit);
    this.#terminal.loadAddon(new WebLinksAddon());
    this.#terminal.onData(options.onInput);
    this.#terminal.attachCustomKeyEventHandler((event) => this.#key(event, options.onLeave));
    this.element.setAttribute('aria-label', options.label);
    this.#resized = new ResizeObserver(() => this.fit());
    this.#resized.observe(this.element);
  }

  /** Resolves when the bytes are on the screen, which is what slows a guest down that prints without end. */
  write(bytes: Uint8Array): Promise<void> {
    return new Promise((resolve) => this.#terminal.write(bytes, resolve));
  }

  clear(): void {
    this.#terminal.reset();
  }

  focus(): void {
    this.#terminal.focus();
  }

  /** Fills the element; opens the terminal the first time that the element has a size. */
  fit(): void {
    if (this.element.clientWidth === 0 || this.element.clientHeight === 0) return;
    if (!this.#opened) {
      this.#opened = true;
      this.#terminal.open(this.element);
      this.#terminal.textarea?.setAttribute('aria-label', this.element.getAttribute('aria-label') ?? 'Console');
      this.paint();
    }
    this.#fit.fit();
  }

  /** Takes the colours of the page's theme. */
  paint(): void {
    const style = getComputedStyle(document.documentElement);
    const colour = (name: string) => style.getPropertyValue(`--${name}`).trim();
    this.#terminal.options.theme = {
      background: colour('console'),
      foreground: colour('console-text'),
      cursor: colour('accent'),
      cursorAccent: colour('console'),
      selectionBackground: colour('selection'),
    };
  }

  dispose(): void {
    this.#resized.disconnect();
    this.#terminal.dispose();
  }

  /** Returns false for keys that the guest shall not get. */
  #key(event: KeyboardEvent, leave: () => void): boolean {
    if (event.key === 'F6') {
      event.preventDefault();
      if (event.type === 'keydown') leave();
      return false;
    }
    const control = event.ctrlKey && !event.altKey && !event.metaKey;
    const key = event.key.toLowerCase();
    // Ctrl-C copies what is selected, and else interrupts the guest's program, as in other terminals on the web.
    if (control && key === 'c' && (event.shiftKey || this.#terminal.hasSelection())) {
      event.preventDefault();
      if (event.type === 'keydown') this.#copy();
      return false;
    }
    // The browser pastes, and xterm hears of it; without this the guest would get a Ctrl-V.
    return !(control && key === 'v');
  }

  #copy(): void {
    const text = this.#terminal.getSelection();
    if (text === '') return;
    this.#terminal.clearSelection();
    // Refused where the page has no permission: then the context menu is left.
    void navigator.clipboard.writeText(text).catch(() => undefined);
  }
}
