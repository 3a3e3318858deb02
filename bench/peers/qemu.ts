/** QEMU's translator (TCG) on one thread: what a native emulator does with the same bytes. */
import { spawnSync } from 'node:child_process';
import { startProgram } from './child-session.ts';
import { PeerMissing, type Machine, type Peer, type Session } from './peer.ts';

const programs = { i386: 'qemu-system-i386', amd64: 'qemu-system-x86_64' } as const;

export class QemuPeer implements Peer {
  readonly id = 'qemu';
  readonly runtime = 'native';
  readonly architectures = ['i386', 'amd64'] as const;
  readonly boots = true;

  async prepare(): Promise<string> {
    const result = spawnSync(programs.amd64, ['--version'], { encoding: 'utf8' });
    const version = /version (\S+)/.exec(result.stdout ?? '')?.[1];
    if (version === undefined) {
      throw new PeerMissing(`${programs.amd64} cannot be run: install QEMU (apt-get install qemu-system-x86)`);
    }
    return version;
  }

  start(machine: Machine): Promise<Session> {
    const options = ['-accel', 'tcg,thread=single', '-nodefaults', '-vga', 'std', '-display', 'none', '-no-reboot'];
    const kernel = ['-m', String(machine.memoryMiB), '-kernel', machine.kernel, '-append', machine.commandLine];
    const initrd = machine.initrd === undefined ? [] : ['-initrd', machine.initrd];
    return startProgram(programs[machine.arch], [...options, '-serial', 'stdio', ...kernel, ...initrd]);
  }
}
