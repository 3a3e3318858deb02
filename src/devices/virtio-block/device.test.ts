import { beforeEach, describe, expect, it } from 'vitest';
import {
  diskOperation,
  diskResult,
  DiskRing,
  diskRingBytes,
  slotState,
  type DiskRequest,
} from '../../abi/disk-ring.ts';
import { FlatMemory, RecordedLine } from '../testing.ts';
import { feature as transportFeature } from '../virtio/registers.ts';
import { type DriverQueue, TestDriver } from '../virtio/testing.ts';
import { type BlockOptions, blockState, VirtioBlock } from './device.ts';
import * as r from './registers.ts';

const ramBytes = 0x40000;
const ringAt = 0x40000;
const stateAt = ringAt + diskRingBytes;
const headerAt = 0x100;
const statusAt = 0x200;
const dataAt = 0x4000;
const sectors = 64;

let buffer: SharedArrayBuffer;
let memory: FlatMemory;
let line: RecordedLine;
let clock: { now: number; isVirtual: boolean; nowNs: () => number };

function attach(options: Partial<BlockOptions> = {}): VirtioBlock {
  return new VirtioBlock(
    buffer,
    stateAt,
    { sizeBytes: sectors * 512, readOnly: false, id: 'test', ...options },
    { memory, interrupt: line, ring: new DiskRing(buffer, ringAt), clock, log: () => {} },
  );
}

beforeEach(() => {
  buffer = new SharedArrayBuffer(stateAt + blockState.size);
  memory = new FlatMemory(ramBytes, buffer);
  line = new RecordedLine();
  clock = { now: 0, isVirtual: false, nowNs: () => clock.now };
});

interface Setting {
  readonly block: VirtioBlock;
  readonly driver: TestDriver;
  readonly queue: DriverQueue;
  readonly ring: DiskRing;
}

const everything = [
  ...[r.feature.segmentLimit, r.feature.flush, r.feature.configurableCache, r.feature.discard, r.feature.writeZeroes],
  transportFeature.version1,
];

function running(features: readonly number[] = everything, options: Partial<BlockOptions> = {}): Setting {
  const block = attach(options);
  block.reset();
  block.assign(0xfd000000, 10);
  const driver = new TestDriver(block.target, memory, 0x10000);
  expect(driver.negotiate(features)).toBe(true);
  const queue = driver.queue(0, 64);
  driver.ready();
  const ring = new DiskRing(buffer, ringAt);
  ring.restart();
  return { block, driver, queue, ring };
}

interface Data {
  readonly gpa: number;
  readonly length: number;
  readonly write?: boolean;
}

/** Header, data, status: a descriptor each, unless they are cut otherwise. */
function send({ driver, queue }: Setting, type: number, sector: number, data: readonly Data[] = [], head = 0): void {
  const header = headerAt + 16 * head;
  driver.view.setUint32(header, type, true);
  driver.view.setBigUint64(header + 8, BigInt(sector), true);
  memory.writeByte(statusAt + head, 0xff);
  driver.send(queue, [{ gpa: header, length: 16 }, ...data, { gpa: statusAt + head, length: 1, write: true }], head);
}

const take = ({ ring }: Setting): DiskRequest[] => ring.submitted(new Set());
const statusOf = (head = 0): number => memory.readByte(statusAt + head);

