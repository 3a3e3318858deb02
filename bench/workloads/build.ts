/**
 * Builds what the benchmark guests carry, for one architecture, into `.cache/bench/ARCH/`:
 *
 *     tsx bench/workloads/build.ts i386|amd64
 *
 *     workloads   the static program with all compiled workloads
 *     f4.xz       4 MiB of its own text, for the row unxz4
 *
 * Runs on an x86-64 host with gcc (and gcc-multilib for i386) and xz. Does nothing when nothing has changed.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const SOURCES = path.dirname(fileURLToPath(import.meta.url));
const ROOT = path.resolve(SOURCES, '../..');

/** Results are compared between machines: nothing may depend on the compiling one's processor or on libm's errno. */
const COMMON_FLAGS = ['-O2', '-fno-math-errno', '-fno-pic', '-Wall', '-Wextra', '-Werror'];
const LINK_FLAGS = ['-static', '-no-pie'];

/** Compiler options for an architecture, and those in addition for the files that pin a floating-point unit. */
interface Target {
  readonly flags: readonly string[];
  readonly unitFlags: Readonly<Record<string, readonly string[]>>;
}

const TARGETS: Readonly<Record<string, Target>> = {
  i386: {
    flags: ['-m32', '-march=pentium4'],
    unitFlags: {
      'floating_x87.c': ['-march=i686', '-mno-sse', '-mfpmath=387'],
      'floating_sse2.c': ['-msse2', '-mfpmath=sse'],
    },
  },
  amd64: { flags: ['-m64'], unitFlags: { 'floating_x87.c': ['-mfpmath=387'] } },
};

function run(program: string, args: readonly string[], advice: string): Buffer {
  const result = spawnSync(program, args, { maxBuffer: 1 << 26 });
  if (result.error) throw new Error(`${program} cannot be run (${result.error.message}); ${advice}`);
  if (result.status !== 0) throw new Error(`${program} failed; ${advice}\n${firstLines(result.stderr.toString())}`);
  return result.stdout;
}

/** A compiler that stumbles over one line complains about many. */
function firstLines(text: string): string {
  return text.split('\n').slice(0, 10).join('\n');
}

function stampOf(target: Target): string {
  const hash = createHash('sha256').update(JSON.stringify([COMMON_FLAGS, LINK_FLAGS, target]));
  for (const name of readdirSync(SOURCES).sort()) {
    if (/\.(c|h)$/.test(name)) hash.update(name).update(readFileSync(path.join(SOURCES, name)));
  }
  return hash.digest('hex');
}

function compile(target: Target, output: string, advice: string): void {
  const objects: string[] = [];
  for (const name of readdirSync(SOURCES).filter((entry) => entry.endsWith('.c'))) {
    const object = path.join(path.dirname(output), name.replace(/\.c$/, '.o'));
    const flags = [...COMMON_FLAGS, ...target.flags, ...(target.unitFlags[name] ?? [])];
    run('gcc', [...flags, '-c', path.join(SOURCES, name), '-o', object], advice);
    objects.push(object);
  }
  run('gcc', [...target.flags, ...LINK_FLAGS, ...objects, '-o', output], advice);
  for (const object of objects) rmSync(object);
}

function build(arch: string): void {
  const target = TARGETS[arch];
  if (!target) throw new Error(`usage: build.ts ${Object.keys(TARGETS).join('|')}`);
  const directory = path.join(ROOT, '.cache/bench', arch);
  const stampFile = path.join(directory, 'stamp');
  const stamp = stampOf(target);
  if (existsSync(stampFile) && readFileSync(stampFile, 'utf8') === stamp) return;

  console.log(`bench: compiling the workloads for ${arch}`);
  mkdirSync(directory, { recursive: true });
  const packages = arch === 'i386' ? 'gcc libc6-dev gcc-multilib' : 'gcc libc6-dev';
  const program = path.join(directory, 'workloads');
  compile(target, `${program}.new`, `it takes an x86-64 host with the packages ${packages}`);
  renameSync(`${program}.new`, program);

  // Both architectures' programs write the same text; the host's kernel may run no 32-bit ones.
  const text = path.join(directory, 'f4');
  const generator = arch === 'amd64' ? program : path.join(directory, 'generator');
  if (generator !== program)
    compile(TARGETS['amd64']!, generator, `it takes an x86-64 host with the packages ${packages}`);
  run(generator, ['gen', '4', text], 'it takes an x86-64 host');
  if (generator !== program) rmSync(generator);
  // One thread, as with several the stream is cut into blocks.
  writeFileSync(`${text}.xz`, run('xz', ['-6', '-T1', '-c', text], 'it takes the package xz-utils'));
  rmSync(text);
  writeFileSync(stampFile, stamp);
}

try {
  build(process.argv[2] ?? '');
} catch (error) {
  console.error(`bench: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
}
