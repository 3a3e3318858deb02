/**
 * An executor that runs no processor: it keeps the contract of `abi/executor.ts` and pretends to be a guest with a
 * shell, for tests of the coordinator and for work on the page. It never blocks, so it can live in any thread.
 *
 * What is typed is echoed; `uname -m`, `poweroff`, `crash` (triple fault), `die` (the worker's death), `yes` (prints
 * without end) and `spin` (runs flat out) do what they say; Ctrl-C ends `yes` and `spin`. While it waits for input it is
 * at rest, as a halted guest is, and another one may go on (`abi/tenure.ts`): like a worker, it does not stop at once when
 * it is told to.
 */
import { controlAddress, ControlPage, controlBytes, requestBit } from '../../abi/control.ts';
import type { ExecutorApi, RegionResult, RunResult, StartOptions, StartResult } from '../../abi/executor.ts';
import { ByteRing, initializeRing, ringBytes } from '../../abi/ring.ts';
import { Tenure } from '../../abi/tenure.ts';

const controlEnd = controlAddress + controlBytes;
const rings = {
  consoleOutput: controlEnd,
  consoleInput: controlEnd + ringBytes(),
  log: controlEnd + 2 * ringBytes(),
  disks: [],
};

const pulseBits =
  requestBit.mail | requestBit.reset | requestBit.powerButton | requestBit.nmi | requestBit.renewIdentity;

/** Its RAM is nothing but some pages for tests, all of them in use. */
const frameTable = rings.log + ringBytes();
export const fakeFrames = { base: 0x800000, count: 4 } as const;

const encoder = new TextEncoder();

export class FakeExecutor implements ExecutorApi {
  #control: ControlPage | undefined;
  #tenure: Tenure | undefined;
  #output: ByteRing | undefined;
  #input: ByteRing | undefined;
  #definition: StartOptions['definition'] | undefined;
  #bootedMs = 0;
  #flood = '';
  #line = '';
  #mode: 'shell' | 'flood' | 'spin' = 'shell';
  #pending = '';
  /** What came of the last line that was typed. */
  #verdict: RunResult | undefined;

  start(options: StartOptions): Promise<StartResult> {
    const head = new Uint8Array(options.kernel);
    const magic = String.fromCharCode(...head.subarray(0x202, 0x206));
    if (magic !== 'HdrS') {
      const message = 'This is no kernel that can be booted: neither a bzImage nor multiboot nor ELF.';
      return Promise.resolve({ ok: false, error: { kind: 'badKernel', message } });
    }
    if (options.initrd !== undefined && options.initrd.byteLength < 1000) {
      const message = 'The initrd is truncated: its compressed data ends early.';
      return Promise.resolve({ ok: false, error: { kind: 'badInitrd', message } });
    }
    const { buffer } = options.memory;
    this.#control = new ControlPage(buffer);
    this.#tenure = new Tenure(buffer);
    if (options.fresh) {
      this.#control.initialize();
      for (const address of [rings.consoleOutput, rings.consoleInput, rings.log]) initializeRing(buffer, address);
      this.#control.fields.frameTable = frameTable;
      this.#control.fields.frameCount = fakeFrames.count;
      this.#control.frameTable.set(Array.from({ length: fakeFrames.count }, (_, n) => fakeFrames.base + n * 4096));
    }
    this.#output = new ByteRing(buffer, rings.consoleOutput);
    this.#input = new ByteRing(buffer, rings.consoleInput);
    this.#definition = options.definition;
    if (options.fresh) this.#boot();
    return Promise.resolve({ ok: true, rings });
  }

  /** It has one region, at 1000h. */
  region(address: bigint): Promise<RegionResult> {
    return Promise.resolve(
      address === 0x1000n
        ? { ok: true, text: 'region 1000 to 1004\n' }
        : { ok: false, message: `No compiled instruction begins at ${address.toString(16)}.` },
    );
  }

  async run(): Promise<RunResult> {
    const control = this.#control;
    const tenure = this.#tenure;
    if (control === undefined || tenure === undefined) throw new Error('run before start');
    if (!tenure.enter(tenure.value))
      throw new Error('the guest is in the midst of another executor, or was when that died');
    for (;;) {
      const outcome = await this.#round(control, tenure);
      if (outcome === undefined) continue;
      if (outcome.kind !== 'replaced') tenure.rest();
      return outcome;
    }
  }

