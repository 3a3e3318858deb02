/** The small ports of the chipset: 92h (fast reset, A20), CF9h (reset), 80h (POST), and QEMU's isa-debug-exit. */
import type { PortIo, Resettable } from '../capabilities.ts';
import { port92, resetControl } from './registers.ts';
import { SystemControlState } from './state.ts';

export interface SystemControlWires {
  resetMachine(): void;
  setA20(enabled: boolean): void;
}

export class SystemControl implements Resettable {
  readonly #s: ReturnType<typeof SystemControlState.at>;
  readonly port92: PortIo;
  readonly resetControl: PortIo;
  readonly post: PortIo;

  constructor(buffer: ArrayBufferLike, address: number, wires: SystemControlWires) {
    const s = SystemControlState.at(buffer, address);
    this.#s = s;
    this.port92 = {
      readPort: () => s.port92,
      writePort: (_offset, _size, value) => {
        const rising = value & ~s.port92 & port92.fastReset;
        s.port92 = value & 0xff;
        wires.setA20((value & port92.a20) !== 0);
        if (rising !== 0) wires.resetMachine();
      },
    };
    this.resetControl = {
      readPort: () => s.resetControl,
      writePort: (_offset, _size, value) => {
        s.resetControl = value & resetControl.hard;
        if ((value & resetControl.go) !== 0) wires.resetMachine();
      },
    };
    this.post = {
      readPort: () => s.post,
      writePort: (_offset, _size, value) => {
        s.post = value & 0xff;
      },
    };
  }

  reset(): void {
    this.#s.port92 = port92.a20;
    this.#s.resetControl = 0;
    this.#s.post = 0;
  }
}

/** QEMU's isa-debug-exit: a write of `value` ends the machine with exit code `(value << 1) | 1`. */
export function debugExit(exit: (code: number) => void): PortIo {
  return {
    readPort: () => 0,
    writePort: (_offset, _size, value) => {
      exit(((value << 1) | 1) & 0xff);
    },
  };
}
