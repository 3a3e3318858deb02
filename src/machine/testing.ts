/** A guest for unit tests: memory laid out, machine made, host time set by hand. */
import { memoryMap } from './memory-map.ts';
import { layOutGuest, type MachineDefinition, Pc } from './pc.ts';

export interface TestMachine {
  readonly buffer: SharedArrayBuffer;
  readonly pc: Pc;
  readonly host: { now: number };
  readonly definition: MachineDefinition;
  /** Another executor's view of the same guest. */
  attach(): Pc;
}

export function testMachine(changes: Partial<MachineDefinition> = {}): TestMachine {
  const definition: MachineDefinition = {
    ramBytes: 32 << 20,
    clock: { mode: 'virtual', shift: 2 },
    cpuModel: 'tabvisor-v2',
    epochSeconds: 1_767_225_600,
    seed: 1n,
    generation: 2n,
    debugExitPort: 0xf4,
    ...changes,
  };
  const host = { now: 0 };
  const attachTo = (buffer: SharedArrayBuffer): Pc => new Pc(buffer, definition, { nowNs: () => host.now });
  const buffer = new SharedArrayBuffer(memoryMap(definition.ramBytes).totalBytes);
  layOutGuest(buffer, definition);
  const pc = attachTo(buffer);
  pc.powerOn();
  return { buffer, pc, host, definition, attach: () => attachTo(buffer) };
}
