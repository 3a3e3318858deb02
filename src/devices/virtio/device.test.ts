import { beforeEach, describe, expect, it } from 'vitest';
import { PciConfig } from '../pci-function/state.ts';
import { FlatMemory, RecordedLine } from '../testing.ts';
import { VirtioPci, type VirtioType } from './device.ts';
import { descriptorFlag, failures, feature, isr, status } from './registers.ts';
import { VirtioCapability, virtioPciState } from './state.ts';
import { TestDriver } from './testing.ts';

const size = 8;

/** A device that answers each request with its bytes in capitals, so to speak: plus one. */
class Echo implements VirtioType {
  readonly id = 40;
  readonly classCode = 0xff0000;
  readonly features = [3];
  readonly queueSizes = [size, size];
  readonly configBytes = 8;
  readonly config = new Uint8Array(8);
  readonly events: string[] = [];
  transport: VirtioPci | undefined;

  readConfig(offset: number, bytes: number): number {
    return new DataView(this.config.buffer).getUint32(offset, true) >>> (32 - 8 * bytes);
  }

  writeConfig(offset: number, _size: number, value: number): void {
    this.config[offset] = value;
  }

  started(): void {
    this.events.push('started');
    this.notified(0);
  }

  failed(): void {
    this.events.push('failed');
  }

  driverReset(): void {
    this.events.push('reset');
  }

  notified(index: number): void {
    const queue = this.transport?.queues[index];
    if (queue === undefined) return;
    for (let chain = queue.take(); chain !== undefined; chain = queue.take()) {
      const bytes = queue.read(chain, 64);
      const [to] = chain.writable;
      if (bytes === undefined) return;
      if (to !== undefined) memory.write(to.gpa, bytes.map((byte) => byte + 1).subarray(0, to.length));
      queue.give(chain, Math.min(bytes.length, to?.length ?? 0));
    }
    this.transport?.interrupt(queue);
  }
}

let memory: FlatMemory;
let line: RecordedLine;
let echo: Echo;
let logged: string[];
let buffer: SharedArrayBuffer;

function attach(): VirtioPci {
  const transport = new VirtioPci(buffer, 0, echo, {
    memory,
    interrupt: line,
    log: (type, failure) => logged.push(`${type}: ${failures[failure]}`),
  });
  echo.transport = transport;
  return transport;
}

function driverOf(transport: VirtioPci): TestDriver {
  return new TestDriver(transport.target, memory, 0x10000);
}

beforeEach(() => {
  memory = new FlatMemory(0x40000);
  line = new RecordedLine();
  echo = new Echo();
  logged = [];
  buffer = new SharedArrayBuffer(virtioPciState(2).size);
  const transport = attach();
  transport.reset();
  transport.assign(0xfd000000, 10);
});

/** A driver that is ready, with queue 0. */
function running(features: readonly number[] = [feature.version1]) {
  const driver = driverOf(attach());
  expect(driver.negotiate(features)).toBe(true);
  const queue = driver.queue(0, size);
  driver.ready();
  memory.write(0x100, Uint8Array.of(1, 2, 3, 4));
  return { driver, queue };
}

const request = [
  { gpa: 0x100, length: 2 },
  { gpa: 0x102, length: 2 },
  { gpa: 0x200, length: 16, write: true },
];

