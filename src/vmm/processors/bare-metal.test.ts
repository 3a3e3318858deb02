/** Processors that die, and what becomes of their guests, with pretended workers. */
import { describe, expect, it } from 'vitest';
import { Control, ControlPage, controlAddress } from '../../abi/control.ts';
import type { StartOptions, StartResult } from '../../abi/executor.ts';
import type { HostPage } from '../../abi/host-page.ts';
import { vcpuState } from '../../abi/host-page.ts';
import type { JoinOptions } from '../../abi/processor.ts';
import { Tenure } from '../../abi/tenure.ts';
import type { ProcessorHandle } from '../host.ts';
import { BareMetal, type BareGuest } from './bare-metal.ts';
import { defaultShare } from './share.ts';

const rings = { consoleOutput: 0, consoleInput: 0, log: 0, disks: [] };

/** A worker that does nothing but answer. */
class FakeProcessor implements ProcessorHandle {
  readonly guests = new Set<number>();
  executor = -1;
  terminate: (why: string) => void = () => undefined;
  readonly died = new Promise<string>((resolve) => (this.terminate = resolve));

  #orDeath<T>(result: T | Promise<T>): Promise<T> {
    return Promise.race([this.died.then((why) => Promise.reject(new Error(why))), Promise.resolve(result)]);
  }

  readonly api = {
    join: ({ executor }: JoinOptions) => {
      this.executor = executor;
      return this.#orDeath(undefined);
    },
    add: (vcpu: number): Promise<StartResult> => {
      this.guests.add(vcpu);
      return this.#orDeath<StartResult>({ ok: true, rings });
    },
    remove: (vcpu: number) => {
      this.guests.delete(vcpu);
      return this.#orDeath(undefined);
    },
    region: () => this.#orDeath({ ok: false as const, message: 'none' }),
    run: () => this.#orDeath(new Promise<void>(() => undefined)),
  };
}

async function fixture(count: number): Promise<{ host: BareMetal; page: HostPage; made: FakeProcessor[] }> {
  const made: FakeProcessor[] = [];
  const createProcessor = () => {
    const processor = new FakeProcessor();
    made.push(processor);
    return processor;
  };
  const host = new BareMetal({ createProcessor, timeSliceMs: 30 });
  await host.setCount(count);
  return { host, page: host.page, made };
}

interface Added {
  readonly guest: BareGuest;
  readonly tenure: Tenure;
  readonly memory: WebAssembly.Memory;
}

/** A guest that has been admitted, and nobody runs. */
async function admitted(host: BareMetal, fresh = true): Promise<Added> {
  const guest = host.enter(defaultShare);
  const pages = Math.ceil((controlAddress + Control.size) / 65536);
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  new ControlPage(memory.buffer).initialize();
  await guest.api.start({ memory, fresh } as StartOptions);
  void guest.api.run();
  await expect.poll(() => host.page.vcpus[guest.vcpu]?.state).toBe(vcpuState.blocked);
  return { guest, memory, tenure: new Tenure(memory.buffer) };
}

/** As if an executor ran it. */
function run(page: HostPage, { guest, tenure }: Added, executor: number): void {
  const [vcpu, on] = [page.vcpus[guest.vcpu], page.executors[executor]];
  if (vcpu === undefined || on === undefined) throw new Error('no such place');
  expect(tenure.enter(vcpu.restedAt)).toBe(true);
  Object.assign(vcpu, { state: vcpuState.running, executor });
  on.current = guest.vcpu;
}

describe('the death of a processor', () => {
  it('takes the guest with it that it runs, and no other; another worker has its number', async () => {
    const { host, page, made } = await fixture(2);
    const [one, two] = [await admitted(host), await admitted(host)];
    run(page, one, 1);
    const other = page.vcpus[two.guest.vcpu];
    if (other !== undefined) other.executor = 1;
    expect(await two.guest.kill()).toBe(false);
    expect(await one.guest.died).toBe('it was killed');
    expect(one.tenure.claim()).toBe(false);
    expect(page.vcpus[one.guest.vcpu]?.state).toBe(vcpuState.held);
    expect(other?.state).toBe(vcpuState.blocked);
    await expect.poll(() => made.length).toBe(3);
    await expect.poll(() => page.header.granted).toBe(3);
    expect(made[2]?.executor).toBe(1);
    expect([...(made[2]?.guests ?? [])]).toEqual([one.guest.vcpu, two.guest.vcpu]);
    expect(page.load(1, 'incarnation')).toBe(1);
    expect(page.load(0, 'incarnation')).toBe(0);
  });

  it('leaves one at rest that it was about to run: it can be claimed, and the dead one finds out', async () => {
    const { host, page } = await fixture(1);
    const added = await admitted(host);
    const restedAt = page.vcpus[added.guest.vcpu]?.restedAt ?? 1;
    run(page, added, 0);
    added.tenure.rest();
    expect(await added.guest.kill()).toBe(true);
    const coordinator = new Tenure(added.memory.buffer);
    expect(coordinator.claim()).toBe(true);
    // It still runs, and has picked the guest before.
    expect(added.tenure.enter(restedAt)).toBe(false);
    expect(added.tenure.wake()).toBe(false);
    expect(page.lock(0, 0)).toBe(false);
  });

  it('is waited for by a guest that comes meanwhile', async () => {
    const { host, page, made } = await fixture(1);
    made[0]?.terminate('gone');
    const { guest } = await admitted(host, false);
    expect(made).toHaveLength(2);
    expect(made[1]?.guests.has(guest.vcpu)).toBe(true);
    expect(page.header.granted).toBe(1);
  });

  it('frees the numbers of guests that are gone once, though they are terminated twice', async () => {
    const { host } = await fixture(1);
    const { guest } = await admitted(host);
    const settled = async () => {
      await expect.poll(() => host.page.vcpus[guest.vcpu]?.state).toBe(vcpuState.absent);
      await host.setCount(1);
    };
    guest.terminate();
    await settled();
    const next = host.enter(defaultShare);
    expect(next.vcpu).toBe(guest.vcpu);
    guest.terminate();
    await settled();
    expect(host.enter(defaultShare).vcpu).not.toBe(next.vcpu);
  });

  it('frees a guest that it only looked at', async () => {
    const { host, page, made } = await fixture(2);
    const { guest } = await admitted(host);
    expect(page.hold(guest.vcpu, 0)).toBe(true);
    made[0]?.terminate('gone');
    await expect.poll(() => page.vcpus[guest.vcpu]?.state).toBe(vcpuState.blocked);
    expect(page.hasPending).toBe(true);
  });
});