  async #round(control: ControlPage, tenure: Tenure): Promise<RunResult | undefined> {
    const seen = control.doorbellValue();
    const serial = control.load('requestSerial');
    const request = control.load('request');
    const paused = (request & requestBit.pause) !== 0;
    const pulses = control.take(pulseBits);
    if ((pulses & requestBit.reset) !== 0) this.#boot();
    if (!paused) this.#work(control);
    control.setState(this.#stateFor(request));
    const asleep = paused || (this.#mode === 'shell' && this.#pending === '');
    const outcome = this.#outcomeOf(request, pulses);
    if (asleep && outcome === undefined) tenure.rest();
    control.acknowledge(request & (requestBit.stop | requestBit.park | requestBit.pause), serial);
    if (outcome !== undefined) return outcome;
    if (!asleep) {
      await new Promise<void>((resolve) => setTimeout(resolve, 1));
      return undefined;
    }
    await control.changed('doorbell', seen, 1000);
    return tenure.wake() ? undefined : { kind: 'replaced' };
  }

  #outcomeOf(request: number, pulses: number): RunResult | undefined {
    if ((request & requestBit.stop) !== 0) return { kind: 'ended', state: 'stopped', exitCode: 0 };
    if ((request & requestBit.park) !== 0) return { kind: 'parked' };
    if ((pulses & requestBit.powerButton) !== 0) return this.#end('poweredOff', 'reboot: Power down\r\n');
    return (pulses & requestBit.mail) !== 0 ? { kind: 'mail' } : this.#verdict;
  }

  #stateFor(request: number): 'stopped' | 'parked' | 'paused' | 'halted' | 'running' {
    if ((request & requestBit.stop) !== 0) return 'stopped';
    if ((request & requestBit.park) !== 0) return 'parked';
    if ((request & requestBit.pause) !== 0) return 'paused';
    return this.#mode === 'shell' ? 'halted' : 'running';
  }

  #boot(): void {
    this.#mode = 'shell';
    this.#bootedMs = performance.now();
    this.#line = '';
    this.#pending +=
      `[    0.000000] Linux version 6.1.0 (fake) ${this.#definition?.name ?? ''}\r\n` +
      `[    0.000000] Command line: ${this.#definition?.commandLine ?? ''}\r\n` +
      '[    0.412345] Run /init as init process\r\ntabvisor: guest ready\r\n~ # ';
  }

  #end(state: 'poweredOff' | 'crashed', text: string, message?: string): RunResult {
    this.#output?.write(encoder.encode(text));
    this.#control?.setState(state);
    return { kind: 'ended', state, exitCode: 0, ...(message === undefined ? {} : { message }) };
  }

  #work(control: ControlPage): void {
    const { fields } = control;
    const ms = this.#mode === 'spin' ? 1 : 0.01;
    fields.retired += ms * 150_000;
    fields.busyNs += ms * 1e6;
    fields.uptimeNs = (performance.now() - this.#bootedMs) * 1e6;
    control.count(1, 0);
    for (const byte of this.#input?.read() ?? []) this.#typed(String.fromCharCode(byte));
    if (this.#mode === 'flood') this.#pending += `${this.#flood}\r\n`.repeat(200);
    const bytes = encoder.encode(this.#pending.slice(0, 60_000));
    const written = this.#output?.write(bytes) ?? 0;
    this.#pending = this.#mode === 'flood' ? '' : this.#pending.slice(written);
  }

  #typed(character: string): void {
    if (character === '\x03') {
      this.#mode = 'shell';
      this.#line = '';
      this.#pending += '^C\r\n~ # ';
      return;
    }
    if (character !== '\r' && character !== '\n') {
      this.#line += character;
      this.#pending += character;
      return;
    }
    const command = this.#line.trim();
    this.#line = '';
    this.#pending += '\r\n';
    this.#command(command);
    if (this.#mode === 'shell') this.#pending += '~ # ';
  }

  #command(command: string): void {
    const name = this.#definition?.name ?? '';
    if (command === 'uname -m')
      this.#pending += name.includes('32') || name.includes('386') ? 'i686\r\n' : 'x86_64\r\n';
    else if (command.startsWith('echo c >')) this.#verdict = this.#end('crashed', 'Kernel panic\r\n', 'Triple fault.');
    else if (command.startsWith('echo ')) this.#pending += `${command.slice(5).replaceAll(/["']/g, '')}\r\n`;
    else if (command === 'poweroff') this.#verdict = this.#end('poweredOff', 'reboot: Power down\r\n');
    else if (command === 'crash') this.#verdict = this.#end('crashed', '', 'Triple fault at RIP 0xffffffff81000000.');
    else if (command === 'die') throw new Error('the executor ran into a defect');
    else if (command.startsWith('yes')) {
      this.#mode = 'flood';
      this.#flood = command.slice(4) || 'y';
    } else if (command === 'spin' || command.startsWith('while ')) this.#mode = 'spin';
    else if (command !== '') this.#pending += `sh: ${command}: not found\r\n`;
  }
}
