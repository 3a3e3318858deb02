/**
 * Tabvisor and v86 in Chromium, each machine in a browser of its own. Both fetch the same files from the page's origin:
 * Playwright answers for it.
 */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { chromium, type Browser, type Page, type Route } from 'playwright';
import { build, preview, type PreviewServer } from 'vite';
import type { Coordinator } from '../../src/vmm/index.ts';
import { BROWSER_ARGUMENTS, findBrowser, HOW_TO_GET_A_BROWSER } from '../../tools/browser.mjs';
import { getFirmware, type Firmware } from '../firmware.ts';
import { describeHost } from '../machine-info.ts';
import type { Measured } from '../memory.ts';
import { processMemory, type ProcessMemory } from '../process-memory.ts';
import { SerialText } from '../serial-text.ts';
import { PeerMissing, type Counters, type Machine, type Peer, type Session } from './peer.ts';
import { installV86 } from './v86.ts';

/** What the pages of this file have as globals. */
interface PageGlobals {
  readonly tabvisor: Coordinator;
  /** Takes console bytes, one a character. */
  benchOutput(latin1: string): void;
  benchType(text: string): void;
}

const bootTimeoutMs = 600_000;
/** Some ten seconds after a guest became quiet the engine collects what its boot has left. */
const settleMs = 20_000;

/** What SharedArrayBuffer and precise clocks ask for; the same for both. */
const isolation = { 'Cross-Origin-Opener-Policy': 'same-origin', 'Cross-Origin-Embedder-Policy': 'require-corp' };

async function browserVersion(): Promise<string> {
  const browser = await launch();
  const version = browser.version();
  await browser.close();
  return version;
}

function launch(): Promise<Browser> {
  const executablePath = findBrowser();
  if (executablePath === undefined) throw new PeerMissing(HOW_TO_GET_A_BROWSER);
  return chromium.launch({ args: BROWSER_ARGUMENTS, executablePath });
}

/** Serves a file, or answers 404 where the machine has none. */
function serve(file: string | undefined, contentType = 'application/octet-stream'): (route: Route) => Promise<void> {
  return (route) =>
    file === undefined
      ? route.fulfill({ status: 404, body: '', headers: isolation })
      : route.fulfill({ path: file, contentType, headers: isolation });
}

interface OpenPage {
  readonly page: Page;
  readonly console: SerialText;
  stop(): Promise<void>;
}

/** A fresh browser with an empty page that knows the machine's files as `/bench-image/{kernel,initrd}`. */
async function openPage(machine: Machine): Promise<OpenPage> {
  const browser = await launch();
  const page = await browser.newPage();
  const console = new SerialText();
  page.on('pageerror', (error) => console.fail(new Error(`the page threw: ${error.message}`)));
  page.on('crash', () => console.fail(new Error('the page crashed')));
  // The TypeScript loader wraps named functions so; those that are sent to a page meet the wrapper there.
  await page.addInitScript('globalThis.__name = (value) => value;');
  await page.exposeFunction('benchOutput', (latin1: string) => console.feed(Buffer.from(latin1, 'latin1')));
  await page.route('**/bench-image/kernel', serve(machine.kernel));
  await page.route('**/bench-image/initrd', serve(machine.initrd));
  return { page, console, stop: () => browser.close() };
}

/** Process of the browser's one page: there may be a spare one, which has done nothing. */
async function rendererOf(page: Page): Promise<number> {
  const session = await page.context().browser()?.newBrowserCDPSession();
  if (session === undefined) throw new Error('the browser is gone');
  const { processInfo } = await session.send('SystemInfo.getProcessInfo');
  await session.detach();
  const renderers = processInfo.filter(({ type }) => type === 'renderer');
  const used = renderers.sort((a, b) => b.cpuTime - a.cpuTime)[0];
  if (used === undefined) throw new Error('the browser has no renderer');
  return used.id;
}

export class TabvisorChromiumPeer implements Peer {
  readonly id = 'tabvisor-chromium';
  readonly runtime = 'chromium';
  readonly architectures = ['i386', 'amd64'] as const;
  readonly boots = true;
  readonly #root: string;
  readonly #report: (line: string) => void;
  #server: PreviewServer | undefined;

  constructor(root: string, report: (line: string) => void) {
    this.#root = root;
    this.#report = report;
  }

