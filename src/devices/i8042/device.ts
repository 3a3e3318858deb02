/**
 * Keyboard controller with a keyboard that answers its commands (no keys are pressed here yet) and an empty aux port.
 * It resets the machine (FEh) and drives A20, which this machine holds enabled always: the state is kept and read
 * back, and no address is masked.
 */
import { floating, type InterruptLine, type IoResult, type PortIo, type Resettable } from '../capabilities.ts';
import * as r from './registers.ts';
import { I8042State } from './state.ts';

export interface I8042Wires {
  /** IRQ 1. */
  readonly keyboardLine: InterruptLine;
  /** IRQ 12. */
  readonly auxLine: InterruptLine;
  resetMachine(): void;
}

/** Offsets of the two ports in one range of five: 60h and 64h. */
const dataPort = 0;
const commandPort = 4;

export class I8042 implements PortIo, Resettable {
  readonly #s: ReturnType<typeof I8042State.at>;
  readonly #wires: I8042Wires;
  /** Port 60h and port 64h, as the bus knows them. */
  readonly data: PortIo;
  readonly command: PortIo;

  constructor(buffer: ArrayBufferLike, address: number, wires: I8042Wires) {
    this.#s = I8042State.at(buffer, address);
    this.#wires = wires;
    this.data = this.#portAt(dataPort);
    this.command = this.#portAt(commandPort);
  }

