/**
 * A machine in a child process: its standard output is the guest's serial port. Machines that a Node program makes
 * (tabvisor-child.ts, v86-child.mjs) take their orders over IPC, programs of their own (QEMU) on standard input.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { SerialText } from '../serial-text.ts';
import type { Counters, Machine, Session } from './peer.ts';

/** To a Node child. */
export type Order =
  | ({ readonly kind: 'start'; readonly machine: Machine } & Readonly<Record<string, unknown>>)
  | { readonly kind: 'type'; readonly text: string }
  | { readonly kind: 'counters' };

/** From a Node child. */
export type Answer =
  /** Everything is loaded; the machine is made now. */
  | { readonly kind: 'powerOn' }
  | { readonly kind: 'failed'; readonly message: string }
  | ({ readonly kind: 'counters' } & Counters);

/** How long a Node child may take to load its modules. */
const loadTimeoutMs = 120_000;

/** Connects a child's output and its end to a console. */
function connect(child: ChildProcess, what: string): SerialText {
  const console = new SerialText();
  let complaint = '';
  child.stdout?.on('data', (bytes: Uint8Array) => console.feed(bytes));
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    complaint = (complaint + text).slice(-2000);
  });
  child.on('error', (error) => console.fail(new Error(`${what} cannot be run: ${error.message}`)));
  child.on('close', (code, signal) => {
    console.fail(new Error(`${what} ended (${signal ?? code}) ${complaint.trim()}`));
  });
  return console;
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const closed = once(child, 'close');
  child.kill('SIGKILL');
  await closed;
}

/** Starts a program whose standard input and output are the serial port. */
export async function startProgram(
  program: string,
  args: readonly string[],
  options: { readonly env?: NodeJS.ProcessEnv } = {},
): Promise<Session> {
  const poweredOnMs = performance.now();
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'], ...options });
  // A child that has gone is reported by the console.
  child.stdin.on('error', () => {});
  return {
    console: connect(child, program),
    poweredOnMs,
    type: async (text) => {
      child.stdin.write(text);
    },
    stop: () => end(child),
  };
}

/** Starts a Node program that makes the machine when it is told to, and answers {@link Order}s. */
export async function startNode(
  nodeArgs: readonly string[],
  start: Extract<Order, { kind: 'start' }>,
  counts: boolean,
): Promise<Session> {
  const what = nodeArgs.at(-1) ?? 'node';
  const child = spawn(process.execPath, nodeArgs, { stdio: ['ignore', 'pipe', 'pipe', 'ipc'] });
  const console = connect(child, what);
  const send = (order: Order): void => {
    if (child.connected) child.send(order);
  };
  const answer = <Kind extends Answer['kind']>(kind: Kind): Promise<Extract<Answer, { kind: Kind }>> =>
    new Promise((resolve, reject) => {
      const settle = (then: () => void): void => {
        clearTimeout(timer);
        child.off('message', take).off('close', gone);
        then();
      };
      const take = (message: Answer): void => {
        if (message.kind === kind) settle(() => resolve(message as Extract<Answer, { kind: Kind }>));
        else if (message.kind === 'failed') settle(() => reject(new Error(message.message)));
      };
      const gone = (): void => settle(() => reject(new Error(`${what} has ended`)));
      const timer = setTimeout(() => settle(() => reject(new Error(`${what} does not answer`))), loadTimeoutMs);
      child.on('message', take).on('close', gone);
    });
  child.on('message', (message: Answer) => {
    if (message.kind === 'failed') console.fail(new Error(message.message));
  });
  try {
    const powered = answer('powerOn');
    send(start);
    await powered;
  } catch (error) {
    await end(child);
    throw error;
  }
  return {
    console,
    poweredOnMs: performance.now(),
    type: async (text) => send({ kind: 'type', text }),
    ...(counts
      ? {
          counters: () => {
            const counted = answer('counters');
            send({ kind: 'counters' });
            return counted;
          },
        }
      : {}),
    stop: () => end(child),
  };
}
