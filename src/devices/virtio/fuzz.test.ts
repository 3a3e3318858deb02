/** Random descriptor tables, rings and register writes: nothing hangs, throws, or writes outside of RAM. */
import { describe, expect, it } from 'vitest';
import { balloonState, VirtioBalloon } from '../virtio-balloon/device.ts';
import { FlatMemory, RecordedLine } from '../testing.ts';
import { region } from './registers.ts';
import { TestDriver } from './testing.ts';

const ramBytes = 0x40000;
const queuesAt = 0x10000;

/** Numerical Recipes' generator. */
class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed;
  }

  below(limit: number): number {
    this.#state = (Math.imul(this.#state, 1664525) + 1013904223) >>> 0;
    return Math.floor((this.#state / 2 ** 32) * limit);
  }

  of<T>(...values: readonly T[]): T {
    return values[this.below(values.length)] as T;
  }
}

/** RAM that knows when somebody wrote outside of it. */
class GuardedMemory extends FlatMemory {
  override write(gpa: number, bytes: Uint8Array): void {
    if (!(gpa >= 0 && gpa + bytes.length <= this.bytes.length)) throw new Error(`a write at ${gpa}`);
    super.write(gpa, bytes);
  }

  override read(gpa: number, length: number): Uint8Array {
    if (!(gpa >= 0 && gpa + length <= this.bytes.length)) throw new Error(`a read at ${gpa}`);
    return super.read(gpa, length);
  }
}

function lifeOf(seed: number): number {
  const random = new Random(seed);
  const memory = new GuardedMemory(ramBytes);
  let failures = 0;
  let given = 0;
  const balloon = new VirtioBalloon(
    new SharedArrayBuffer(balloonState.size),
    0,
    { deflateOnOom: true, freePageReporting: true },
    {
      memory,
      pages: {
        ramPages: ramBytes / 4096,
        giveUp: () => given++ >= 0,
        takeBack: () => given-- > 0,
        takeBackAll: () => {},
        settle: () => {},
      },
      interrupt: new RecordedLine(),
      log: () => {
        failures++;
      },
      targetPages: () => seed % 100,
      statisticsRequest: () => seed % 2,
      driverIs: () => {},
      actualIs: () => {},
      statisticsAre: () => {},
    },
  );
  balloon.reset();
  balloon.assign(0xfd000000, 10);
  const driver = new TestDriver(balloon.target, memory, queuesAt);
  for (let round = 0; round < 40; round++) {
    if (round % 8 === 0) {
      driver.negotiate(random.of([32], [32, 28], [32, 28, 29, 1, 5], [32, 29, 1, 5, 4]));
      for (let i = 0; i < 4; i++)
        new TestDriver(balloon.target, memory, queuesAt + 0x3000 * i).queue(i, random.of(8, 128));
      driver.ready();
    }
    fillQueues(random, driver);
    for (let i = 0; i < 8; i++) act(random, driver);
    balloon.poll();
  }
  return failures;
}

/** Descriptors and rings of all queues, mostly plausible ones. */
function fillQueues(random: Random, driver: TestDriver): void {
  for (let queue = 0; queue < 4; queue++) {
    const descriptors = queuesAt + 0x3000 * queue;
    for (const table of [descriptors, 0x8000]) {
      for (let i = 0; i < 128; i++) {
        driver.describe(table, i, {
          gpa: random.of(random.below(ramBytes), 0x8000, descriptors, ramBytes - 2, 2 ** 40, 2 ** 64 - 4096),
          length: random.of(0, 16, 256, 4096, random.below(0x10000), ramBytes, 0xffffffff),
          flags: random.of(0, 1, 1, 1, 2, 3, 4, random.below(8), random.below(0x10000)),
          next: random.of(random.below(8), random.below(128), i + 1, random.below(0x10000)),
        });
      }
    }
    const ring = descriptors + 0x1000;
    driver.view.setUint16(ring, random.below(4), true);
    driver.view.setUint16(
      ring + 2,
      driver.view.getUint16(ring + 2, true) + random.of(0, 1, 2, 8, random.below(0x10000)),
      true,
    );
    for (let i = 0; i < 128; i++)
      driver.view.setUint16(ring + 4 + 2 * i, random.of(i, random.below(8), random.below(0x10000)), true);
  }
}

function act(random: Random, driver: TestDriver): void {
  const { target, bar } = driver;
  const size = random.of(1, 2, 4);
  const value = random.of(0, 1, 0xf, 0xff, random.below(2 ** 32));
  const offset = random.of(random.below(64), region.device + random.below(24), random.below(region.end), 20);
  switch (random.below(8)) {
    case 0:
      bar.writeMmio(offset - (offset % size), size, value);
      return;
    case 1:
      expect(bar.readMmio(offset - (offset % size), size)).toBeGreaterThanOrEqual(0);
      return;
    case 2:
      target.writeConfig(0x40 + 4 * random.below(48), size === 1 ? 1 : 4, value);
      return;
    case 3:
      target.readConfig(4 * random.below(64), 4);
      return;
    default:
      driver.notify(random.below(5));
  }
}

describe('a hostile virtio driver', () => {
  it('cannot hang the machine, make it throw, or have it write outside of RAM', () => {
    let failures = 0;
    for (let seed = 1; seed <= 150; seed++) failures += lifeOf(seed);
    // The device did notice.
    expect(failures).toBeGreaterThan(100);
  });
});
