/** All peers by their names. */
import { TabvisorChromiumPeer, V86ChromiumPeer } from './chromium.ts';
import { HostPeer } from './host.ts';
import { PeerMissing, type Peer } from './peer.ts';
import { QemuPeer } from './qemu.ts';
import { TabvisorPeer } from './tabvisor.ts';
import { V86Peer } from './v86.ts';
import type { TierName } from '../../src/cpu/jit/compiler.ts';
import type { PeerId } from '../options.ts';

export interface PeerRequest {
  readonly root: string;
  readonly ids: readonly PeerId[];
  readonly tier: TierName | undefined;
  readonly report: (line: string) => void;
}

export interface PreparedPeers {
  readonly peers: readonly Peer[];
  readonly versions: Readonly<Record<string, string>>;
  close(): Promise<void>;
}

/** Makes the peers that can run here; the others are reported. */
export async function preparePeers(request: PeerRequest): Promise<PreparedPeers> {
  const { root, ids, tier, report } = request;
  const make: Readonly<Record<PeerId, () => Peer>> = {
    tabvisor: () => new TabvisorPeer({ root, tier }),
    v86: () => new V86Peer({ root, jit: true, report }),
    'v86-nojit': () => new V86Peer({ root, jit: false, report }),
    'tabvisor-chromium': () => new TabvisorChromiumPeer(root, report),
    'v86-chromium': () => new V86ChromiumPeer({ root, jit: true, report }),
    'v86-nojit-chromium': () => new V86ChromiumPeer({ root, jit: false, report }),
    qemu: () => new QemuPeer(),
    host: () => new HostPeer(root),
  };
  const peers: Peer[] = [];
  const versions: Record<string, string> = {};
  for (const id of ids) {
    const peer = make[id]();
    try {
      versions[id] = await peer.prepare();
      peers.push(peer);
    } catch (error) {
      if (!(error instanceof PeerMissing)) throw error;
      report(`without ${id}: ${error.message}`);
    }
  }
  return { peers, versions, close: async () => void (await Promise.all(peers.map((peer) => peer.close?.()))) };
}
