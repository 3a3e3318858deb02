/** v86 under Node, with its JIT and without. Its processor has no 64-bit mode. */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { getFirmware, type Firmware } from '../firmware.ts';
import { startNode } from './child-session.ts';
import { PeerMissing, type Machine, type Peer, type Session } from './peer.ts';

export interface V86Options {
  readonly root: string;
  readonly jit: boolean;
  readonly report: (line: string) => void;
}

/** Installs the benchmark's own dependency if it is not there. @returns v86's version. @throws PeerMissing */
export function installV86(root: string, report: (line: string) => void): string {
  const bench = path.join(root, 'bench');
  const description = path.join(bench, 'node_modules/v86/package.json');
  if (!existsSync(description)) {
    report('installing v86 into bench/node_modules');
    // Building the page has set NODE_ENV to production, which leaves out what is for development.
    const { status } = spawnSync('npm', ['ci', '--include=dev', '--prefix', bench], {
      stdio: ['ignore', 'ignore', 'inherit'],
      shell: process.platform === 'win32',
    });
    if (status !== 0) throw new PeerMissing('v86 could not be installed: npm ci --prefix bench failed, see above');
  }
  return (JSON.parse(readFileSync(description, 'utf8')) as { version: string }).version;
}

export class V86Peer implements Peer {
  readonly id: string;
  readonly runtime = 'node';
  readonly architectures = ['i386'] as const;
  readonly boots = true;
  readonly #options: V86Options;
  #firmware: Firmware | undefined;

  constructor(options: V86Options) {
    this.#options = options;
    this.id = options.jit ? 'v86' : 'v86-nojit';
  }

  async prepare(): Promise<string> {
    const { root, report } = this.#options;
    const version = installV86(root, report);
    this.#firmware = await getFirmware(root, report);
    return `${version}, seabios ${this.#firmware.version}`;
  }

  start(machine: Machine): Promise<Session> {
    const { root, jit } = this.#options;
    const child = path.join(root, 'bench/peers/v86-child.mjs');
    return startNode([child], { kind: 'start', machine, firmware: this.#firmware, jit }, false);
  }
}
