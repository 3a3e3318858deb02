/** The same guest under QEMU (TCG), to see what its script prints there. */
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { ShellConsole } from './guest-script.ts';

const programs = { amd64: 'qemu-system-x86_64', i386: 'qemu-system-i386' } as const;

export interface QemuOptions {
  readonly arch: keyof typeof programs;
  readonly kernel: string;
  readonly initrd: string;
  readonly commandLine: string;
}

const ramMiB = 256;

export class QemuGuest implements ShellConsole {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #monitor = path.join(mkdtempSync(path.join(tmpdir(), 'tabvisor-qemu-')), 'monitor');
  #text = '';
  #changed: (() => void)[] = [];
  #exited = false;

  constructor(options: QemuOptions) {
    const { arch, kernel, initrd, commandLine } = options;
    this.#child = spawn(programs[arch], [
      ...['-m', `${ramMiB}`, '-accel', 'tcg', '-nographic', '-no-reboot', '-serial', 'stdio'],
      ...['-monitor', `unix:${this.#monitor},server=on,wait=off`, '-device', 'virtio-balloon-pci'],
      ...['-kernel', kernel, '-initrd', initrd, '-append', commandLine],
    ]);
    this.#child.stdout.on('data', (chunk: Buffer) => {
      this.#text += chunk.toString('latin1');
      this.#wake();
    });
    this.#child.on('error', () => {
      this.#exited = true;
      this.#wake();
    });
    this.#child.on('close', () => {
      this.#exited = true;
      this.#wake();
    });
  }

  get position(): number {
    return this.#text.length;
  }

  type(text: string): void {
    this.#child.stdin.write(text);
  }

  async waitForText(pattern: RegExp, { from = 0, timeoutMs = 60_000 }): Promise<{ groups: string[] }> {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      const match = pattern.exec(this.#text.slice(from));
      if (match !== null) return { groups: match.slice(1) };
      if (this.#exited || Date.now() > deadline) {
        throw new Error(`QEMU did not print ${String(pattern)}; last: ${JSON.stringify(this.#text.slice(-300))}`);
      }
      await new Promise<void>((resolve) => {
        this.#changed.push(resolve);
        setTimeout(resolve, 200);
      });
    }
  }

  /** Resolves when so many MiB are in the guest's balloon. */
  setBalloon(mib: number): Promise<void> {
    const kept = ramMiB - mib;
    return new Promise((resolve, reject) => {
      const monitor = connect(this.#monitor);
      monitor.on('error', reject);
      monitor.setEncoding('latin1').on('data', (text: string) => {
        if (text.includes(`actual=${kept}\r`)) monitor.end(resolve);
        // QEMU tells of no change: it is asked again each time that it has answered.
        else if (text.includes('actual=')) setTimeout(() => monitor.write('info balloon\n'), 100);
      });
      monitor.write(`balloon ${kept}\ninfo balloon\n`);
    });
  }

  #wake(): void {
    for (const resolve of this.#changed.splice(0)) resolve();
  }

  end(): void {
    this.#child.kill();
    rmSync(path.dirname(this.#monitor), { recursive: true, force: true });
  }
}
