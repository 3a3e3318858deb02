/**
 * The headless command: one machine on this terminal.
 *
 *     npm run --silent vm -- -kernel FILE [-initrd FILE] [-append TEXT] …
 *
 * Exit codes: 0 powered off, reset under -no-reboot, `--until` met or left by Ctrl-A X; (v << 1) | 1 from
 * isa-debug-exit; 124 time-out; 1 triple fault under -no-reboot, or a defect; 2 wrong usage or a guest that cannot start.
 */
import { createWriteStream, readFileSync, writeFileSync } from 'node:fs';
import type { ExecutorResult } from '../executor/executor.ts';
import type { BlockLayer } from '../storage/block.ts';
import { MemoryChunkStore } from '../storage/chunk-store.ts';
import { ChunkedDisk } from '../storage/chunked.ts';
import { builtGuest, openPacked, unpackInto } from './catalogue.ts';
import { shared, startHeadless, StartFailure, type HeadlessMachine } from './headless.ts';
import { NodeFileDisk } from './node-file.ts';
import { openImage } from './node-image.ts';
import { type DiskFile, type GuestDiskOption, parseOptions, usage, UsageError, type VmOptions } from './options.ts';
import { openTerminal } from './terminal.ts';

const exitCode = { ok: 0, crashed: 1, usage: 2, timeout: 124 } as const;
/** How long an executor has to stop by itself. */
const stopGraceMs = 2000;

function readFile(what: string, path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new StartFailure(`cannot read the ${what}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

async function openDisk({ path, access }: DiskFile): Promise<BlockLayer> {
  try {
    const file = await openImage(path, access === 'write' ? 'write' : 'read');
    if (access !== 'overlay') return file;
    return await ChunkedDisk.open({ store: new MemoryChunkStore(), base: file, sizeBytes: file.sizeBytes });
  } catch (error) {
    throw new StartFailure(`cannot open the disk ${path}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

async function openGuestDisk({ keptIn, ...place }: GuestDiskOption): Promise<BlockLayer> {
  try {
    if (keptIn !== undefined) {
      await unpackInto(keptIn, place);
      return await NodeFileDisk.open(keptIn, 'write');
    }
    const base = await openPacked(place);
    return await ChunkedDisk.open({ store: new MemoryChunkStore(), base, sizeBytes: base.sizeBytes });
  } catch (error) {
    throw new StartFailure(`cannot open the guest's disk: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** Puts console output where the user wants it; the returned function resolves when all of it is there. */
function connectOutput(machine: HeadlessMachine, options: VmOptions): () => Promise<void> {
  const { serial } = options;
  if (serial.kind === 'none') return () => Promise.resolve();
  const stream = serial.kind === 'file' ? createWriteStream(serial.path) : process.stdout;
  // Whoever read our output has gone: the guest goes on.
  stream.on('error', () => {});
  machine.console.listen((bytes) => {
    if (stream.write(bytes)) return undefined;
    return new Promise<void>((resolve) => {
      stream.once('drain', resolve);
    });
  });
  return () =>
    new Promise((resolve) => {
      if (serial.kind === 'file') stream.end(resolve);
      else
        stream.write('', () => {
          resolve();
        });
    });
}

function exitCodeOf(result: ExecutorResult): number {
  if (result.kind !== 'ended') return exitCode.ok;
  if (result.state === 'crashed') {
    process.stderr.write(`vm: ${result.message ?? 'the guest crashed'}\n`);
    return exitCode.crashed;
  }
  return result.exitCode;
}

type Ending = ExecutorResult | { readonly kind: 'timeout' };

/** Runs the machine to its end, its time limit, or the user's. */
async function runMachine(machine: HeadlessMachine, options: VmOptions): Promise<Ending> {
  const { until, timeoutSeconds } = options;
  let timedOut = false;
  const stop = (): void => {
    machine.stop();
    setTimeout(() => void machine.kill(), stopGraceMs).unref();
  };
  const timer =
    timeoutSeconds === undefined
      ? undefined
      : setTimeout(() => {
          timedOut = true;
          stop();
        }, timeoutSeconds * 1000);
  const restore =
    options.serial.kind === 'stdio'
      ? openTerminal(process.stdin, {
          type: (bytes) => void machine.console.type(bytes),
          leave: stop,
          say: (text) => process.stderr.write(text),
        })
      : () => {};
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, stop);
  try {
    const result = await machine.run(until === undefined ? {} : { until });
    return timedOut ? { kind: 'timeout' } : result;
  } catch (error) {
    if (timedOut) return { kind: 'timeout' };
    throw error;
  } finally {
    clearTimeout(timer);
    restore();
  }
}

async function dumpRegion(machine: HeadlessMachine, address: bigint): Promise<void> {
  const region = await machine.region(address);
  process.stderr.write(region.ok ? `\n${region.text}` : `vm: --dump-region: ${region.message}\n`);
}

async function main(args: readonly string[]): Promise<number> {
  if (args.some((arg) => /^--?(h|help)$/.test(arg))) {
    process.stdout.write(`${usage}\n`);
    return exitCode.ok;
  }
  const options = parseOptions(args, builtGuest);
  const machine = await startHeadless({
    kernel: shared(readFile('kernel', options.kernel)),
    initrd: options.initrd === undefined ? undefined : shared(readFile('initrd', options.initrd)),
    commandLine: options.commandLine,
    ramBytes: options.ramBytes,
    clock: options.icount === undefined ? 'real' : 'virtual',
    noReboot: options.noReboot,
    balloon: options.balloon,
    balloonMiB: options.balloonMiB,
    disks: await Promise.all([
      ...(options.guestDisk ? [openGuestDisk(options.guestDisk)] : []),
      ...options.disks.map(openDisk),
    ]),
    cpuModel: options.cpuModel,
    tier: options.tier,
    countForms: options.countForms,
    debugCompiled: options.debugCompiled,
    ...(options.icount?.shift === undefined ? {} : { clockShift: options.icount.shift }),
    ...(options.debugExitPort === undefined ? {} : { debugExitPort: options.debugExitPort }),
  });
  const flushed = connectOutput(machine, options);
  machine.console.onLog = (line) => process.stderr.write(`vm: ${line}\n`);
  const started = performance.now();
  const ending = await runMachine(machine, options);
  const hostSeconds = (performance.now() - started) / 1000;
  const { stats } = machine;
  for (const address of options.dumpRegions) await dumpRegion(machine, address);
  await machine.close();
  await flushed();
  if (options.stats !== undefined) {
    writeFileSync(
      options.stats,
      `${JSON.stringify({ ending, hostSeconds, tier: options.tier, ...stats }, undefined, 2)}\n`,
    );
  }
  if (ending.kind === 'timeout') {
    process.stderr.write(`vm: ended after ${options.timeoutSeconds} s (--timeout)\n`);
    return exitCode.timeout;
  }
  return exitCodeOf(ending);
}

main(process.argv.slice(2)).then(
  (code) => process.exit(code),
  (error: unknown) => {
    const known = error instanceof UsageError || error instanceof StartFailure || error instanceof RangeError;
    const text = error instanceof Error ? (known ? error.message : (error.stack ?? error.message)) : String(error);
    process.stderr.write(`vm: ${text}\n${error instanceof UsageError ? `${usage}\n` : ''}`);
    process.exit(known ? exitCode.usage : exitCode.crashed);
  },
);
