/**
 * Emitted code beside golden files, so that a change of what the compiler writes shows in review.
 * `npm run bless-emitted-code` rewrites them: read the difference before it is committed.
 */
import { readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { createEmitter } from './emitted-code.ts';
import { snippets } from './snippets.ts';

const golden = new URL('golden/', import.meta.url);
const emit = createEmitter();

describe('emitted code', () => {
  it.each(snippets.map((snippet) => ({ name: snippet.name, snippet })))('$name', async ({ name, snippet }) => {
    await expect(emit(snippet)).toMatchFileSnapshot(`golden/${name}.txt`);
  });

  it('is kept of these snippets alone', () => {
    expect(readdirSync(golden).toSorted()).toEqual(snippets.map(({ name }) => `${name}.txt`).toSorted());
  });
});
