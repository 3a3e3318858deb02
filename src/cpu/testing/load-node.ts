/** Reads case files under Node: JSON Lines, plain or gzipped, as a stream. */
import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { CaseFormatError, parseCase } from './cases.ts';
import type { CpuCase } from './cases.ts';

/** The cases of a `.jsonl` or `.jsonl.gz` file, one after the other. Empty lines are skipped. */
export async function* readCases(file: string): AsyncGenerator<CpuCase> {
  let number = 0;
  try {
    for await (const line of readLines(file)) {
      number++;
      if (line.trim() !== '') yield parseCase(line, `${file}:${number}`);
    }
  } catch (error) {
    if (error instanceof CaseFormatError) throw error;
    throw new Error(`${file}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}

async function* readLines(file: string): AsyncGenerator<string> {
  const source = createReadStream(file);
  // The pipeline's error reaches the loop below through the last stream; its callback has nothing to add.
  const bytes = file.endsWith('.gz') ? pipeline(source, createGunzip(), () => {}) : source;
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of bytes as AsyncIterable<Uint8Array>) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n');
    rest = lines.pop() ?? '';
    yield* lines;
  }
  if (rest !== '') yield rest;
}
