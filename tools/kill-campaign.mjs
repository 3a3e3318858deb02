/**
 * `npm run kill-campaign [-- --trials 200] [--mode hosted|bare-metal] [--seed 1]`: kills executors at random moments under
 * a guest, in Chromium; needs `npm run build` before. See `e2e/random-kills.spec.ts`.
 */
import { spawnSync } from 'node:child_process';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: {
    trials: { type: 'string', default: '200' },
    mode: { type: 'string', default: 'hosted' },
    seed: { type: 'string', default: '1' },
  },
});
if (!['hosted', 'bare-metal'].includes(values.mode) || !(Number(values.trials) > 0) || !(Number(values.seed) > 0)) {
  console.error('kill-campaign: --trials and --seed are numbers above 0, --mode is hosted or bare-metal.');
  process.exit(2);
}
const { status } = spawnSync('npx', ['playwright', 'test', 'e2e/random-kills.spec.ts', '--grep', `, ${values.mode}:`], {
  stdio: 'inherit',
  shell: process.platform === 'win32',
  env: { ...process.env, TABVISOR_KILLS: values.trials, TABVISOR_SEED: values.seed },
});
process.exit(status ?? 1);
