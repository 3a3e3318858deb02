/**
 * A thread that translates for executors, so that compiling takes no time from their guests: any number of executors of
 * one core, each behind a port of its own. What one guest has warmed up in the engine serves the others, too.
 *
 *     executor                               service
 *       connect ──►                            (once)
 *       order ──►                              translate; warm the functions up
 *       ◄── translation, then signal + 1       the signal tells an executor that computes to look for its messages
 *
 * Who makes the channel gives the service its end of it together with the guest's memory (`ServedExecutor`): Firefox
 * loses some messages with shared memory that go from worker to worker through a port.
 */
import { receivedWord, sentWord, type SignalledPort } from '../../base/port.ts';
import { formTable } from './form-table.ts';
import type { FormTable } from './region.ts';
import type { TranslatedModule, Translation, TranslationOrder } from './translation.ts';
import { Translator } from './translator.ts';

/** The memory has its final size. */
export interface Connect {
  readonly kind: 'connect';
  /** The vCPU's place in the memory. */
  readonly cpu: number;
  readonly debug: boolean;
}

export interface Order {
  readonly kind: 'order';
  readonly order: TranslationOrder;
}

export type ServiceMessage = Connect | Order;

/** Executors of one guest, which run it in turns. */
interface Group {
  translator: Translator | undefined;
  readonly members: Set<SignalledPort>;
}

/** Translations of others that an executor may leave lying; beyond, it goes without. */
const mostBacklog = 256;

export class TranslationService {
  private readonly groups = new Map<number, Group>();
  private readonly nowMs: () => number;
  private table: FormTable | undefined;
  private scratch: ScratchCore | undefined;

  constructor(nowMs: () => number) {
    this.nowMs = nowMs;
  }

  /** Gets ready for executors of this core, before the first of them comes. */
  prepare(core: WebAssembly.Module): FormTable {
    this.scratch ??= new ScratchCore(core);
    return (this.table ??= formTable(core));
  }

  /**
   * Serves one executor of `core.wasm` and its guest's memory, until its end of the channel is gone. What is ordered by
   * one executor of a group is sent to all of them.
   */
  serve(member: SignalledPort, memory: WebAssembly.Memory, core: WebAssembly.Module, number?: number): void {
    const { port } = member;
    const group = this.join(member, number);
    port.addEventListener('messageerror', () => {
      throw new Error('an executor sent what cannot be read');
    });
    port.addEventListener('message', ({ data }) => {
      const message = data as ServiceMessage;
      if (message.kind === 'connect') {
        group.translator ??= new Translator(memory.buffer, message.cpu, this.prepare(core), { debug: message.debug });
        return;
      }
      if (!group.translator) throw new Error('an order came before its executor was connected');
      const translation = group.translator.translate(message.order, this.nowMs);
      for (const module of translation.modules) this.scratch?.warmUp(module);
      // Before the one that may install it: who takes the guest over from that one has been sent it by then.
      for (const other of group.members) {
        const behind = Atomics.load(other.signal, sentWord) - Atomics.load(other.signal, receivedWord);
        if (other !== member && behind < mostBacklog) send(other, { ...translation, own: false });
      }
      send(member, translation);
    });
    port.start();
  }

  /** The group of an executor, which it leaves when its end of the channel is gone. */
  private join(member: SignalledPort, number: number | undefined): Group {
    const group = (number === undefined ? undefined : this.groups.get(number)) ?? {
      translator: undefined,
      members: new Set(),
    };
    group.members.add(member);
    if (number !== undefined) this.groups.set(number, group);
    member.port.addEventListener('close', () => {
      group.members.delete(member);
      if (number !== undefined && group.members.size === 0) this.groups.delete(number);
    });
    return group;
  }
}

function send({ port, signal }: SignalledPort, translation: Translation): void {
  port.postMessage(translation);
  Atomics.add(signal, sentWord, 1);
}

/**
 * A core that runs no guest. Engines compile a function when it is first called, and threads share what was compiled of
 * a module: a call here, on a vCPU whose budget is used up, returns at once or traps, and saves the guest that time.
 */
class ScratchCore {
  private readonly core: WebAssembly.Exports;
  private readonly memory: WebAssembly.Memory;

  constructor(module: WebAssembly.Module) {
    this.memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
    const nothing = (): number => 0;
    const machine = Object.fromEntries(
      WebAssembly.Module.imports(module).flatMap((i) => (i.module === 'machine' ? [[i.name, nothing]] : [])),
    );
    this.core = new WebAssembly.Instance(module, { env: { memory: this.memory }, machine }).exports;
  }

  warmUp({ module, regions }: TranslatedModule): void {
    const violated = (): void => undefined;
    const { exports } = new WebAssembly.Instance(module, { core: this.core, debug: { violated } });
    for (const { name } of regions) {
      // Whatever a call has left: registers, flags.
      new Uint8Array(this.memory.buffer).fill(0);
      const run = exports[name] as (cpu: number, label: number, depth: number) => number;
      try {
        run(0, 1, 0);
      } catch (error) {
        // A trap: code that first looks at another page reads tables that are not there. It is compiled by then.
        if (!(error instanceof WebAssembly.RuntimeError)) throw error;
      }
    }
  }
}
