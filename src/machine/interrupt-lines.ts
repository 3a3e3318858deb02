/**
 * Interrupt lines as a PC has them: global line n (GSI) drives input n of the 8259 pair and pin n of the I/O APIC
 * alike; line 0 (the PIT) comes to pin 2, where the 8259 cascade leaves a free place. Lines 16–23 (PCI) go to pins of
 * their own, and to 8259 inputs 10 and 11 for systems that know no I/O APIC. A line that several devices share is
 * asserted while any of them asserts it; who does so is in guest memory.
 */
import { array, struct } from '../base/struct.ts';
import type { InterruptLine } from '../devices/capabilities.ts';
import type { IoApic } from '../devices/io-apic/device.ts';
import type { PicPair } from '../devices/pic-8259/device.ts';

export const lineCount = 24;

/** Inputs of the 8259s that PCI's lines go to, for systems that know no I/O APIC. */
export const pciLegacyIrqs = [10, 11] as const;

export function legacyIrq(gsi: number): number {
  return pciLegacyIrqs[gsi & 1] ?? gsi;
}

export const InterruptLinesState = struct('InterruptLines', 1, {
  /** For each line, a bit for each source that asserts it. */
  sources: array('u32', 24),
});

export class InterruptLines {
  readonly #s: ReturnType<typeof InterruptLinesState.at>;
  readonly #pic: PicPair;
  readonly #ioApic: IoApic;
  /** Sources wired to each line so far: the next one's bit. */
  readonly #wired = new Uint8Array(lineCount);

  constructor(buffer: ArrayBufferLike, address: number, pic: PicPair, ioApic: IoApic) {
    this.#s = InterruptLinesState.at(buffer, address);
    this.#pic = pic;
    this.#ioApic = ioApic;
  }

  reset(): void {
    this.#s.sources.fill(0);
  }

  /** A new source on line `gsi`. Sources are told apart by the order of wiring, which must not change. */
  connect(gsi: number): InterruptLine {
    const bit = 1 << (this.#wired[gsi] ?? 0);
    this.#wired[gsi] = (this.#wired[gsi] ?? 0) + 1;
    return {
      set: (level) => {
        const before = this.#s.sources[gsi] ?? 0;
        const after = level === 0 ? before & ~bit : before | bit;
        if (after === before) return;
        this.#s.sources[gsi] = after;
        if ((before !== 0) !== (after !== 0)) this.#drive(gsi, after !== 0 ? 1 : 0);
      },
    };
  }

  #drive(gsi: number, level: number): void {
    this.#ioApic.setPin(gsi === 0 ? 2 : gsi, level);
    if (gsi < 16) this.#pic.setLine(gsi, level);
    else this.#pic.setLine(legacyIrq(gsi), this.#anyPci(gsi & 1) ? 1 : 0);
  }

  #anyPci(parity: number): boolean {
    for (let gsi = 16 + parity; gsi < lineCount; gsi += 2) {
      if (this.#s.sources[gsi]) return true;
    }
    return false;
  }
}
