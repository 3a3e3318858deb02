/**
 * The memory balloon (virtio 1.2 §5.5): the host asks for pages, the guest's driver gives them up or takes them back.
 *
 * - Target and requests for statistics stand in words outside of the device ({@link BalloonWires}); {@link
 *   VirtioBalloon.poll} looks at them when somebody rang.
 * - Inflating empties the pages at once; deflating only gives them back, empty. So does a reset of the device by the
 *   driver, which has forgotten them.
 * - A statistics buffer stays in its queue until it is asked for: taking it is what makes the driver send a new one.
 * - Pages that are reported as free are emptied and stay the guest's, which may use them again without a word. Where the
 *   driver fills free pages with a value that is not 0 it must find that value again (§5.5.6.8): they are left alone.
 */
import type { GivenPages, Resettable } from '../capabilities.ts';
import type { PciTarget } from '../pci-function/device.ts';
import { VirtioPci, type VirtioType, type VirtioWires } from '../virtio/device.ts';
import type { Chain, VirtQueue } from '../virtio/queue.ts';
import { virtioPciState } from '../virtio/state.ts';
import * as r from './registers.ts';
import { BalloonConfiguration, VirtioBalloonState } from './state.ts';

export interface BalloonOptions {
  /** The driver may take pages back when the guest runs out of memory. */
  readonly deflateOnOom: boolean;
  readonly freePageReporting: boolean;
}

/** What the driver is to the outside. */
export type BalloonDriver = 'absent' | 'ready' | 'failed';

export interface BalloonWires extends VirtioWires {
  readonly pages: GivenPages;
  /** Pages that are wanted in the balloon. */
  targetPages(): number;
  /** Changes with each request for statistics. */
  statisticsRequest(): number;
  driverIs(driver: BalloonDriver): void;
  actualIs(pages: number): void;
  /** Statistics by tag (§5.5.6.4). */
  statisticsAre(values: readonly (readonly [tag: number, value: number])[]): void;
}

/** What the device needs in the guest's memory, one behind the other. */
export const balloonState = {
  name: 'VirtioBalloon',
  size: VirtioBalloonState.size + virtioPciState(r.queueCount).size,
} as const;

export class VirtioBalloon implements VirtioType, Resettable {
  readonly id = r.deviceType;
  readonly classCode = r.classCode;
  readonly features: readonly number[];
  readonly queueSizes = Array.from({ length: r.queueCount }, () => r.queueSize);
  readonly configBytes = BalloonConfiguration.size;
  readonly #s: ReturnType<typeof VirtioBalloonState.at>;
  readonly #wires: BalloonWires;
  readonly #transport: VirtioPci;

  constructor(buffer: ArrayBufferLike, address: number, options: BalloonOptions, wires: BalloonWires) {
    this.#s = VirtioBalloonState.at(buffer, address);
    this.#wires = wires;
    const { statistics, pagePoison, deflateOnOom, reporting } = r.feature;
    this.features = [
      statistics,
      pagePoison,
      ...(options.deflateOnOom ? [deflateOnOom] : []),
      ...(options.freePageReporting ? [reporting] : []),
    ];
    this.#transport = new VirtioPci(buffer, address + VirtioBalloonState.size, this, wires);
  }

  get target(): PciTarget {
    return this.#transport.target;
  }

  assign(gpa: number, interruptLine: number): void {
    this.#transport.assign(gpa, interruptLine);
  }

  reset(): void {
    this.#transport.reset();
    this.#s.numPages = this.#wires.targetPages();
    this.#s.statisticsServed = this.#wires.statisticsRequest();
  }

