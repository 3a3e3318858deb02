/** Compiled code that checks itself: what breaks an invariant ends with a message, and sound code is not disturbed. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { Entry } from '../arena.ts';
import { pseudoForm } from '../isa/compile.ts';
import { Record } from '../record.ts';
import { Vcpu } from '../state.ts';
import { parseCase } from './cases.ts';
import { createCoreMachine } from './core-machine.ts';

const core = new URL('../../../build/core/core.wasm', import.meta.url);
const module = new WebAssembly.Module(readFileSync(core));

describe('invariants of compiled code', () => {
  const machine = createCoreMachine('jit', module, () => [0, 0, 0, 0], { debugCompiled: true });
  const vcpu = Vcpu.at(machine.buffer, machine.cpu);
  const start = (): void => {
    // MOV ECX, 3; again: ADD EAX, 5; DEC ECX; JNZ again; HLT
    const mem = [[0x1000, 'b90300000083c0054975faf4']];
    const line = { mode: 'protected32', regs: { eip: 0x1000 }, mem, zero: [[0, 0x10000]], end: 'hlt', expect: {} };
    machine.load(parseCase(JSON.stringify(line)));
  };
  const run = (): unknown => machine.run({ kind: 'hlt' }, { maxInstructions: 1000, stopAtException: false });
  /** Runs what is compiled once more. */
  const runAgain = (): unknown => {
    vcpu.halted = 0;
    vcpu.rip = 0x1000n;
    return run();
  };

  it('hold for sound code', () => {
    start();
    expect(run()).toEqual({ kind: 'ended' });
    expect(machine.readReg('eax')).toBe(15n);
    expect(runAgain()).toEqual({ kind: 'ended' });
    expect(machine.readReg('eax')).toBe(30n);
  });

  it('a register of 32-bit code with an upper half', () => {
    start();
    run();
    vcpu.gpr[3] = 0x1_0000_0000n;
    expect(runAgain).toThrow('before the instruction at 0h of its page: a register of 32-bit code has an upper half');
  });

  it('a record that has gone while its region is entered', () => {
    start();
    run();
    vcpu.rip = 0x1000n;
    const entry = Number(machine.call('lookup', machine.cpu)) >>> 0;
    const view = new DataView(machine.buffer);
    expect(view.getUint16(entry + Entry.offsets.form, true)).toBe(pseudoForm.compiled);
    const record = view.getUint32(entry + Entry.offsets.record, true);
    view.setUint16(record + Record.offsets.form, pseudoForm.stale, true);
    expect(runAgain).toThrow('the record that the block was compiled from has gone');
  });
});
