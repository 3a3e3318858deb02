/**
 * The course of a benchmark. In each round every peer's machine is booted afresh, and for each row all peers take
 * turns, so that what drifts on the host meets all of them alike; the first of them changes from row to row. Machines
 * that wait for their turn are idle at their prompts. Or, if asked for, peers take turns round by round, and no other
 * machine is there.
 */
import type { GuestImage } from '../guests/manifest.ts';
import type { Architecture } from '../guests/schema.ts';
import { buildGuests, decodeMachine, guestMachine, type CommandLine } from './images.ts';
import { memorySample } from './memory.ts';
import { describeGuest, measureBoot, measureCall, measureDecode, startShell } from './measure.ts';
import type { BenchOptions } from './options.ts';
import type { Machine, Peer, Session } from './peers/peer.ts';
import { callsFor } from './rows.ts';
import type { Failure, GuestDescription, MemorySample, Sample, TimedSection } from './samples.ts';
import { figure } from './statistics.ts';

export interface BenchmarkSetup {
  readonly root: string;
  readonly options: BenchOptions;
  readonly peers: readonly Peer[];
  readonly report: (line: string) => void;
}

interface Turn {
  readonly section: TimedSection;
  readonly arch: Architecture;
  readonly row: string;
  readonly round: number;
}

/** The list, begun at another place. */
function rotate<Item>(items: readonly Item[], by: number): Item[] {
  const at = items.length === 0 ? 0 : by % items.length;
  return [...items.slice(at), ...items.slice(0, at)];
}

export class Benchmark {
  readonly samples: Sample[] = [];
  readonly memory: MemorySample[] = [];
  readonly failures: Failure[] = [];
  readonly guests: GuestDescription[] = [];
  readonly images: GuestImage[] = [];
  readonly #setup: BenchmarkSetup;
  readonly #sessions = new Map<Peer, Session>();
  #turns = 0;
  #cancelled = false;

  constructor(setup: BenchmarkSetup) {
    this.#setup = setup;
  }

  /** Ends it early, with what was measured so far. */
  async cancel(): Promise<void> {
    this.#cancelled = true;
    await this.#stopSessions();
  }

  async run(): Promise<void> {
    const { root, options } = this.#setup;
    const { sections, architectures, rounds } = options;
    const ids = architectures.flatMap((arch) => [
      ...(sections.includes('workloads') && options.workloads.length > 0 ? [`bench-${arch}`] : []),
      ...(sections.includes('boot') || this.#measuresMemory ? [`linux-${arch}`] : []),
    ]);
    const built = ids.length === 0 ? new Map<string, GuestImage>() : buildGuests(root, ids);
    this.images.push(...ids.flatMap((id) => built.get(id) ?? []));
    for (let round = 1; round <= rounds && !this.#cancelled; round++) {
      for (const arch of architectures) {
        if (sections.includes('boot')) await this.#boots(built, arch, round);
        if (this.#measuresMemory) await this.#memory(built.get(`linux-${arch}`), arch, round);
        if (sections.includes('workloads')) await this.#workloads(built.get(`bench-${arch}`), arch, round);
      }
      if (sections.includes('decode') && architectures.includes('i386')) await this.#decodes(round);
    }
  }

  async #boots(built: ReadonlyMap<string, GuestImage>, arch: Architecture, round: number): Promise<void> {
    const guest = built.get(`linux-${arch}`);
    if (guest === undefined) return;
    const lines: readonly CommandLine[] = this.#setup.options.quick ? ['trimmed'] : ['trimmed', 'stock'];
    for (const line of lines) {
      const turn: Turn = { section: 'boot', arch, row: `${guest.id}, ${line}`, round };
      const machine = guestMachine(this.#setup.root, guest, line);
      await this.#eachPeer(turn, async (peer) => [await measureBoot(peer, machine, { ...turn, peer: peer.id })], {
        booting: true,
      });
    }
  }

