/** Runs the few host programs that the guest builder stands on. */
import { spawn } from 'node:child_process';

/** What a finished program left behind. */
export interface CommandResult {
  /** Exit code; 127 when the program does not exist, 128 when a signal ended it. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end without a shell. Never throws: the caller judges the code. */
export function run(
  program: string,
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
  cwd?: string,
): Promise<CommandResult> {
  return new Promise((resolve) => {
    const child = spawn(program, args, {
      cwd,
      env: { ...process.env, ...environment },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    child.on('error', (error) => resolve({ code: 127, stdout, stderr: `${program}: ${error.message}` }));
    child.on('close', (code) => resolve({ code: code ?? 128, stdout, stderr }));
  });
}
