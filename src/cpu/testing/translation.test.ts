/** Code that is translated while its guest runs on. */
import { readFileSync } from 'node:fs';
import { beforeEach, describe, expect, it } from 'vitest';
import { signalBytes } from '../../base/port.ts';
import { formTable } from '../jit/form-table.ts';
import { RemoteTranslation, type TranslationLink } from '../jit/translation-link.ts';
import { TranslationService } from '../jit/translation-service.ts';

import type { Translation, TranslationOrder } from '../jit/translation.ts';
import { Translator } from '../jit/translator.ts';
import { parseCase } from './cases.ts';
import { createCoreMachine } from './core-machine.ts';

const core = new URL('../../../build/core/core.wasm', import.meta.url);
const module = new WebAssembly.Module(readFileSync(core));

/** Translates when it is told to. */
class DeferredTranslation implements TranslationLink {
  readonly shared = false;
  readonly backlog = 0;
  readonly orders: TranslationOrder[] = [];
  private readonly done: Translation[] = [];

  get busy(): boolean {
    return this.orders.length > 0;
  }

  get ready(): boolean {
    return this.done.length > 0;
  }

  order(order: TranslationOrder): void {
    this.orders.push(order);
  }

  translate(translator: Translator): void {
    for (const order of this.orders.splice(0)) this.done.push(translator.translate(order, () => 0));
  }

  take(): Translation | undefined {
    return this.done.shift();
  }

  delivery(): undefined {
    return undefined;
  }

  close(): void {}
}

// MOV ECX, 3; again: ADD EAX, 5; DEC ECX; JNZ again; HLT
const program = 'b90300000083c0054975faf4';

describe('a translation beside the guest', () => {
  const translation = new DeferredTranslation();
  const machine = createCoreMachine('jit', module, () => [0, 0, 0, 0], { translation });
  const { compiler, cpu } = machine;
  if (!compiler) throw new Error('the jit tier has a compiler');
  const translator = new Translator(machine.buffer, cpu, formTable(module), { debug: false });
  const alive = (): number => [...compiler.liveRegions()].length;
  const serve = (times: number): void => {
    for (let k = 0; k < times; k++) compiler.serve();
  };
  const ask = (): void => {
    machine.call('request', cpu, machine.call('lookup', cpu) ?? 0);
  };

  beforeEach(() => {
    translation.translate(translator);
    const regs = { eip: 0x1000, esp: 0xff00 };
    const line = { mode: 'protected32', regs, mem: [[0x1000, program]], zero: [[0, 0x10000]], end: 'hlt', expect: {} };
    machine.load(parseCase(JSON.stringify(line)));
    compiler.reset('auto');
    ask();
    // A single request waits for others for a while.
    serve(8);
    expect(translation.orders.length).toBe(1);
  });

  it('ends with a region', () => {
    serve(3);
    expect(alive()).toBe(0);
    translation.translate(translator);
    serve(1);
    expect(alive()).toBe(1);
  });

  it('is not ordered again while it is under way', () => {
    ask();
    serve(20);
    expect(translation.orders.length).toBe(1);
    translation.translate(translator);
    serve(20);
    expect(translation.orders.length).toBe(0);
    expect(alive()).toBe(1);
  });

  it('lets few requests wait, however long it takes', () => {
    for (let k = 0; k < 1000; k++) {
      ask();
      serve(1);
    }
    machine.deviceWrite(0x1005, Uint8Array.of(0x83));
    translation.translate(translator);
    serve(1);
    expect(translation.orders[0]?.requests.length).toBeLessThan(100);
  });

  it('leaves out what was written over before it was made', () => {
    machine.deviceWrite(0x1005, Uint8Array.of(0x83));
    translation.translate(translator);
    serve(1);
    expect(alive()).toBe(0);
  });

  it('leaves out what was written over after it was made', () => {
    translation.translate(translator);
    machine.deviceWrite(0x1005, Uint8Array.of(0x83));
    serve(1);
    expect(alive()).toBe(0);
  });

  it('leaves out what was written over and decoded as something else', () => {
    translation.translate(translator);
    // ADD EAX, 6
    machine.deviceWrite(0x1007, Uint8Array.of(6));
    machine.call('lookup', cpu);
    serve(1);
    expect(alive()).toBe(0);
  });

  it('comes to nothing when everything decoded is forgotten', () => {
    machine.call('flushBlocks', cpu);
    translation.translate(translator);
    serve(1);
    expect(alive()).toBe(0);
  });

  it('looks at no code that was decoded after it was ordered', () => {
    const [order] = translation.orders;
    if (!order) throw new Error('nothing was ordered');
    const early = translator.translate({ ...order, recordsEnd: 0 }, () => 0);
    expect(early.modules).toEqual([]);
    expect(early.declined).toEqual([order.requests[0]?.record]);
  });
});

