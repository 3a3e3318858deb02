import { existsSync, readFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { parseCase } from './cases.ts';
import { runCase } from './runner.ts';
import { AVAILABLE_TIERS, createCaseMachine } from './tiers.ts';

const CORE = new URL('../../../build/core/core.wasm', import.meta.url);
const UNKNOWN_OPCODE = 1;

describe.each(AVAILABLE_TIERS)('the core on the %s tier', (tier) => {
  let core: WebAssembly.Module;
  beforeAll(async () => {
    if (!existsSync(CORE)) throw new Error('there is no build/core/core.wasm: run `npm run build:core` first');
    core = await WebAssembly.compile(readFileSync(CORE));
  });

  const undefinedCode = (regs: object, code: string, mode: string) =>
    parseCase(
      JSON.stringify({ mode, regs, mem: [[0x1ffc, code]], end: { steps: 1 }, expect: { exception: { vector: 6 } } }),
    );

  it.each([
    ['protected32', { eip: 0x1ffc }, '0f0a90f4', 0xf4900a0fn, 0x1ffcn],
    ['real', { cs: 0x100, ip: 0xffc }, '0f0a90f41122334455', 0xf4900a0fn, 0xffcn],
  ])(
    'raises #UD for an opcode that is not there and logs its bytes, those in its page: %s',
    (mode, regs, code, a, b) => {
      const lines: unknown[] = [];
      const machine = createCaseMachine(tier, core, () => [0, 0, 0, 0], { log: (...line) => lines.push(line) });
      expect(runCase(machine, undefinedCode(regs, code, mode))).toEqual([]);
      expect(lines.map((line) => (line as bigint[]).map((v) => BigInt(v)))).toEqual([[BigInt(UNKNOWN_OPCODE), a, b]]);
    },
  );
});
