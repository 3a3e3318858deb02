/**
 * What a guest and its disks do together, with everything that can happen to them meanwhile: a medium that is slow, damaged
 * or read-only, and an executor that is killed with requests under way.
 */
import { readBytes, type BlockLayer } from '../../storage/block.ts';
import { MemoryChunkStore } from '../../storage/chunk-store.ts';
import { ChunkedDisk } from '../../storage/chunked.ts';
import { badRange, FaultyDisk } from '../../storage/faults.ts';
import { FileDisk } from '../../storage/file.ts';
import type { HeadlessMachine } from '../headless.ts';
import { runCommand } from './guest-script.ts';

const mib = 2 ** 20;
const timeoutMs = 120_000;
const diskBytes = 64 * mib;
/** Where the guest puts a copy of the read-only disk, behind its file system. */
const copyAt = 48 * mib;

function pattern(): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(2 * mib);
  for (let i = 0; i < bytes.length; i++) bytes[i] = Math.imul(i, 0x9e3779b1) >>> 24;
  return bytes;
}

export class TestDisks {
  readonly store = new MemoryChunkStore();
  readonly pattern = pattern();
  #gate: Promise<void> | undefined;
  #open: () => void = () => {};

  /** vda: empty; vdb: read-only; vdc: slow on demand, and damaged from its second MiB on. */
  async layers(): Promise<BlockLayer[]> {
    const slow = new FaultyDisk(await ChunkedDisk.open({ store: new MemoryChunkStore(), sizeBytes: 4 * mib }), {
      fails: badRange(mib, 4 * mib),
      delay: () => this.#gate ?? Promise.resolve(),
    });
    return [
      await ChunkedDisk.open({ store: this.store, sizeBytes: diskBytes, cacheBytes: 8 * mib }),
      new FileDisk(new Blob([this.pattern])),
      slow,
    ];
  }

  /** vdc answers nothing before {@link answer}. */
  hold(): void {
    this.#gate = new Promise((resolve) => {
      this.#open = resolve;
    });
  }

  answer(): void {
    this.#gate = undefined;
    this.#open();
  }
}

/** @param check throws with its message where a condition does not hold */
export async function runDiskScript(
  machine: HeadlessMachine,
  disks: TestDisks,
  check: (condition: boolean, message: () => string) => void,
): Promise<void> {
  const run = (command: string): Promise<string> => runCommand(machine.console, command, timeoutMs);
  const prints = async (command: string, expected: RegExp): Promise<void> => {
    const output = await run(command);
    check(expected.test(output), () => `"${command}" printed ${JSON.stringify(output)}, not ${String(expected)}`);
  };
  await run('dmesg -n 1');
  await prints('cat /sys/block/vd[abc]/size | tr "\\n" " "', /^131072 4096 8192 $/);
  await prints('cat /sys/block/vd[ab]/ro | tr "\\n" " "', /^0 1 $/);
  await prints('cat /sys/block/vda/serial', /^disk-0$/);
  await prints('cat /sys/block/vda/queue/write_cache', /^write back$/);

  // Raw bytes from one disk to the other.
  await run(`dd if=/dev/vdb of=/dev/vda bs=64k seek=${copyAt / 65536} conv=fsync 2>/dev/null`);
  const copied = await readBytes(await reopened(disks), copyAt, disks.pattern.length);
  check(Buffer.compare(copied, disks.pattern) === 0, () => 'what the guest copied and flushed is not in the store');

  // A file system, and what was read from it after its cache was dropped.
  await run(`mke2fs -F /dev/vda ${copyAt / 1024} >/dev/null && mkdir -p /mnt && mount -t ext4 /dev/vda /mnt`);
  await run('head -c 20971520 /dev/urandom >/mnt/random && md5sum /mnt/random >/mnt/sum && sync');
  await run('umount /mnt && echo 3 >/proc/sys/vm/drop_caches && mount -t ext4 /dev/vda /mnt');
  await prints('md5sum -c /mnt/sum', /random: OK$/);

  // What fails, fails as an I/O error.
  await prints('dd if=/dev/vdc of=/dev/null bs=4096 skip=256 count=1 2>&1 || true', /I(nput)?\/O(utput)? error/i);
  await prints('{ echo x >/dev/vdb; } 2>&1 || true', /not permitted|Read-only|Permission denied/i);
  await prints('dd if=/dev/vdc bs=4096 count=1 2>/dev/null | wc -c', /^4096$/);

  // A guest that waits for a disk computes.
  disks.hold();
  await run(
    'echo 3 >/proc/sys/vm/drop_caches; (dd if=/dev/vdc of=/tmp/slow bs=4096 count=1 2>/dev/null; echo >/tmp/came) & :',
  );
  await prints(
    'awk "BEGIN { for (i = 0; i < 100000; i++) s += i; print s }"; ls /tmp/came 2>&1 || true',
    /No such file/,
  );
  disks.answer();
  await prints('wait; wc -c </tmp/slow', /^4096$/);

  // An executor that is killed at rest, with a request under way, is missed by nobody.
  disks.hold();
  await run(
    'rm /tmp/came; echo 3 >/proc/sys/vm/drop_caches; (dd if=/dev/vdc of=/tmp/slow bs=8192 count=1 2>/dev/null; echo >/tmp/came) & :',
  );
}

/** What another page would find in the store at this moment. */
function reopened(disks: TestDisks): Promise<BlockLayer> {
  return ChunkedDisk.open({ store: disks.store, sizeBytes: diskBytes, writable: false });
}
