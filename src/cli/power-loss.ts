/**
 * A campaign of lost power: random histories of a disk, each of which loses any subset of what was not strictly committed.
 *
 *     npm run power-loss -- [--count N] [--from SEED]
 *
 * Exit code 1 and the seed where something that was flushed is gone. `npm test` has 400 of them.
 */
import { parseArgs } from 'node:util';
import { survives } from '../storage/testing/power-loss.ts';

const { values } = parseArgs({
  options: { count: { type: 'string', default: '100000' }, from: { type: 'string', default: '1' } },
});
const [first, count] = [Number(values.from), Number(values.count)];
const started = performance.now();
try {
  for (let seed = first; seed < first + count; seed++) await survives(seed);
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  process.stdout.write(`${count} histories from seed ${first}: nothing that was flushed is lost (${seconds} s)\n`);
} catch (error) {
  process.stdout.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
}
