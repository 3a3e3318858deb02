/** What the compiler makes of a snippet, as text. Nothing runs: the core decodes it, and the compiler plans and writes. */
import { readFileSync } from 'node:fs';
import { createDisassembler } from '../../isa/disassembler.ts';
import { instructionTable } from '../../isa/table.ts';
import { DecodedCode } from '../../jit/decoded-code.ts';
import { formTable } from '../../jit/form-table.ts';
import { listRegion } from '../../jit/listing.ts';

import { Vcpu } from '../../state.ts';
import { parseCase } from '../cases.ts';
import { createCoreMachine } from '../core-machine.ts';
import type { Snippet } from './snippets.ts';

const core = new URL('../../../../build/core/core.wasm', import.meta.url);
const start = 0x1000;
/** The kind of access that `translate` of the core is asked for. */
const fetch = 2;
const instructionPointer = { real: 'ip', protected32: 'eip', long64: 'rip' } as const;

/** A function that gives the text of a snippet: its code as the assembler writes it, then `listRegion`. */
export function createEmitter(): (snippet: Snippet) => string {
  const module = new WebAssembly.Module(readFileSync(core));
  const machine = createCoreMachine('interpreter', module, () => [0, 0, 0, 0]);
  const { buffer, cpu } = machine;
  const table = formTable(module);
  const disassemble = createDisassembler(instructionTable);
  return (snippet) => {
    const { mode, instructions } = snippet;
    const code = instructions.map(({ bytes }) => bytes.map((b) => b.toString(16).padStart(2, '0')).join('')).join('');
    const regs = { [instructionPointer[mode]]: start };
    const line = { mode, regs, mem: [[start, code]], zero: [[0, 0x2000]], end: 'hlt', expect: {} };
    machine.load(parseCase(JSON.stringify(line)));
    const vcpu = Vcpu.at(buffer, cpu);
    let at = start;
    for (const { bytes } of instructions) {
      vcpu.rip = BigInt(at);
      machine.call('lookup', cpu);
      at += bytes.length;
    }
    for (const [from, to] of snippet.jumps) {
      vcpu.rip = BigInt(from);
      const site = machine.call('lookup', cpu) ?? 0;
      vcpu.rip = BigInt(to);
      machine.call('lookup', cpu);
      machine.call('noteJump', cpu, site, BigInt(to));
    }
    const host = Number(machine.call('translate', cpu, BigInt(start), fetch)) >>> 0;
    const decoded = new DecodedCode(buffer, cpu, table);
    const plan = decoded.plan(host, vcpu.modeKey, { instructions: 1000 }, BigInt(start), false);
    if (!plan) throw new Error(`${snippet.name}: nothing was decoded`);
    const ripBase = BigInt(start);
    const text = listRegion(plan, { bytes: new Uint8Array(buffer), ripBase, disassemble });
    return `${instructions.map((i) => `${i.text}\n`).join('')}\n${text}`;
  };
}
