import { beforeEach, describe, expect, it } from 'vitest';
import type { GivenPages } from '../capabilities.ts';
import { FlatMemory, RecordedLine } from '../testing.ts';
import { feature as transportFeature, isr } from '../virtio/registers.ts';
import { TestDriver, type DriverQueue } from '../virtio/testing.ts';
import { balloonState, VirtioBalloon, type BalloonDriver } from './device.ts';
import { feature } from './registers.ts';

const ramPages = 64;
/** Where the driver keeps its lists; the pages of the queues follow. */
const listAt = 0x20000;

class RecordedPages implements GivenPages {
  readonly ramPages = ramPages;
  readonly given = new Map<number, string>();
  settled = 0;

  giveUp(page: number, how: 'ballooned' | 'reported'): boolean {
    if (page >= ramPages || this.given.has(page)) return false;
    this.given.set(page, how);
    return true;
  }

  takeBack(page: number): boolean {
    return this.given.delete(page);
  }

  takeBackAll(): void {
    this.given.clear();
  }

  settle(): void {
    this.settled++;
  }
}

let memory: FlatMemory;
let pages: RecordedPages;
let line: RecordedLine;
let outside: { target: number; request: number; driver: BalloonDriver[]; actual: number };
let statistics: Map<number, number>;
let buffer: SharedArrayBuffer;

function attach(): VirtioBalloon {
  return new VirtioBalloon(
    buffer,
    0,
    { deflateOnOom: true, freePageReporting: true },
    {
      memory,
      pages,
      interrupt: line,
      log: () => {},
      targetPages: () => outside.target,
      statisticsRequest: () => outside.request,
      driverIs: (driver) => outside.driver.push(driver),
      actualIs: (count) => {
        outside.actual = count;
      },
      statisticsAre: (values) => {
        for (const [tag, value] of values) statistics.set(tag, value);
      },
    },
  );
}

beforeEach(() => {
  memory = new FlatMemory(ramPages * 4096);
  pages = new RecordedPages();
  line = new RecordedLine();
  outside = { target: 0, request: 0, driver: [], actual: 0 };
  statistics = new Map();
  buffer = new SharedArrayBuffer(balloonState.size);
  const balloon = attach();
  balloon.reset();
  balloon.assign(0xfd000000, 10);
});

const everything = [
  ...[feature.statistics, feature.deflateOnOom, feature.reporting],
  ...[transportFeature.version1, transportFeature.eventIndex],
];

interface Setting {
  readonly balloon: VirtioBalloon;
  readonly driver: TestDriver;
  readonly queues: readonly DriverQueue[];
}

function running(features: readonly number[] = everything, queues = 4): Setting {
  const balloon = attach();
  const driver = new TestDriver(balloon.target, memory, 0x24000);
  expect(driver.negotiate(features)).toBe(true);
  const made = Array.from({ length: queues }, (_, index) => driver.queue(index, 8));
  driver.ready();
  return { balloon, driver, queues: made };
}

function send({ driver, queues }: Setting, index: number, list: readonly number[]): void {
  list.forEach((page, i) => {
    driver.view.setUint32(listAt + 4 * i, page, true);
  });
  const queue = queues[index];
  if (queue === undefined) throw new Error(`there is no queue ${index}`);
  driver.send(queue, [{ gpa: listAt, length: 4 * list.length }]);
}

function sendStatistics({ driver, queues }: Setting, index: number, values: Record<number, bigint>): void {
  const entries = Object.entries(values);
  entries.forEach(([tag, value], i) => {
    driver.view.setUint16(listAt + 10 * i, Number(tag), true);
    driver.view.setBigUint64(listAt + 10 * i + 2, value, true);
  });
  driver.send(queues[index] as DriverQueue, [{ gpa: listAt, length: 10 * entries.length }]);
}

