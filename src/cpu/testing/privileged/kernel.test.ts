/** Runs kernel.S, in slices of several lengths: the same output and the same number of instructions each time. */
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { exitReason } from '../../status.ts';
import { Vcpu } from '../../state.ts';

const core = new URL('../../../../build/core/core.wasm', import.meta.url);
const at = (name: string): URL => new URL(name, import.meta.url);

const layout = { cpu: 0x1_0000, frameTable: 0x2_0000, arena: 0x10_0000, arenaBytes: 32 << 20, frames: 64 << 20 };
const ramBytes = 16 << 20;
const kernelAt = 0x10_0000;
const entry = 0x10_0020n;
const model: Readonly<Record<number, readonly number[]>> = {
  0: [7, 0, 0, 0],
  1: [0x600, 0, 0, 0x0fcb_fbff],
  7: [0, 0x10_0081, 4, 0],
};

function run(
  slice: number,
  after: (vcpu: ReturnType<typeof Vcpu.at>) => void = () => undefined,
): { output: string; retired: bigint } {
  const memory = new WebAssembly.Memory({ initial: 2048, maximum: 65536, shared: true });
  const bytes = new Uint8Array(memory.buffer);
  const view = new DataView(memory.buffer);
  const vcpu = Vcpu.at(memory.buffer, layout.cpu);
  let output = '';
  const instance = new WebAssembly.Instance(new WebAssembly.Module(readFileSync(core)), {
    env: { memory },
    machine: {
      portRead: () => -1,
      portWrite: (port: number, _size: number, value: number) => {
        if (port === 0xe9) output += String.fromCharCode(value);
        if (port === 0xf4) vcpu.exitReason = exitReason.request;
      },
      mmioRead: () => -1,
      mmioWrite: () => undefined,
      msrRead: () => 0,
      msrWrite: () => 0,
      interruptAcknowledge: () => -1,
      cpuid: (leaf: number, _subleaf: number, result: number) => {
        for (let n = 0; n < 4; n++) view.setUint32(result + 4 * n, model[leaf]?.[n] ?? 0, true);
      },
      setTaskPriority: () => undefined,
      log: () => undefined,
    },
  });
  const exports = instance.exports as unknown as {
    attach(cpu: number): void;
    run(cpu: number, slice: number): number;
  };
  vcpu.arena = layout.arena;
  vcpu.arenaEnd = layout.arena + layout.arenaBytes;
  vcpu.frameTable = layout.frameTable;
  vcpu.frameCount = ramBytes >> 12;
  vcpu.framesBase = layout.frames;
  vcpu.frameBytes = ramBytes;
  for (let n = 0; n < vcpu.frameCount; n++) view.setUint32(layout.frameTable + 4 * n, layout.frames + n * 4096, true);
  bytes.set(gunzipSync(readFileSync(at('kernel.bin.gz'))), layout.frames + kernelAt);
  vcpu.eflags = 2;
  vcpu.cr0 = 0x11n;
  vcpu.rip = entry;
  vcpu.dr[6] = 0xffff_0ff0n;
  vcpu.dr[7] = 0x400n;
  vcpu.segSelector.set([16, 8, 16, 16, 16, 16]);
  vcpu.segLimit.fill(0xffff_ffff);
  vcpu.segAttributes.set([0xc93, 0xc9b, 0xc93, 0xc93, 0xc93, 0xc93, 0x1_0000, 0x8b]);
  exports.attach(layout.cpu);
  let reason: number = exitReason.budget;
  for (let n = 0; n < 100_000 && reason === exitReason.budget; n++) {
    reason = exports.run(layout.cpu, slice);
    after(vcpu);
  }
  expect(reason).toBe(exitReason.request);
  return { output, retired: vcpu.retired };
}

// The core is built by `npm run build:core`, which `npm test` does first.
describe('privileged instructions', () => {
  const expected = readFileSync(at('expected.txt'), 'utf8');
  const whole = 100_000;

  it('notes in the vCPU whenever user code runs', () => {
    let user = 0;
    run(1, (vcpu) => {
      if (vcpu.cpl !== 3) vcpu.userRan = 0;
      else if (vcpu.userRan === 1) user++;
      else throw new Error(`user code at ${vcpu.rip.toString(16)} was not noted`);
    });
    expect(user).toBeGreaterThan(20);
  });

  it('prints what the manual says', () => {
    expect(run(whole).output.replaceAll('E', '\nE')).toBe(expected);
  });

  it.each([1, 7, 1000])('does not depend on slices: %d instructions', (slice) => {
    expect(run(slice)).toEqual(run(whole));
  });
});
