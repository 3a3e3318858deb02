/** Compiles `core/fpu` alone with asc and instantiates it on a small memory of its own, for the tests. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import asc from 'assemblyscript/asc';

export interface FpuUnderTest {
  readonly view: DataView;
  /** Calls an export; i64 parameters and results are bigints. */
  readonly call: (name: string, ...args: (number | bigint)[]) => number | bigint;
  readonly binary: Uint8Array<ArrayBuffer>;
}

const FLAGS = [
  ...['--runtime', 'stub', '--importMemory', '--sharedMemory', '--initialMemory', '1', '--maximumMemory', '1'],
  ...['--enable', 'threads', '--enable', 'simd', '--enable', 'nontrapping-f2i', '-O3', '--noAssert'],
  ...['--disableWarning', '112'],
];

export async function compileFpu(): Promise<FpuUnderTest> {
  const directory = mkdtempSync(join(tmpdir(), 'tabvisor-fpu-'));
  try {
    const source = fileURLToPath(new URL('../core/fpu', import.meta.url));
    const outFile = join(directory, 'fpu.wasm');
    const { error, stderr } = await asc.main(['index.ts', '--baseDir', source, '-o', outFile, ...FLAGS]);
    if (error) throw new Error(`asc could not compile core/fpu: ${error.message}\n${stderr.toString()}`);
    const binary = new Uint8Array(readFileSync(outFile));
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
    const instance = new WebAssembly.Instance(new WebAssembly.Module(binary), { env: { memory } });
    const functions = instance.exports as Record<string, (...args: (number | bigint)[]) => number | bigint>;
    return {
      view: new DataView(memory.buffer),
      binary,
      call: (name, ...args) => {
        const fn = functions[name];
        if (!fn) throw new Error(`core/fpu exports no ${name}`);
        return fn(...args);
      },
    };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
