/** Tabvisor under Node: the headless machine. */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { createRequire } from 'node:module';
import type { TierName } from '../../src/cpu/jit/compiler.ts';
import { describeHost } from '../machine-info.ts';
import { measureNodeMemory, type Measured } from '../memory.ts';
import { startNode } from './child-session.ts';
import { PeerMissing, type Machine, type Peer, type Session } from './peer.ts';

export interface TabvisorOptions {
  readonly root: string;
  /** As `--tier` of `npm run vm`; undefined: its default. */
  readonly tier: TierName | undefined;
}

export class TabvisorPeer implements Peer {
  readonly id = 'tabvisor';
  readonly runtime = 'node';
  readonly architectures = ['i386', 'amd64'] as const;
  readonly boots = true;
  readonly #options: TabvisorOptions;

  constructor(options: TabvisorOptions) {
    this.#options = options;
  }

  async prepare(): Promise<string> {
    const { root, tier } = this.#options;
    if (!existsSync(path.join(root, 'build/core/core.wasm'))) {
      throw new PeerMissing('the processor core is not built: run npm run build:core');
    }
    return `${describeHost().commit}${tier === undefined ? '' : `, tier ${tier}`}`;
  }

  start(machine: Machine): Promise<Session> {
    const { root, tier } = this.#options;
    const loader = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;
    const child = path.join(root, 'bench/peers/tabvisor-child.ts');
    return startNode(['--import', loader, child], { kind: 'start', machine, tier }, true);
  }

  measureMemory(machine: Machine): Promise<Measured> {
    const { root, tier } = this.#options;
    return measureNodeMemory(root, { machine, ...(tier === undefined ? {} : { tier }) });
  }
}