describe('virtio-balloon', () => {
  it('asks for pages by its configuration, when somebody rings', () => {
    const { balloon, driver } = running();
    expect([driver.readDevice(0, 4), outside.driver.at(-1)]).toEqual([0, 'ready']);
    outside.target = 7;
    balloon.poll();
    expect([driver.readIsr(), driver.readDevice(0, 4)]).toEqual([isr.configuration, 7]);
    balloon.poll();
    expect(driver.readIsr()).toBe(0);
    driver.writeDevice(4, 4, 5);
    expect([outside.actual, driver.readDevice(4, 4)]).toEqual([5, 5]);
  });

  it('puts pages into the balloon and takes them out; what is no page of the guest’s stays out', () => {
    const setting = running();
    send(setting, 0, [3, 5, 5, 0xffffffff, ramPages]);
    expect([...pages.given]).toEqual([
      [3, 'ballooned'],
      [5, 'ballooned'],
    ]);
    expect([setting.driver.readIsr(), pages.settled]).toEqual([isr.queue, 1]);
    send(setting, 1, [5, 9]);
    expect([...pages.given.keys()]).toEqual([3]);
  });

  it('gives everything back when the driver resets it', () => {
    const setting = running();
    send(setting, 0, [3, 4]);
    setting.driver.writeDevice(4, 4, 2);
    setting.driver.write('deviceStatus', 1, 0);
    expect([pages.given.size, outside.actual, outside.driver.at(-1)]).toEqual([0, 0, 'absent']);
  });

  it('reads statistics when they come, and asks for them by giving the buffer back', () => {
    const setting = running();
    sendStatistics(setting, 2, { 4: 1000n, 5: 2n ** 40n });
    expect([...statistics]).toEqual([
      [4, 1000],
      [5, 2 ** 40],
    ]);
    const [, , queue] = setting.queues as [DriverQueue, DriverQueue, DriverQueue];
    expect(setting.driver.used(queue).count).toBe(0);
    outside.request++;
    setting.balloon.poll();
    expect([setting.driver.used(queue).count, setting.driver.readIsr()]).toEqual([1, isr.queue]);
    // It is told where it is to notify again: behind the buffer that was given back.
    expect(setting.driver.view.getUint16(queue.deviceRing + 4 + 8 * queue.size, true)).toBe(1);
    // While the buffer is on its way back, asking again asks for nothing more.
    outside.request++;
    setting.balloon.poll();
    sendStatistics(setting, 2, { 4: 900n });
    expect([statistics.get(4), setting.driver.used(queue).count]).toEqual([900, 1]);
  });

  it('empties what is reported as free, by whole pages', () => {
    const setting = running();
    setting.driver.send(setting.queues[3] as DriverQueue, [
      { gpa: 0x1000, length: 0x2000, write: true },
      { gpa: 0x8800, length: 0x1000, write: true },
      { gpa: 0xa800, length: 0x1800, write: true },
    ]);
    expect([...pages.given]).toEqual([
      [1, 'reported'],
      [2, 'reported'],
      [11, 'reported'],
    ]);
    expect(setting.driver.readIsr()).toBe(isr.queue);
  });

  it('numbers its queues by what was negotiated', () => {
    const setting = running([feature.reporting, transportFeature.version1], 3);
    setting.driver.send(setting.queues[2] as DriverQueue, [{ gpa: 0x1000, length: 0x1000, write: true }]);
    expect([...pages.given]).toEqual([[1, 'reported']]);
  });

  it('leaves reported pages alone where the driver fills free pages with something', () => {
    const setting = running([...everything, feature.pagePoison]);
    const report = () => {
      setting.driver.send(setting.queues[3] as DriverQueue, [{ gpa: 0x1000, length: 0x1000, write: true }]);
    };
    setting.driver.writeDevice(12, 4, 0xaaaaaaaa);
    report();
    expect(pages.given.size).toBe(0);
    setting.driver.writeDevice(12, 4, 0);
    report();
    expect(pages.given.size).toBe(1);
  });

  it('is not held up by a driver that reports everything over and over', () => {
    const setting = running();
    const queue = setting.queues[3] as DriverQueue;
    let calls = 0;
    pages.giveUp = () => {
      calls++;
      return true;
    };
    for (let head = 0; head < 8; head++) {
      setting.driver.describe(queue.descriptors, head, { gpa: 0, length: ramPages * 4096, flags: 2, next: 0 });
      setting.driver.offer(queue, head);
    }
    setting.driver.notify(3);
    expect([calls, setting.driver.used(queue).count]).toEqual([2 * ramPages, 8]);
  });

  it('keeps everything in memory: another executor goes on', () => {
    const setting = running();
    send(setting, 0, [3]);
    outside.target = 9;
    const balloon = attach();
    balloon.poll();
    expect(setting.driver.readDevice(0, 4)).toBe(9);
    setting.driver.write('deviceStatus', 1, 0);
    expect(pages.given.size).toBe(0);
  });
});