describe('the translation service', () => {
  const remoteOf = (
    memory: WebAssembly.Memory,
  ): { link: RemoteTranslation; answered: Promise<unknown>; end(): void } => {
    const { port1, port2 } = new MessageChannel();
    const signal = new Int32Array(new SharedArrayBuffer(signalBytes));
    new TranslationService(() => 0).serve({ port: port1, signal }, memory, module);
    const link = new RemoteTranslation({ port: port2, signal }, 0x1000, false);
    const answered = new Promise((resolve) => {
      port2.addEventListener('message', resolve, { once: true });
    });
    return { link, answered, end: () => port1.close() };
  };

  it('answers each order, and tells of it by the signal', async () => {
    const pages = 1024;
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
    const { link, answered, end } = remoteOf(memory);
    expect(link.delivery()).toBeUndefined();
    // Nothing is decoded in an empty memory.
    const request = { host: 0, modeKey: 0, record: 0x2000, ripBase: 0n, again: false, entries: [] };
    link.order({ requests: [request], recordsEnd: 0, instructions: 100, epoch: 3 });
    expect(link.busy).toBe(true);
    await answered;
    expect(link.take()).toMatchObject({ epoch: 3, modules: [], failures: [], declined: [0x2000] });
    expect(link.delivery()).toBeUndefined();
    expect(link.busy).toBe(false);
    end();
  });

  it('answers also where a first call without a guest traps', async () => {
    const translation = new DeferredTranslation();
    const machine = createCoreMachine('jit', module, () => [0, 0, 0, 0], { translation });
    // MOV ECX, 3 from 1FFDh on, which crosses into the next page; HLT
    const mem = [[0x1ffd, 'b903000000f4']];
    const regs = { eip: 0x1ffd, esp: 0xff00 };
    const line = { mode: 'protected32', regs, mem, zero: [[0, 0x10000]], end: 'hlt', expect: {} };
    machine.load(parseCase(JSON.stringify(line)));
    machine.compiler?.reset('auto');
    machine.call('request', machine.cpu, machine.call('lookup', machine.cpu) ?? 0);
    for (let k = 0; k < 8; k++) machine.compiler?.serve();
    const [order] = translation.orders;
    if (!order) throw new Error('nothing was ordered');
    const { link, answered, end } = remoteOf(machine.memory);
    link.order(order);
    await answered;
    expect(link.take()?.modules.map((made) => made.regions.length)).toEqual([1]);
    end();
  });
});

describe('the executor of a guest', () => {
  /** A link with an order under way, to a service that answers by `deliver` and `signal`. */
  const ordered = (): { link: RemoteTranslation; signal: Int32Array; deliver(type: string, data?: unknown): void } => {
    const listeners = new Map<string, (event: { type: string; data?: unknown }) => void>();
    const port = {
      postMessage: (): void => undefined,
      start: (): void => undefined,
      addEventListener: (type: string, listener: (event: { type: string; data?: unknown }) => void): void => {
        listeners.set(type, listener);
      },
    };
    const signal = new Int32Array(new SharedArrayBuffer(signalBytes));
    const link = new RemoteTranslation({ port, signal }, 0, false);
    link.order({ requests: [], recordsEnd: 0, instructions: 1, epoch: 7 });
    return { link, signal, deliver: (type, data) => listeners.get(type)?.({ type, data }) };
  };

  it('waits for no message that it has already', () => {
    const { link, deliver } = ordered();
    // The service has sent its answer and was stopped by the host before it gave the signal.
    deliver('message', { epoch: 7 });
    expect(link.ready).toBe(true);
    expect(link.delivery()).toBeUndefined();
  });

  it('takes a translation that cannot be read for one that failed', async () => {
    const { link, signal, deliver } = ordered();
    Atomics.add(signal, 0, 1);
    const delivery = link.delivery();
    deliver('messageerror');
    await delivery;
    expect(link.busy).toBe(false);
    expect(link.take()).toMatchObject({ epoch: 7, modules: [], failures: [{ error: expect.any(Error) as Error }] });
  });
});