  #portAt(offset: number): PortIo {
    return {
      readPort: (_offset, size) => this.readPort(offset, size),
      writePort: (_offset, size, value) => {
        this.writePort(offset, size, value);
      },
    };
  }

  reset(): void {
    const s = this.#s;
    s.configuration = r.configuration.system | r.configuration.keyboardInterrupt | r.configuration.translate;
    s.outputPort = r.outputPort.notReset | r.outputPort.a20 | 0xcc;
    s.pendingCommand = 0;
    s.keyboardPending = 0;
    s.keyboardEnabled = 1;
    s.status = r.status.system | r.status.unlocked;
    s.queueHead = 0;
    s.queueCount = 0;
    this.#updateLines();
  }

  /** State of the A20 gate as the guest set it. */
  get a20(): boolean {
    return (this.#s.outputPort & r.outputPort.a20) !== 0;
  }

  setA20(enabled: boolean): void {
    if (enabled) this.#s.outputPort |= r.outputPort.a20;
    else this.#s.outputPort &= ~r.outputPort.a20;
  }

  readPort(offset: number, size: number): IoResult {
    if (size !== 1) return floating;
    const s = this.#s;
    if (offset === commandPort) {
      if (s.queueCount === 0) return s.status;
      return s.status | r.status.outputFull | (s.queueAux[s.queueHead] ? r.status.aux : 0);
    }
    const value = s.queue[s.queueHead] ?? 0;
    if (s.queueCount > 0) {
      s.queueCount--;
      // An empty controller goes on showing the last byte.
      if (s.queueCount > 0) s.queueHead = (s.queueHead + 1) & 15;
      this.#updateLines();
    }
    return value;
  }

  writePort(offset: number, size: number, value: number): void {
    if (size !== 1) return;
    const s = this.#s;
    if (offset === commandPort) {
      s.status |= r.status.command;
      this.#command(value & 0xff);
    } else {
      s.status &= ~r.status.command;
      const pending = s.pendingCommand;
      s.pendingCommand = 0;
      if (pending === 0) this.#toKeyboard(value & 0xff);
      else this.#argument(pending, value & 0xff);
    }
    this.#updateLines();
  }

  #push(value: number, aux = 0): void {
    const s = this.#s;
    if (s.queueCount === 16) return;
    // With an empty queue the head may still show the last byte that was read.
    if (s.queueCount === 0) s.queueHead = (s.queueHead + 1) & 15;
    const at = (s.queueHead + s.queueCount) & 15;
    s.queue[at] = value;
    s.queueAux[at] = aux;
    s.queueCount++;
  }

  #command(value: number): void {
    const s = this.#s;
    switch (value) {
      case r.command.readConfiguration:
        this.#push(s.configuration);
        return;
      case r.command.writeConfiguration:
      case r.command.writeOutput:
      case r.command.loopKeyboard:
      case r.command.loopAux:
      case r.command.writeAux:
        s.pendingCommand = value;
        return;
      case r.command.disableAux:
        s.configuration |= r.configuration.auxDisabled;
        return;
      case r.command.enableAux:
        s.configuration &= ~r.configuration.auxDisabled;
        return;
      case r.command.testAux:
      case r.command.testKeyboard:
        this.#push(0);
        return;
      case r.command.selfTest:
        s.status |= r.status.system;
        this.#push(0x55);
        return;
      case r.command.disableKeyboard:
        s.configuration |= r.configuration.keyboardDisabled;
        return;
      case r.command.enableKeyboard:
        s.configuration &= ~r.configuration.keyboardDisabled;
        return;
      case r.command.readInput:
        this.#push(0x80);
        return;
      case r.command.readOutput:
        this.#push(s.outputPort | (s.queueCount > 0 ? r.outputPort.keyboardFull : 0));
        return;
    }
    if (value >= r.command.pulseFirst && (value & 1) === 0) this.#wires.resetMachine();
  }

  #argument(command: number, value: number): void {
    const s = this.#s;
    switch (command) {
      case r.command.writeConfiguration:
        s.configuration = value;
        return;
      case r.command.writeOutput:
        s.outputPort = value;
        if ((value & r.outputPort.notReset) === 0) this.#wires.resetMachine();
        return;
      case r.command.loopKeyboard:
        this.#push(value);
        return;
      case r.command.loopAux:
        this.#push(value, 1);
        return;
      case r.command.writeAux:
        // No device there: the controller reports a time-out.
        this.#push(r.keyboard.resend, 1);
    }
  }

  #toKeyboard(value: number): void {
    const s = this.#s;
    const pending = s.keyboardPending;
    s.keyboardPending = 0;
    if (pending !== 0) {
      this.#push(r.keyboard.acknowledge);
      if (pending === r.keyboard.scanCodeSet && value === 0) this.#push(2);
      return;
    }
    switch (value) {
      case r.keyboard.setLeds:
      case r.keyboard.setRate:
      case r.keyboard.scanCodeSet:
        s.keyboardPending = value;
        this.#push(r.keyboard.acknowledge);
        return;
      case r.keyboard.echo:
        this.#push(r.keyboard.echo);
        return;
      case r.keyboard.identify:
        this.#push(r.keyboard.acknowledge);
        this.#push(0xab);
        // The translating controller turns 83h into 41h.
        this.#push((s.configuration & r.configuration.translate) !== 0 ? 0x41 : 0x83);
        return;
      case r.keyboard.enable:
      case r.keyboard.disable:
      case r.keyboard.defaults:
        s.keyboardEnabled = value === r.keyboard.disable ? 0 : 1;
        this.#push(r.keyboard.acknowledge);
        return;
      case r.keyboard.reset:
        s.keyboardEnabled = 1;
        this.#push(r.keyboard.acknowledge);
        this.#push(r.keyboard.passed);
        return;
      default:
        this.#push(r.keyboard.resend);
    }
  }

  #updateLines(): void {
    const s = this.#s;
    const full = s.queueCount > 0;
    const aux = full && s.queueAux[s.queueHead] !== 0;
    const keyboard = full && !aux && (s.configuration & r.configuration.keyboardInterrupt) !== 0;
    this.#wires.keyboardLine.set(keyboard ? 1 : 0);
    this.#wires.auxLine.set(aux && (s.configuration & r.configuration.auxInterrupt) !== 0 ? 1 : 0);
  }
}
