/**
 * The bare host: the same workload program and busybox, without a machine around them. Pinned to one core, as the
 * guests have one.
 */
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { spawnSync } from 'node:child_process';
import os from 'node:os';
import path from 'node:path';
import { extractDeb, findInPackage } from '../../guests/deb.ts';
import type { Architecture } from '../../guests/schema.ts';
import { startProgram } from './child-session.ts';
import { PeerMissing, type Machine, type Peer, type Session } from './peer.ts';

export class HostPeer implements Peer {
  readonly id = 'host';
  readonly runtime = 'native';
  readonly architectures = ['i386', 'amd64'] as const;
  readonly boots = false;
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
  }

  async prepare(): Promise<string> {
    if (os.type() !== 'Linux' || os.arch() !== 'x64') throw new PeerMissing('the workloads run on x86-64 Linux only');
    return os.release();
  }

  async start({ arch }: Machine): Promise<Session> {
    const bin = await this.#programs(arch);
    // Files in memory, as in the guests.
    const memory = existsSync('/dev/shm') ? '/dev/shm' : os.tmpdir();
    const directory = mkdtempSync(path.join(memory, 'tabvisor-bench-'));
    const pinned = spawnSync('taskset', ['--version']).status === 0 ? ['taskset', '-c', '0'] : [];
    const [program = '', ...args] = [...pinned, path.join(bin, 'sh')];
    const session = await startProgram(program, args, {
      env: {
        PATH: `${bin}:${process.env['PATH'] ?? ''}`,
        BENCH_DIR: directory,
        BENCH_DATA: path.join(this.#root, '.cache/bench', arch),
      },
    });
    await session.type("echo 'tabvisor: guest ready'; echo '# '\n");
    return {
      ...session,
      stop: async () => {
        await session.stop();
        rmSync(directory, { recursive: true, force: true });
      },
    };
  }

  /** A folder with busybox's applets, the workloads and the command `bench`. */
  async #programs(arch: Architecture): Promise<string> {
    const bin = path.join(this.#root, '.cache/bench', arch, 'bin');
    if (existsSync(path.join(bin, 'bench'))) return bin;
    const debs = path.join(this.#root, '.cache/guests/apt', arch, 'debs');
    const deb = existsSync(debs) ? readdirSync(debs).find((name) => name.startsWith('busybox-static_')) : undefined;
    if (deb === undefined)
      throw new PeerMissing(`busybox for ${arch} is not there: npm run guests -- --only bench-${arch}`);
    const unpacked = `${bin}.package`;
    await extractDeb(path.join(debs, deb), ['*/busybox'], unpacked);
    const busybox = findInPackage(unpacked, '/bin/busybox');
    if (busybox === undefined) throw new PeerMissing(`${deb} has no /bin/busybox`);
    rmSync(bin, { recursive: true, force: true });
    mkdirSync(bin, { recursive: true });
    copyFileSync(busybox, path.join(bin, 'busybox'));
    rmSync(unpacked, { recursive: true, force: true });
    const installed = spawnSync(path.join(bin, 'busybox'), ['--install', '-s', bin]);
    if (installed.status !== 0) throw new PeerMissing(`busybox for ${arch} does not run on this host`);
    symlinkSync('../workloads', path.join(bin, 'workloads'));
    const script = path.join(this.#root, 'bench/workloads/bench.sh');
    writeFileSync(path.join(bin, 'bench'), `#!/bin/sh\nexec sh '${script}' "$@"\n`, { mode: 0o755 });
    return bin;
  }
}
