/**
 * What the end-to-end tests share: `vmm` drives the coordinator of the page (`window.tabvisor`), as a user at the
 * developer's console would. Everything waits on what a guest prints or on the state that it reaches, never on time.
 */
import { test as base, type Locator, type Page } from '@playwright/test';
import type { Coordinator, GuestStats, GuestStatus, MemoryPoolUsage } from '../src/vmm/index.ts';

declare global {
  interface Window {
    tabvisor: Coordinator;
  }
}

/** A boot of a stock kernel in the interpreter, on a slow machine. */
export const bootTimeoutMs = 150_000;

export const amd64 = 'linux-amd64';
export const i386 = 'linux-i386';

/** What the guests' init prints when the shell comes. */
export const ready = /tabvisor: guest ready/;

/** Control sequences, such as the question for the cursor's place (`ESC [ 6 n`) with which busybox ends its prompt. */
const sequence = '\\u001b\\[[0-9;?]*[A-Za-z]';

/** The end of a console whose shell waits for a command. */
export const prompt = new RegExp(`[#$] (?:${sequence})*$`);

const commandOutput = new RegExp(`^[^\\n]*\\n([\\s\\S]*?)[^\\n]*[#$] (?:${sequence})*$`);
const interrupted = new RegExp(`\\^C[^^]*[#$] (?:${sequence})*$`);

export class Vmm {
  readonly page: Page;

  constructor(page: Page) {
    this.page = page;
  }

  /** Opens the page with this query; resolves when the coordinator is there. */
  async open(query = ''): Promise<void> {
    await this.page.goto(`./${query}`);
    await this.page.waitForFunction(() => window.tabvisor !== undefined);
  }

  pane(id: string): Locator {
    return this.page.locator(`[data-guest="${id}"]`);
  }

  tab(name: string): Locator {
    return this.page.getByRole('tab', { name });
  }

  /** Resolves when the guest exists and is in one of these states. */
  async state(id: string, ...states: GuestStatus['state'][]): Promise<GuestStatus> {
    await this.page.waitForFunction((guest) => window.tabvisor.list().some((one) => one.id === guest), id);
    return this.page.evaluate(([guest, wanted, timeoutMs]) => window.tabvisor.waitForState(guest, wanted, timeoutMs), [
      id,
      states,
      bootTimeoutMs,
    ] as const);
  }

  /** Resolves when the guest's console shows the pattern, from `from` on; to the match's first group, or all of it. */
  async text(id: string, pattern: RegExp, options: { from?: number; timeoutMs?: number } = {}): Promise<string> {
    return this.page.evaluate(
      async ([guest, source, flags, from, timeoutMs]) => {
        const match = await window.tabvisor.waitForText(guest, new RegExp(source, flags), { from, timeoutMs });
        return match.groups[0] ?? match.text;
      },
      [id, pattern.source, pattern.flags, options.from ?? 0, options.timeoutMs ?? 30_000] as const,
    );
  }

  /** Resolves when the guest has booted to its shell. */
  async booted(id: string): Promise<void> {
    await this.state(id, 'running');
    await this.text(id, ready, { timeoutMs: bootTimeoutMs });
    await this.text(id, prompt, { timeoutMs: bootTimeoutMs });
  }

  /**
   * The same, and the kernel's messages stay off the console: one that shares processors may tell that an interrupt took
   * long, in the midst of what a test reads.
   */
  async bootedQuietly(id: string): Promise<void> {
    await this.booted(id);
    const from = await this.position(id);
    await this.type(id, 'dmesg -n 1; echo quiet $((1))\n');
    await this.text(id, /^quiet 1\r?$/m, { from });
    await this.text(id, prompt, { from });
  }

  position(id: string): Promise<number> {
    return this.page.evaluate((guest) => window.tabvisor.consolePosition(guest), id);
  }

  /** Types a command at the prompt, and resolves to what it printed: what stands between its echo and the next prompt. */
  async run(id: string, command: string, timeoutMs = 30_000): Promise<string> {
    const from = await this.position(id);
    await this.type(id, `${command}\n`);
    const output = await this.text(id, commandOutput, { from, timeoutMs });
    return output.replaceAll('\r', '').replaceAll(new RegExp(sequence, 'g'), '').trim();
  }

  type(id: string, text: string): Promise<void> {
    return this.page.evaluate(([guest, what]) => window.tabvisor.type(guest, what), [id, text] as const);
  }

  /** Ctrl-C; resolves when the shell is back. */
  async interrupt(id: string): Promise<void> {
    const from = await this.position(id);
    await this.type(id, '\u0003');
    await this.text(id, interrupted, { from });
  }

  stats(id: string): Promise<GuestStats> {
    return this.page.evaluate((guest) => window.tabvisor.stats(guest), id);
  }

  memory(): Promise<MemoryPoolUsage> {
    return this.page.evaluate(() => window.tabvisor.memory);
  }
}

export const test = base.extend<{ vmm: Vmm }>({
  vmm: async ({ page }, use) => {
    const errors: string[] = [];
    page.on('pageerror', (error) => errors.push(String(error)));
    await use(new Vmm(page));
    // A page that throws is broken, whatever it shows.
    if (errors.length > 0) throw new Error(`the page threw: ${errors.join('\n')}`);
  },
});

export { expect } from '@playwright/test';