describe('virtio over PCI', () => {
  it('is a function whose BAR can be sized and moved, and answers where it lies', () => {
    const { target } = attach();
    expect(target.readConfig(0, 4)).toBe(0x10681af4);
    const { bars, command } = PciConfig.offsets;
    expect(target.offsetOf(0, 0xfd000004)).toBe(4);
    expect(target.offsetOf(0, 0xfd004000)).toBe(-1);
    target.writeConfig(bars, 4, 0xffffffff);
    expect(target.readConfig(bars, 4)).toBe(0xffffc000);
    target.writeConfig(bars, 4, 0xe0001234);
    expect(target.offsetOf(0, 0xe0000010)).toBe(0x10);
    target.writeConfig(command, 2, 4);
    expect(target.offsetOf(0, 0xe0000010)).toBe(-1);
    target.writeConfig(bars + 4, 4, 0xffffffff);
    expect(target.readConfig(bars + 4, 4)).toBe(0);
  });

  it('takes features that it has offered, with VERSION_1, and no others', () => {
    const driver = driverOf(attach());
    expect(driver.offered).toBe((1n << 3n) | (1n << 28n) | (1n << 29n) | (1n << 32n));
    expect(driver.negotiate([3])).toBe(false);
    expect(driver.negotiate([feature.version1, 5])).toBe(false);
    expect(driver.negotiate([feature.version1, 3])).toBe(true);
    // What was accepted stands.
    driver.write('driverFeature', 4, 0);
    expect(driver.read('driverFeature', 4)).toBe(1);
    expect(driver.read('numQueues', 2)).toBe(2);
    expect(driver.read('configMsixVector', 2)).toBe(0xffff);
  });

  it('serves a request, and interrupts until the ISR is read', () => {
    const { driver, queue } = running();
    driver.send(queue, request);
    expect([...memory.read(0x200, 4)]).toEqual([2, 3, 4, 5]);
    expect(driver.used(queue)).toEqual({ count: 1, id: 0, written: 4 });
    expect(line.level).toBe(1);
    expect(driver.readIsr()).toBe(isr.queue);
    expect([line.level, driver.readIsr()]).toEqual([0, 0]);
    // The driver's ring may say that it does not want to hear.
    driver.view.setUint16(queue.driverRing, 1, true);
    driver.send(queue, request, 3);
    expect([driver.used(queue).count, line.level]).toEqual([2, 0]);
  });

  it('serves what was offered before the driver was ready, and wraps around its rings', () => {
    const driver = driverOf(attach());
    driver.negotiate([feature.version1]);
    const queue = driver.queue(0, size);
    driver.send(queue, request);
    expect(driver.used(queue).count).toBe(0);
    driver.ready();
    for (let i = 1; i < 3 * size; i++) driver.send(queue, request, i % 4);
    expect(driver.used(queue)).toEqual({ count: 3 * size, id: 3, written: 4 });
  });

  it('follows an indirect table', () => {
    const { driver, queue } = running([feature.version1, feature.indirectDescriptors]);
    driver.describe(0x1000, 0, { gpa: 0x100, length: 4, flags: descriptorFlag.next, next: 2 });
    driver.describe(0x1000, 2, { gpa: 0x200, length: 4, flags: descriptorFlag.write, next: 0 });
    driver.describe(queue.descriptors, 5, { gpa: 0x1000, length: 48, flags: descriptorFlag.indirect, next: 0 });
    driver.offer(queue, 5);
    driver.notify(0);
    expect(driver.used(queue)).toEqual({ count: 1, id: 5, written: 4 });
    expect([...memory.read(0x200, 4)]).toEqual([2, 3, 4, 5]);
  });

  it('with event indices interrupts when the driver’s event is passed, and says when to notify', () => {
    const { driver, queue } = running([feature.version1, feature.eventIndex]);
    const usedEvent = queue.driverRing + 4 + 2 * size;
    const availableEvent = queue.deviceRing + 4 + 8 * size;
    driver.send(queue, request);
    expect([line.level, driver.view.getUint16(availableEvent, true)]).toEqual([1, 1]);
    driver.readIsr();
    driver.view.setUint16(usedEvent, 3, true);
    for (const level of [0, 0, 1]) {
      driver.send(queue, request);
      expect(line.level).toBe(level);
    }
  });

  it('goes on in another executor in the middle of everything', () => {
    const { driver, queue } = running();
    driver.send(queue, request);
    const other = driverOf(attach());
    other.send(queue, request, 3);
    expect(other.used(queue)).toEqual({ count: 2, id: 3, written: 4 });
    expect([line.level, other.readIsr(), line.level]).toEqual([1, isr.queue, 0]);
  });

  it('tells of changed configuration, and starts anew after a reset', () => {
    const { driver, queue } = running();
    const before = driver.read('configGeneration', 1);
    echo.transport?.configChanged();
    expect([driver.readIsr(), driver.read('configGeneration', 1)]).toEqual([isr.configuration, before + 1]);
    driver.writeDevice(2, 1, 7);
    expect(echo.config[2]).toBe(7);
    driver.write('deviceStatus', 1, 0);
    expect([driver.read('deviceStatus', 1), driver.read('queueEnable', 2), driver.read('queueSize', 2)]).toEqual([
      0,
      0,
      size,
    ]);
    driver.send(queue, request);
    expect(driver.used(queue).count).toBe(0);
    expect(echo.events).toEqual(['reset', 'reset', 'started', 'reset']);
  });

  it('does not interrupt where INTx is disabled, nor touch RAM without the right to', () => {
    const { driver, queue } = running();
    const { command } = PciConfig.offsets;
    driver.target.writeConfig(command, 2, 0x406);
    driver.send(queue, request);
    expect([driver.used(queue).count, line.level]).toEqual([1, 0]);
    expect(driver.target.readConfig(PciConfig.offsets.status, 2) & 8).toBe(8);
    driver.target.writeConfig(command, 2, 6);
    expect(line.level).toBe(1);
    driver.target.writeConfig(command, 2, 2);
    driver.send(queue, request);
    expect(driver.used(queue).count).toBe(1);
  });

  it('can be reached by configuration space alone', () => {
    const { target } = attach();
    const { capabilities } = PciConfig.offsets;
    let at = target.readConfig(capabilities, 1);
    while (target.readConfig(at + 1, 1) !== 0) at = target.readConfig(at + 1, 1);
    const { offsets, size: data } = VirtioCapability;
    expect(target.readConfig(at + offsets.type, 1)).toBe(5);
    target.writeConfig(at + offsets.offset, 4, 0x12);
    target.writeConfig(at + offsets.size, 4, 2);
    expect(target.readConfig(at + data, 2)).toBe(2);
    target.writeConfig(at + offsets.offset, 4, 0x14);
    target.writeConfig(at + offsets.size, 4, 1);
    target.writeConfig(at + data, 1, status.acknowledge);
    expect(target.readConfig(at + data, 1)).toBe(status.acknowledge);
    // Whatever else is asked for is none of the device's memory.
    target.writeConfig(at + offsets.offset, 4, 0xfffffffc);
    target.writeConfig(at + data, 1, 0xff);
  });
});

