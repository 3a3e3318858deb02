/**
 * Records the CPU's own vectors from the processor of this machine.
 *
 *     tsx src/cpu/testing/oracle/generate.ts [--out FOLDER] [--group NAME]… [--seed TEXT]
 *
 * Needs an x86-64 Linux host with gcc and its 32-bit libraries, and root (for a mapping below 64 KiB). The same seed
 * on the same kind of processor gives the same files. See README.md beside this file.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { gzipSync } from 'node:zlib';
import { assemble } from './assemble.ts';
import type { Bits, Draft } from './draft.ts';
import { NativeHarness } from './native.ts';
import { recordCase, UnusableResult } from './record.ts';
import { programDrafts } from './programs.ts';
import { sizesOf } from './template.ts';
import type { Template } from './template.ts';
import { TEMPLATES } from './templates/index.ts';

const DEFAULT_COUNT = 12;

interface Job {
  group: string;
  name: string;
  asm: string;
  draft: Draft;
}

function templateJobs(templates: readonly Template[], seed: string): Job[] {
  const jobs: Job[] = [];
  for (const template of templates) {
    const modes: readonly Bits[] = template.only ? [template.only] : [32, 64];
    for (const bits of modes) {
      for (const size of sizesOf(template, bits)) {
        for (let i = 0; i < (template.count ?? DEFAULT_COUNT); i++) {
          const form = `${template.name}${size ? `.${size}` : ''}`;
          const draft = assemble(template, bits, size, i, seed);
          jobs.push({
            group: template.group,
            name: `${form}/${bits}/${i}`,
            asm: `${form} [${template.encoding}]`,
            draft,
          });
        }
      }
    }
  }
  return jobs;
}

function record(harness: NativeHarness, jobs: readonly Job[]): Map<string, string[]> {
  const lines = new Map<string, string[]>();
  for (const bits of [32, 64] as const) {
    const mine = jobs.filter((job) => job.draft.bits === bits);
    const started = performance.now();
    const results = harness.run(bits, mine.map((job) => job.draft)); // prettier-ignore
    const seconds = (performance.now() - started) / 1000;
    process.stderr.write(`${mine.length} cases of ${bits}-bit code in ${seconds.toFixed(1)} s\n`);
    mine.forEach((job, i) => {
      const result = results[i];
      if (!result) throw new Error(`no result for ${job.name}`);
      try {
        const line = recordCase(job.name, job.asm, job.draft, result);
        const group = lines.get(job.group);
        if (group) group.push(line);
        else lines.set(job.group, [line]);
      } catch (error) {
        if (!(error instanceof UnusableResult)) throw error;
        const code = job.draft.code.map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
        process.stderr.write(`dropped: ${error.message} [${code}]\n`);
      }
    });
  }
  return lines;
}

function main(): void {
  const here = dirname(fileURLToPath(import.meta.url));
  const { values } = parseArgs({
    options: {
      out: { type: 'string', default: join(here, '..', 'vectors') },
      group: { type: 'string', multiple: true },
      seed: { type: 'string', default: '1' },
    },
  });
  const wanted = (group: string): boolean => !values.group || values.group.includes(group);
  const templates = TEMPLATES.filter((template) => wanted(template.group));
  const jobs = templateJobs(templates, values.seed);
  if (wanted('programs')) {
    for (const { name, draft } of programDrafts(values.seed)) jobs.push({ group: 'programs', name, asm: name, draft });
  }
  const harness = new NativeHarness(join(here, 'harness.c'));
  try {
    mkdirSync(values.out, { recursive: true });
    for (const [group, lines] of record(harness, jobs)) {
      const packed = gzipSync(`${lines.join('\n')}\n`, { level: 9 });
      writeFileSync(join(values.out, `${group}.jsonl.gz`), packed);
      process.stderr.write(`${group}: ${lines.length} cases, ${packed.length} bytes\n`);
    }
  } finally {
    harness.dispose();
  }
}

main();
