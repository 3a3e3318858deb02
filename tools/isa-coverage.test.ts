import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { COVERAGE_PAGE, coveragePage } from './isa-coverage.ts';

it('docs/isa-coverage.md is what `npm run isa-coverage` writes', async () => {
  expect(readFileSync(COVERAGE_PAGE, 'utf8')).toBe(await coveragePage());
}, 120_000);