  async prepare(): Promise<string> {
    if (!existsSync(path.join(this.#root, 'build/core/core.wasm'))) {
      throw new PeerMissing('the processor core is not built: run npm run build:core');
    }
    const version = await browserVersion();
    this.#report('building the page');
    // Apart from dist, which others may serve meanwhile.
    const output = { outDir: path.join(this.#root, '.cache/bench/page'), emptyOutDir: true };
    await build({ root: this.#root, logLevel: 'error', build: output });
    const address = { host: '127.0.0.1', port: 0 };
    this.#server = await preview({ root: this.#root, logLevel: 'error', build: output, preview: address });
    return `${describeHost().commit}, Chromium ${version}`;
  }

  async close(): Promise<void> {
    await this.#server?.close();
  }

  /** Opens the page; `source` is the machine as the page's coordinator takes it. */
  async #open(machine: Machine): Promise<OpenPage & { readonly source: Parameters<Coordinator['create']>[0] }> {
    const address = this.#server?.resolvedUrls?.local[0];
    if (address === undefined) throw new Error('the page is not served: prepare the peer first');
    const opened = await openPage(machine);
    try {
      await opened.page.goto(address);
      await opened.page.waitForFunction(() => (globalThis as unknown as Partial<PageGlobals>).tabvisor !== undefined);
    } catch (error) {
      await opened.stop();
      throw error;
    }
    const source = {
      name: 'bench',
      kernelUrl: new URL('bench-image/kernel', address).href,
      ...(machine.initrd === undefined ? {} : { initrdUrl: new URL('bench-image/initrd', address).href }),
      commandLine: machine.commandLine,
      memoryMiB: machine.memoryMiB,
    };
    return { ...opened, source };
  }

  /** Of the page's renderer. */
  async measureMemory(machine: Machine): Promise<Measured> {
    const { page, source, stop } = await this.#open(machine);
    const boot = async (): Promise<void> => {
      await page.evaluate(
        async ([what, timeoutMs]) => {
          const { tabvisor } = globalThis as unknown as PageGlobals;
          const guest = await tabvisor.create(what);
          await tabvisor.start(guest);
          await tabvisor.waitForText(guest, 'tabvisor: guest ready', { timeoutMs });
        },
        [source, bootTimeoutMs] as const,
      );
    };
    const measure = async (guests: number): Promise<ProcessMemory> => {
      await page.waitForTimeout(settleMs);
      return processMemory(await rendererOf(page), machine.memoryMiB * 2 ** 20, guests);
    };
    try {
      const none = await measure(0);
      await boot();
      const one = await measure(1);
      await boot();
      return { withGuests: [none, one, await measure(2)] };
    } finally {
      await stop();
    }
  }

  async start(machine: Machine): Promise<Session> {
    const { page, console, source, stop } = await this.#open(machine);
    try {
      const id = await page.evaluate(async (what) => {
        const { tabvisor, benchOutput } = globalThis as unknown as PageGlobals;
        const guest = await tabvisor.create(what);
        tabvisor.onConsole(guest, (bytes) => benchOutput(String.fromCharCode(...bytes)));
        return guest;
      }, source);
      const poweredOnMs = performance.now();
      await page.evaluate((guest) => (globalThis as unknown as PageGlobals).tabvisor.start(guest), id);
      return {
        console,
        poweredOnMs,
        type: (text) =>
          page.evaluate(([guest, what]) => (globalThis as unknown as PageGlobals).tabvisor.type(guest, what), [
            id,
            text,
          ] as const),
        counters: (): Promise<Counters> =>
          page.evaluate((guest) => (globalThis as unknown as PageGlobals).tabvisor.stats(guest), id),
        stop,
      };
    } catch (error) {
      await stop();
      throw error;
    }
  }
}

/** v86's page: its machine runs on the page's main thread, as in all of its pages. */
const v86Page = `<!doctype html><meta charset="utf-8"><title>v86</title><script type="module">
import { V86 } from './libv86.mjs';
globalThis.benchStart = (options) => {
  const emulator = new V86(options);
  let pending = '';
  emulator.add_listener('serial0-output-byte', (byte) => {
    if (pending === '') {
      setTimeout(() => {
        benchOutput(pending);
        pending = '';
      });
    }
    pending += String.fromCharCode(byte);
  });
  globalThis.benchType = (text) => emulator.serial0_send(text);
};
</script>`;

/** No server is there: Playwright answers for this origin. */
const v86Origin = 'http://localhost:9';

export class V86ChromiumPeer implements Peer {
  readonly id: string;
  readonly runtime = 'chromium';
  readonly architectures = ['i386'] as const;
  readonly boots = true;
  readonly #options: { readonly root: string; readonly jit: boolean; readonly report: (line: string) => void };
  #firmware: Firmware | undefined;

  constructor(options: { readonly root: string; readonly jit: boolean; readonly report: (line: string) => void }) {
    this.#options = options;
    this.id = options.jit ? 'v86-chromium' : 'v86-nojit-chromium';
  }

  async prepare(): Promise<string> {
    const { root, report } = this.#options;
    const version = installV86(root, report);
    this.#firmware = await getFirmware(root, report);
    return `${version}, Chromium ${await browserVersion()}`;
  }

  async start(machine: Machine): Promise<Session> {
    const { page, console, stop } = await openPage(machine);
    try {
      const files = path.join(this.#options.root, 'bench/node_modules/v86/build');
      await page.route(`${v86Origin}/`, (route) =>
        route.fulfill({ body: v86Page, contentType: 'text/html', headers: isolation }),
      );
      await page.route('**/libv86.mjs', serve(path.join(files, 'libv86.mjs'), 'text/javascript'));
      await page.route('**/v86.wasm', serve(path.join(files, 'v86.wasm'), 'application/wasm'));
      await page.route('**/bios', serve(this.#firmware?.bios));
      await page.route('**/vga-bios', serve(this.#firmware?.vgaBios));
      await page.goto(`${v86Origin}/`);
      await page.waitForFunction('globalThis.benchStart !== undefined');
      const options = {
        wasm_path: 'v86.wasm',
        bios: { url: 'bios' },
        vga_bios: { url: 'vga-bios' },
        memory_size: machine.memoryMiB * 2 ** 20,
        vga_memory_size: 2 * 2 ** 20,
        cmdline: machine.commandLine,
        [machine.multiboot ? 'multiboot' : 'bzimage']: { url: 'bench-image/kernel' },
        ...(machine.initrd === undefined ? {} : { initrd: { url: 'bench-image/initrd' } }),
        disable_jit: !this.#options.jit,
        disable_keyboard: true,
        disable_mouse: true,
        disable_speaker: true,
        autostart: true,
      };
      const poweredOnMs = performance.now();
      await page.evaluate(`benchStart(${JSON.stringify(options)})`);
      return {
        console,
        poweredOnMs,
        type: (text) => page.evaluate((what) => (globalThis as unknown as PageGlobals).benchType(what), text),
        stop,
      };
    } catch (error) {
      await stop();
      throw error;
    }
  }
}
