/** The same guest under QEMU (TCG), to see what its script prints there. */
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import type { ShellConsole } from './guest-script.ts';

const programs = { amd64: 'qemu-system-x86_64', i386: 'qemu-system-i386' } as const;

export interface QemuOptions {
  readonly arch: keyof typeof programs;
  readonly kernel: string;
  readonly initrd: string;
  readonly commandLine: string;
}

export class QemuGuest implements ShellConsole {
  readonly #child: ChildProcessWithoutNullStreams;
  #text = '';
  #changed: (() => void)[] = [];
  #exited = false;

  constructor(options: QemuOptions) {
    const { arch, kernel, initrd, commandLine } = options;
    this.#child = spawn(programs[arch], [
      ...['-m', '256', '-accel', 'tcg', '-nographic', '-no-reboot', '-monitor', 'none', '-serial', 'stdio'],
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

  #wake(): void {
    for (const resolve of this.#changed.splice(0)) resolve();
  }

  end(): void {
    this.#child.kill();
  }
}