describe('a driver that breaks the rules', () => {
  type Setting = ReturnType<typeof running>;

  const offences: readonly (readonly [string, (setting: Setting) => void])[] = [
    [
      'its queue lies outside of RAM',
      ({ driver }) => {
        driver.write('queueSelect', 2, 1);
        driver.write('queueDriverHigh', 4, 1);
        driver.write('queueEnable', 2, 1);
      },
    ],
    [
      'it announces more buffers than the queue has entries',
      ({ driver, queue }) => {
        driver.view.setUint16(queue.driverRing + 2, size + 1, true);
      },
    ],
    [
      'it names a descriptor that the table does not have',
      ({ driver, queue }) => {
        driver.offer(queue, size);
      },
    ],
    [
      'it names a descriptor that the table does not have',
      ({ driver, queue }) => {
        driver.describe(queue.descriptors, 0, { gpa: 0, length: 4, flags: descriptorFlag.next, next: 0xffff });
        driver.offer(queue, 0);
      },
    ],
    [
      'a chain of descriptors does not end',
      ({ driver, queue }) => {
        driver.describe(queue.descriptors, 0, { gpa: 0, length: 4, flags: descriptorFlag.next, next: 1 });
        driver.describe(queue.descriptors, 1, { gpa: 0, length: 4, flags: descriptorFlag.next, next: 0 });
        driver.offer(queue, 0);
      },
    ],
    [
      'a buffer lies outside of RAM',
      ({ driver, queue }) => {
        driver.describe(queue.descriptors, 0, { gpa: 0x3fffc, length: 8, flags: 0, next: 0 });
        driver.offer(queue, 0);
      },
    ],
    [
      'a buffer lies outside of RAM',
      ({ driver, queue }) => {
        driver.describe(queue.descriptors, 0, { gpa: 2 ** 64 - 4096, length: 8192, flags: 0, next: 0 });
        driver.offer(queue, 0);
      },
    ],
    [
      'an indirect table is malformed',
      ({ driver, queue }) => {
        driver.describe(0x1000, 0, { gpa: 0x1000, length: 16, flags: descriptorFlag.indirect, next: 0 });
        driver.describe(queue.descriptors, 0, { gpa: 0x1000, length: 16, flags: descriptorFlag.indirect, next: 0 });
        driver.offer(queue, 0);
      },
    ],
    [
      'an indirect table is malformed',
      ({ driver, queue }) => {
        driver.describe(queue.descriptors, 0, { gpa: 0x1000, length: 20, flags: descriptorFlag.indirect, next: 0 });
        driver.offer(queue, 0);
      },
    ],
    [
      'a buffer to be read follows one to be written',
      ({ driver, queue }) => {
        driver.send(queue, [
          { gpa: 0, length: 4, write: true },
          { gpa: 8, length: 4 },
        ]);
      },
    ],
    [
      'a request is longer than the device takes',
      ({ driver, queue }) => {
        driver.send(queue, [{ gpa: 0, length: 65 }]);
      },
    ],
  ];

  it.each(offences)('is told to reset the device: %s', (failure, offend) => {
    const setting = running([feature.version1, feature.indirectDescriptors]);
    const { driver, queue } = setting;
    offend(setting);
    driver.notify(0);
    expect(logged).toEqual([`40: ${failure}`]);
    expect(driver.read('deviceStatus', 1) & status.needsReset).toBe(status.needsReset);
    expect(driver.readIsr() & isr.configuration).toBe(isr.configuration);
    expect(echo.events.at(-1)).toBe('failed');
    // Until then nothing is done, and nothing is said twice.
    driver.send(queue, request);
    expect(driver.used(queue).count).toBe(0);
    expect(logged.length).toBe(1);
    const again = running();
    again.driver.send(again.queue, request);
    expect(again.driver.used(again.queue).count).toBe(1);
  });
});