  get #measuresMemory(): boolean {
    const { options, peers } = this.#setup;
    return options.sections.includes('memory') && peers.some(({ measureMemory }) => measureMemory !== undefined);
  }

  async #memory(guest: GuestImage | undefined, arch: Architecture, round: number): Promise<void> {
    if (guest === undefined) return;
    const { root, peers, report } = this.#setup;
    const machine = guestMachine(root, guest, 'trimmed');
    for (const peer of peers) {
      if (peer.measureMemory === undefined || this.#cancelled) continue;
      const key = { arch, row: guest.id, peer: peer.id, round };
      try {
        const measured = await peer.measureMemory(machine);
        const sample = memorySample({ ...key, memoryMiB: machine.memoryMiB }, measured);
        this.memory.push(sample);
        report(`round ${round}: ${guest.id} on ${peer.id}: ${sample.beyondRamMiB} MiB beyond RAM`);
      } catch (error) {
        const message = error instanceof Error ? error.message : String(error);
        this.failures.push({ section: 'memory', ...key, message });
        report(`round ${round}: memory of ${guest.id} failed on ${peer.id}: ${message}`);
      }
    }
  }

  async #decodes(round: number): Promise<void> {
    for (const row of this.#setup.options.decodeRows) {
      const { machine, instructions } = decodeMachine(this.#setup.root, row);
      const turn: Turn = { section: 'decode', arch: 'i386', row, round };
      await this.#eachPeer(
        turn,
        async (peer) => [await measureDecode(peer, machine, { ...turn, peer: peer.id, instructions })],
        { booting: true },
      );
    }
  }

  async #workloads(guest: GuestImage | undefined, arch: Architecture, round: number): Promise<void> {
    if (guest === undefined) return;
    const { options, root } = this.#setup;
    const machine = guestMachine(root, guest, 'trimmed');
    const { peers } = this.#setup;
    // Those whose machines are up at the same time.
    const groups = options.turns === 'row' ? [peers] : rotate(peers, round - 1).map((peer) => [peer]);
    for (const group of groups) {
      try {
        const start: Turn = { section: 'workloads', arch, row: 'start', round };
        await this.#eachPeer(start, (peer) => this.#startSession(peer, machine, round), { peers: group });
        for (const call of callsFor(options.workloads)) {
          const turn: Turn = { section: 'workloads', arch, row: call.join(' '), round };
          await this.#eachPeer(turn, (peer) => this.#call(peer, call, turn), { peers: group });
        }
      } finally {
        await this.#stopSessions();
      }
    }
  }

  async #call(peer: Peer, call: readonly string[], { arch, round }: Turn): Promise<Sample[]> {
    const { options } = this.#setup;
    const session = this.#sessions.get(peer);
    if (session === undefined) return [];
    try {
      const key = { section: 'workloads', arch, peer: peer.id, round } as const;
      const samples = await measureCall(session, call, { key, scale: options.scale });
      return samples.filter(({ row }) => options.workloads.includes(row));
    } catch (error) {
      // What it would do next is anybody's guess; the next round has a fresh one.
      this.#sessions.delete(peer);
      await session.stop();
      throw error;
    }
  }

  async #startSession(peer: Peer, machine: Machine, round: number): Promise<Sample[]> {
    const session = await startShell(peer, machine);
    this.#sessions.set(peer, session);
    if (round === 1) this.guests.push(await describeGuest(session, { arch: machine.arch, peer: peer.id }));
    return [];
  }

  async #stopSessions(): Promise<void> {
    const sessions = [...this.#sessions.values()];
    this.#sessions.clear();
    for (const session of sessions) await session.stop();
  }

  /** Gives every peer that can its turn. A failure is noted, and is the failing peer's alone. */
  async #eachPeer(
    turn: Turn,
    measure: (peer: Peer) => Promise<Sample[]>,
    among: { readonly peers?: readonly Peer[]; readonly booting?: boolean } = {},
  ): Promise<void> {
    const { peers = this.#setup.peers, booting = false } = among;
    const able = peers.filter((peer) => peer.architectures.includes(turn.arch) && (peer.boots || !booting));
    for (const peer of rotate(able, this.#turns++)) {
      if (this.#cancelled) return;
      try {
        for (const sample of await measure(peer)) {
          this.samples.push(sample);
          this.#tell(sample);
        }
      } catch (error) {
        if (this.#cancelled) return;
        const message = error instanceof Error ? error.message : String(error);
        this.failures.push({ ...turn, peer: peer.id, message });
        this.#setup.report(`round ${turn.round}: ${turn.arch} ${turn.row} failed on ${peer.id}: ${message}`);
      }
    }
  }

  #tell({ round, arch, row, peer, seconds, hostSeconds, millionInstructionsPerSecond: speed }: Sample): void {
    const rate = speed === undefined ? '' : `, ${figure(speed)} M/s`;
    const host = `${figure(hostSeconds)} s of the host`;
    this.#setup.report(`round ${round}: ${arch} ${row} on ${peer}: ${figure(seconds)} s (${host})${rate}`);
  }
}
