/** What was measured on: part of every result, as figures from different machines do not compare. */
import { execFileSync } from 'node:child_process';
import os from 'node:os';

export interface HostDescription {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryMiB: number;
  readonly system: string;
  readonly node: string;
  readonly v8: string;
  /** Commit of the project, with `+` if files are changed. */
  readonly commit: string;
}

function git(...args: string[]): string {
  try {
    return execFileSync('git', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  } catch {
    return '';
  }
}

export function describeHost(): HostDescription {
  const cpus = os.cpus();
  const changed = git('status', '--porcelain', '--untracked-files=no') !== '';
  return {
    cpu: cpus[0]?.model.trim() ?? 'unknown',
    cores: cpus.length,
    memoryMiB: Math.round(os.totalmem() / 2 ** 20),
    system: `${os.type()} ${os.release()} ${os.arch()}`,
    node: process.versions.node,
    v8: process.versions.v8,
    commit: `${git('rev-parse', '--short', 'HEAD') || 'unknown'}${changed ? '+' : ''}`,
  };
}

/** Runnable processes averaged over the last minute. */
export function load(): number {
  return os.loadavg()[0] ?? 0;
}
