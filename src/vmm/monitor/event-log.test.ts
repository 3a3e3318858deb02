import { describe, expect, it } from 'vitest';
import { EventLog } from './event-log.ts';

describe('event log', () => {
  const texts = (log: EventLog) => log.since().entries.map(({ kind, text }) => `${kind}: ${text}`);

  it('tells changes of state with their causes, and each once', () => {
    const log = new EventLog(() => 5);
    const guest = { id: 'a', name: 'A' };
    log.guests([{ ...guest, status: { state: 'defined' } }]);
    for (const step of ['one', 'two']) log.status({ ...guest, status: { state: 'starting', step } });
    log.status({ ...guest, status: { state: 'running' } });
    log.status({ ...guest, status: { state: 'paused' } });
    log.status({ ...guest, status: { state: 'running' } });
    log.executorReplaced('a', 'it was killed');
    log.status({ ...guest, status: { state: 'stopped', cause: { kind: 'debugExit', exitCode: 3 } } });
    log.status({ ...guest, status: { state: 'failed', code: 'outOfMemory', message: 'No room.' } });
    log.guests([]);
    expect(texts(log)).toEqual([
      'guestAdded: It was added.',
      'starting: It starts.',
      'running: It runs.',
      'paused: It is paused.',
      'running: It goes on.',
      'executorReplaced: Its worker died (it was killed) while the guest was at rest; another one goes on with it.',
      'stopped: It ended with exit code 3.',
      'admissionRefused: No room.',
      'guestRemoved: It was taken off the list.',
    ]);
    const last = log.since().entries.at(-1);
    expect(last).toMatchObject({ number: 8, atMs: 5, guest: 'a', name: 'A' });
    expect(log.since(6).entries[0]?.cause).toEqual({ kind: 'debugExit', exitCode: 3 });
  });

  it('tells what is switched, and not what was so from the beginning', () => {
    const log = new EventLog();
    log.processors({ mode: 'hosted', count: 2, timeSliceMs: 30 });
    log.memoryLimit(2 ** 30);
    expect(texts(log)).toEqual([]);
    log.processors({ mode: 'bare-metal', count: 1, timeSliceMs: 30 });
    // A share has changed: not the log's.
    log.processors({ mode: 'bare-metal', count: 1, timeSliceMs: 30 });
    log.processors({ mode: 'hosted', count: 1, timeSliceMs: 30 });
    log.processors({ mode: 'hosted', count: 2, timeSliceMs: 30 });
    log.memoryLimit(2 ** 30);
    log.memoryLimit(2 ** 31);
    expect(texts(log)).toEqual([
      'processors: Bare-metal mode: Tabvisor schedules the guests on 1 processor, in slices of 30 ms.',
      'processors: Hosted mode: browser and system schedule the guests.',
      'memoryLimit: All guests together may take 2 GiB (before: 1 GiB).',
    ]);
  });

  it('keeps the last ones, and says where to go on', () => {
    const log = new EventLog(() => 0, 3);
    for (let mib = 1; mib <= 5; mib++) log.balloonAsked('a', mib);
    const { entries, next } = log.since();
    expect(entries.map(({ number }) => number)).toEqual([2, 3, 4]);
    expect(next).toBe(5);
    expect(log.since(next).entries).toEqual([]);
    log.balloonAnswered('a', 0);
    expect(log.since(next).entries.map(({ text }) => text)).toEqual(['It has all of its memory back.']);
  });
});