describe('virtio-block', () => {
  it('says what it is', () => {
    const { driver } = running();
    expect([driver.readDevice(0, 4), driver.readDevice(12, 4), driver.readDevice(20, 4)]).toEqual([sectors, 126, 512]);
    expect([driver.readDevice(32, 1), driver.readDevice(34, 2), driver.readDevice(40, 4)]).toEqual([1, 1, 1]);
    expect(driver.offered & (1n << BigInt(r.feature.readOnly))).toBe(0n);
  });

  it('submits a request, and gives it back when it is done', () => {
    const setting = running();
    send(setting, r.request.read, 3, [
      { gpa: dataAt, length: 100, write: true },
      { gpa: dataAt + 0x1000, length: 924, write: true },
    ]);
    const [request] = take(setting) as [DiskRequest];
    expect(request).toMatchObject({ operation: diskOperation.read, offset: 1536, length: 1024, throughCache: false });
    setting.block.poll();
    expect([setting.driver.used(setting.queue).count, line.level]).toEqual([0, 0]);
    const copied = setting.ring.copy(request, 'done', (pieces) => {
      expect(pieces.map(({ length }) => length)).toEqual([100, 924]);
      for (const piece of pieces) piece.fill(7);
    });
    expect(copied).toBe(true);
    setting.block.poll();
    expect(setting.driver.used(setting.queue)).toMatchObject({ count: 1, written: 1025 });
    expect([statusOf(), memory.readByte(dataAt + 99), memory.readByte(dataAt + 100), line.level]).toEqual([0, 7, 0, 1]);
    // Code that was decoded there is stale.
    expect(memory.told.length).toBe(2);
  });

  it('finds header and status wherever the driver cuts', () => {
    const setting = running();
    const { driver, queue } = setting;
    driver.view.setUint32(headerAt, r.request.write, true);
    driver.view.setBigUint64(headerAt + 8, 2n, true);
    driver.send(queue, [
      { gpa: headerAt, length: 7 },
      { gpa: headerAt + 7, length: 9 + 512 },
      { gpa: dataAt, length: 512 },
      { gpa: statusAt, length: 1, write: true },
    ]);
    const [request] = take(setting) as [DiskRequest];
    expect(request).toMatchObject({ operation: diskOperation.write, offset: 1024, length: 1024 });
    setting.ring.copy(request, 'taken', (pieces) => expect(pieces.map(({ length }) => length)).toEqual([512, 512]));
    setting.block.poll();
    expect(driver.used(queue).count).toBe(0);
    setting.ring.finish(request, diskResult.error);
    setting.block.poll();
    expect([driver.used(queue).written, statusOf()]).toEqual([1, r.status.ioError]);
  });

  it.each<[string, number, number, readonly Data[], number]>([
    ['a sector behind the end', r.request.read, sectors, [{ gpa: dataAt, length: 512, write: true }], 1],
    ['a length across the end', r.request.write, sectors - 1, [{ gpa: dataAt, length: 1024 }], 1],
    ['a sector beyond all numbers', r.request.read, 2 ** 53, [{ gpa: dataAt, length: 512, write: true }], 1],
    ['half a sector', r.request.write, 0, [{ gpa: dataAt, length: 100 }], 1],
    ['an unknown type', 77, 0, [], 2],
    ['a segment that is none', r.request.discard, 0, [{ gpa: dataAt, length: 8 }], 1],
  ])('refuses %s at once', (_, type, sector, data, status) => {
    const setting = running();
    send(setting, type, sector, data);
    expect([take(setting).length, statusOf(), setting.driver.used(setting.queue).count]).toEqual([0, status, 1]);
    expect(line.level).toBe(1);
  });

  it('discards and writes zeroes, but no flags that it does not know', () => {
    const setting = running();
    const segment = (sector: number, count: number, flags: number): readonly Data[] => {
      setting.driver.view.setBigUint64(dataAt, BigInt(sector), true);
      setting.driver.view.setUint32(dataAt + 8, count, true);
      setting.driver.view.setUint32(dataAt + 12, flags, true);
      return [{ gpa: dataAt, length: 16 }];
    };
    send(setting, r.request.discard, 0, segment(4, 8, 0), 0);
    send(setting, r.request.writeZeroes, 0, segment(5, 1, 1), 4);
    expect(take(setting).map(({ operation, offset, length }) => [operation, offset, length])).toEqual([
      [diskOperation.discard, 2048, 4096],
      [diskOperation.writeZeroes, 2560, 512],
    ]);
    send(setting, r.request.discard, 0, segment(4, 8, 1), 8);
    expect(statusOf(8)).toBe(r.status.unsupported);
    send(setting, r.request.discard, 0, segment(60, 8, 0), 12);
    expect(statusOf(12)).toBe(r.status.ioError);
  });

  it('tells its name, and refuses writes where it is read-only', () => {
    const setting = running([transportFeature.version1, r.feature.readOnly], { readOnly: true });
    send(setting, r.request.getId, 0, [{ gpa: dataAt, length: 20, write: true }], 0);
    expect(new TextDecoder().decode(memory.read(dataAt, 4))).toBe('test');
    send(setting, r.request.write, 0, [{ gpa: dataAt, length: 512 }], 4);
    expect(statusOf(4)).toBe(r.status.ioError);
  });

  it('writes through the cache for a driver that does not flush, or asks for it', () => {
    const write = (setting: Setting): boolean | undefined => {
      send(setting, r.request.write, 0, [{ gpa: dataAt, length: 512 }]);
      return take(setting).at(-1)?.throughCache;
    };
    expect(write(running())).toBe(false);
    expect(write(running([transportFeature.version1]))).toBe(true);
    const setting = running();
    setting.driver.writeDevice(32, 1, 0);
    expect(write(setting)).toBe(true);
  });

  it('leaves in the queue what has no slot, and takes it when there is one', () => {
    const setting = running();
    const { driver, queue, ring, block } = setting;
    const data = [{ gpa: dataAt, length: 512, write: true }];
    for (let i = 0; i < 80; i++) send(setting, r.request.read, i % 64, data, 0);
    expect(take(setting).length).toBe(64);
    for (const request of take(setting).slice(0, 20)) ring.finish(request, diskResult.ok);
    block.poll();
    expect([driver.used(queue).count, take(setting).length]).toEqual([20, 60]);
  });

  it('goes on in another executor with what is under way', () => {
    const setting = running();
    send(setting, r.request.flush, 0);
    const [request] = take(setting) as [DiskRequest];
    setting.ring.finish(request, diskResult.ok);
    const other = attach();
    other.poll();
    expect([setting.driver.used(setting.queue).count, statusOf()]).toEqual([1, 0]);
  });

  it('touches nothing of the guest’s for a request that a reset has given up', () => {
    const setting = running();
    const { driver, ring } = setting;
    const data = [{ gpa: dataAt, length: 512, write: true }];
    send(setting, r.request.read, 0, data, 0);
    send(setting, r.request.write, 0, [{ gpa: dataAt, length: 512 }], 4);
    const [read, write] = take(setting) as [DiskRequest, DiskRequest];
    ring.copy(write, 'taken', () => {});
    driver.write('deviceStatus', 1, 0);
    let touched = false;
    expect(ring.copy(read, 'done', () => (touched = true))).toBe(false);
    expect([touched, ring.busy, ring.state(write.slot)]).toEqual([false, false, slotState.abandoned]);
    // A slot that is filled anew is not the old request's.
    const again = running();
    send(again, r.request.read, 0, data, 0);
    expect(ring.copy(read, 'done', () => (touched = true))).toBe(false);
    expect(ring.finish(write, diskResult.ok)).toBe(false);
    expect([touched, take(again).length]).toEqual([false, 1]);
  });

  it('is served anew by another worker', () => {
    const setting = running();
    send(setting, r.request.write, 0, [{ gpa: dataAt, length: 512 }]);
    const [request] = take(setting) as [DiskRequest];
    setting.ring.copy(request, 'taken', () => {});
    expect(take(setting)).toEqual([]);
    setting.ring.restart();
    expect(take(setting)).toEqual([request]);
  });

  it('takes its modelled time under the virtual clock, and holds the guest until it is done', () => {
    clock.isVirtual = true;
    const setting = running();
    const { block, ring, driver, queue } = setting;
    expect(block.nextDeadlineNs()).toBe(Infinity);
    send(setting, r.request.read, 0, [{ gpa: dataAt, length: 512, write: true }]);
    const due = block.nextDeadlineNs();
    expect([due, block.waits]).toEqual([101_024, false]);
    const [request] = take(setting) as [DiskRequest];
    clock.now = due;
    block.onDeadline();
    expect([block.waits, driver.used(queue).count]).toEqual([true, 0]);
    ring.finish(request, diskResult.ok);
    block.onDeadline();
    expect([block.waits, driver.used(queue).count, block.nextDeadlineNs()]).toEqual([false, 1, Infinity]);
  });
});