  /** Somebody rang: there may be another target, or a request for statistics. */
  poll(): void {
    const s = this.#s;
    const target = this.#wires.targetPages();
    if (target !== s.numPages) {
      s.numPages = target;
      this.#transport.configChanged();
    }
    if (this.#wires.statisticsRequest() !== s.statisticsServed) this.#askForStatistics();
  }

  // What the transport asks.

  readConfig(offset: number, size: number): number {
    const s = this.#s;
    const view = new DataView(new ArrayBuffer(this.configBytes));
    const { offsets } = BalloonConfiguration;
    view.setUint32(offsets.numPages, s.numPages, true);
    view.setUint32(offsets.actual, s.actual, true);
    view.setUint32(offsets.poisonValue, s.poisonValue, true);
    return size === 1
      ? view.getUint8(offset)
      : size === 2
        ? view.getUint16(offset, true)
        : view.getUint32(offset, true);
  }

  writeConfig(offset: number, size: number, value: number): void {
    if (size !== 4) return;
    const { offsets } = BalloonConfiguration;
    if (offset === offsets.actual) {
      this.#s.actual = value;
      this.#wires.actualIs(value);
    } else if (offset === offsets.poisonValue) {
      this.#s.poisonValue = value;
    }
  }

  started(): void {
    this.#wires.driverIs('ready');
    for (let queue = 0; queue < r.queueCount; queue++) this.notified(queue);
  }

  failed(): void {
    this.#wires.driverIs('failed');
  }

  driverReset(): void {
    const s = this.#s;
    if (s.held > 0) this.#wires.pages.takeBackAll();
    s.held = 0;
    s.actual = 0;
    s.poisonValue = 0;
    this.#wires.actualIs(0);
    this.#wires.driverIs('absent');
  }

  notified(index: number): void {
    const queue = this.#transport.queues[index];
    if (queue === undefined) return;
    if (index === r.inflateQueue)
      this.#serve(queue, (chain) => this.#list(queue, chain, (page) => this.#inflate(page)));
    else if (index === r.deflateQueue) {
      this.#serve(queue, (chain) => this.#list(queue, chain, (page) => this.#deflate(page)));
    } else if (queue === this.#statisticsQueue) this.#readStatistics(queue);
    else if (queue === this.#reportingQueue) this.#serveReports(queue);
  }

  /** Queues behind the first two have no number of their own: those that were negotiated follow each other (§5.5.2). */
  get #statisticsQueue(): VirtQueue | undefined {
    return this.#transport.hasFeature(r.feature.statistics) ? this.#transport.queues[2] : undefined;
  }

  get #reportingQueue(): VirtQueue | undefined {
    if (!this.#transport.hasFeature(r.feature.reporting)) return undefined;
    return this.#transport.queues[this.#statisticsQueue === undefined ? 2 : 3];
  }

  // Inflating and deflating.

  /** Does all requests of a queue; `act` says whether the driver kept to the rules. */
  #serve(queue: VirtQueue, act: (chain: Chain) => boolean): void {
    let served = 0;
    for (let chain = queue.take(); chain !== undefined && act(chain); chain = queue.take()) {
      queue.give(chain, 0);
      served++;
    }
    if (served === 0) return;
    this.#wires.pages.settle();
    this.#transport.interrupt(queue);
  }

  #list(queue: VirtQueue, chain: Chain, act: (page: number) => void): boolean {
    const bytes = queue.read(chain, r.longestList);
    if (bytes === undefined) return false;
    const view = new DataView(bytes.buffer);
    for (let at = 0; at + r.pageNumberBytes <= bytes.length; at += r.pageNumberBytes) act(view.getUint32(at, true));
    return true;
  }

  /** Pages without RAM are none of the guest's to give; what is in the balloon already stays there. */
  #inflate(page: number): void {
    if (this.#wires.pages.giveUp(page, 'ballooned')) this.#s.held++;
  }

  #deflate(page: number): void {
    if (this.#wires.pages.takeBack(page)) this.#s.held--;
  }

  // Free-page reporting.

  #serveReports(queue: VirtQueue): void {
    // A driver reports a free page once. One that does so over and over must not hold the machine up.
    let left = 2 * this.#wires.pages.ramPages;
    const keep = this.#transport.hasFeature(r.feature.pagePoison) && this.#s.poisonValue !== 0;
    this.#serve(queue, (chain) => {
      for (const { gpa, length } of keep ? [] : chain.writable) {
        const end = Math.floor((gpa + length) / r.pageBytes);
        for (let page = Math.ceil(gpa / r.pageBytes); page < end && left > 0; page++, left--) {
          this.#wires.pages.giveUp(page, 'reported');
        }
      }
      return true;
    });
  }

  // Statistics.

  /** Reads the buffer that the driver has filled, and leaves it in the queue. */
  #readStatistics(queue: VirtQueue): void {
    const chain = queue.peek();
    const bytes = chain && queue.read(chain, r.longestStatistics);
    if (bytes === undefined) return;
    this.#wires.statisticsAre(statisticsOf(bytes));
    this.#s.statisticsServed = this.#wires.statisticsRequest();
  }

  /** Gives the buffer back, for the driver to fill; where it is not there, it is on its way with what is asked for. */
  #askForStatistics(): void {
    const queue = this.#statisticsQueue;
    const chain = queue?.take();
    if (queue === undefined || chain === undefined) return;
    this.#s.statisticsServed = this.#wires.statisticsRequest();
    queue.give(chain, 0);
    this.#transport.interrupt(queue);
  }
}

function statisticsOf(bytes: Uint8Array): (readonly [number, number])[] {
  const view = new DataView(bytes.buffer);
  const values: (readonly [number, number])[] = [];
  for (let at = 0; at + r.statisticBytes <= bytes.length; at += r.statisticBytes) {
    values.push([view.getUint16(at, true), Number(view.getBigUint64(at + r.statisticValueOffset, true))]);
  }
  return values;
}
