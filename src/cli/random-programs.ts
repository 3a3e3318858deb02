/**
 * Random integer programs of a seed, recorded from this machine's processor and run whole on interpreter and compiler:
 *
 *     npm run --silent random-programs -- [--seed TEXT] [--count N]
 *
 * Needs what the oracle needs (`src/cpu/testing/oracle/README.md`). Exits 0 only if nothing differs.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { parseCase } from '../cpu/testing/cases.ts';
import type { CpuCase } from '../cpu/testing/cases.ts';
import { NativeHarness } from '../cpu/testing/oracle/native.ts';
import { programDrafts } from '../cpu/testing/oracle/programs.ts';
import { recordCase } from '../cpu/testing/oracle/record.ts';
import { describeFailure, runCase } from '../cpu/testing/runner.ts';
import { createCaseMachine } from '../cpu/testing/tiers.ts';

/** The case with a HLT behind its code, so that it runs through the run loop in whole blocks. */
function whole(c: CpuCase): CpuCase {
  if (c.end.kind !== 'rip') return c;
  const { address } = c.end;
  const name = c.mode === 'long64' ? 'rip' : 'eip';
  const halt = { address: Number(address), bytes: Uint8Array.of(0xf4) };
  const regs = { ...c.expect.regs, [name]: address + 1n };
  return { ...c, end: { kind: 'hlt' }, mem: [...c.mem, halt], expect: { ...c.expect, regs } };
}

const { values } = parseArgs({
  options: { seed: { type: 'string', default: 'campaign' }, count: { type: 'string', default: '2400' } },
});
const drafts = programDrafts(values.seed);
const count = Number(values.count);
if (!Number.isInteger(count) || count < 1 || count > drafts.length) {
  process.stderr.write(`random-programs: --count is a number from 1 to ${drafts.length}, not ${values.count}\n`);
  process.exit(2);
}
// Spread evenly, so that both widths are among few.
const chosen = Array.from({ length: count }, (_, n) => drafts[Math.floor((n * drafts.length) / count)]).filter(
  (draft) => draft !== undefined,
);
const module = new WebAssembly.Module(readFileSync(new URL('../../build/core/core.wasm', import.meta.url)));
const tiers = (['interpreter', 'jit'] as const).map((tier) => ({
  tier,
  machine: createCaseMachine(tier, module, () => [0, 0, 0, 0]),
}));
const harness = new NativeHarness(fileURLToPath(new URL('../cpu/testing/oracle/harness.c', import.meta.url)));
let failed = 0;
try {
  for (const bits of [32, 64] as const) {
    const mine = chosen.filter(({ draft }) => draft.bits === bits);
    const results = harness.run(
      bits,
      mine.map(({ draft }) => draft),
    );
    mine.forEach(({ name, draft }, n) => {
      const result = results[n];
      if (!result) throw new Error(`no result for ${name}`);
      const c = whole(parseCase(recordCase(name, name, draft, result)));
      for (const { tier, machine } of tiers) {
        const differences = runCase(machine, c);
        if (differences.length === 0) continue;
        failed++;
        process.stdout.write(`[${tier}] seed ${values.seed}: ${describeFailure(c, differences)}\n`);
      }
    });
  }
} finally {
  harness.dispose();
}
process.stdout.write(`${chosen.length} programs on host, interpreter and compiler, ${failed} differences\n`);
process.exitCode = failed === 0 ? 0 : 1;
