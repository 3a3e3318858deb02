import { describe, expect, it } from 'vitest';
import { ControlPage, controlAddress, controlBytes, requestBit } from '../../abi/control.ts';
import type { RunResult, StartOptions, StartResult } from '../../abi/executor.ts';
import { Seat, type Place } from './seat.ts';

const ended: RunResult = { kind: 'ended', state: 'poweredOff', exitCode: 0 };
const rings = { consoleOutput: 0, consoleInput: 0, log: 0, disks: [] };
const options = { fresh: true } as StartOptions;

/** A place whose guest runs until it is told otherwise, or is asked to park. */
class FakePlace implements Place {
  readonly calls: string[] = [];
  readonly control: ControlPage;
  settle: ((result: RunResult) => void) | undefined;
  fail: ((error: Error) => void) | undefined;
  die: (message: string) => void = () => undefined;
  readonly died = new Promise<string>((resolve) => {
    this.die = resolve;
  });
  readonly alsoRings = (): void => this.look();
  startResult: StartResult = { ok: true, rings };

  constructor(control: ControlPage) {
    this.control = control;
  }

  look(): void {
    if ((this.control.load('request') & requestBit.park) !== 0) this.settle?.({ kind: 'parked' });
  }

  readonly api = {
    start: ({ fresh }: StartOptions): Promise<StartResult> => {
      this.calls.push(fresh ? 'start fresh' : 'start');
      return Promise.resolve(this.startResult);
    },
    run: (): Promise<RunResult> => {
      this.calls.push('run');
      return new Promise((resolve, reject) => {
        this.settle = resolve;
        this.fail = reject;
        this.look();
      });
    },
    region: () => Promise.resolve({ ok: true as const, text: this.calls.join() }),
  };

  terminate(): void {
    this.calls.push('terminate');
  }
}

function fixture(): { seat: Seat; first: FakePlace; next: FakePlace; control: ControlPage } {
  const control = new ControlPage(new SharedArrayBuffer(controlAddress + controlBytes));
  const [first, next] = [new FakePlace(control), new FakePlace(control)];
  const seat = new Seat(first);
  seat.connect(control);
  return { seat, first, next, control };
}

describe('seat of a guest', () => {
  it('takes a running guest elsewhere: parked here, started there, not fresh', async () => {
    const { seat, first, next, control } = fixture();
    expect(await seat.api.start(options)).toMatchObject({ ok: true });
    const run = seat.api.run();
    await seat.moveTo(() => next);
    expect(first.calls).toEqual(['start fresh', 'run', 'terminate']);
    expect(control.load('request') & requestBit.park).toBe(0);
    expect(control.alsoRings).toBe(next.alsoRings);
    await Promise.resolve();
    expect(next.calls).toEqual(['start', 'run']);
    next.settle?.(ended);
    expect(await run).toEqual(ended);
    expect(seat.over).toBe(true);
  });

  it('takes one that has not started, and one that has not run, with the next step', async () => {
    const { seat, first, next } = fixture();
    await seat.moveTo(() => next);
    expect(first.calls).toEqual(['terminate']);
    await seat.api.start(options);
    const third = new FakePlace(next.control);
    const moved = seat.moveTo(() => third);
    await Promise.resolve();
    const run = seat.api.run();
    await moved;
    expect(next.calls).toEqual(['start fresh', 'run', 'terminate']);
    third.settle?.(ended);
    await run;
  });

  it('moves twice, one after the other', async () => {
    const { seat, next, control } = fixture();
    await seat.api.start(options);
    const run = seat.api.run();
    const last = new FakePlace(control);
    await Promise.all([seat.moveTo(() => next), seat.moveTo(() => last)]);
    expect(seat.place).toBe(last);
    last.settle?.(ended);
    await run;
  });

  it('gives up a move when the guest ends first', async () => {
    const { seat, first, next } = fixture();
    await seat.api.start(options);
    const run = seat.api.run();
    first.settle?.(ended);
    expect(await run).toEqual(ended);
    await seat.moveTo(() => next);
    expect(next.calls).toEqual([]);
  });

  it('gives up a move when the guest is killed, or its worker fails', async () => {
    for (const how of ['terminate', 'fail'] as const) {
      const { seat, first, next } = fixture();
      await seat.api.start(options);
      const run = seat.api.run();
      // It does not look at its requests.
      first.look = () => undefined;
      const moved = seat.moveTo(() => next);
      await Promise.resolve();
      if (how === 'terminate') seat.terminate();
      else first.fail?.(new Error('gone'));
      if (how === 'fail') await expect(run).rejects.toThrow('gone');
      await moved;
      expect(next.calls).toEqual([]);
    }
  });

  it('tells that the place died which has the guest, and no other', async () => {
    const { seat, first, next } = fixture();
    await seat.api.start(options);
    void seat.api.run();
    await seat.moveTo(() => next);
    first.die('the old one');
    next.die('the new one');
    expect(await seat.died).toBe('the new one');
  });

  it('fails where the guest cannot go on', async () => {
    const { seat, next } = fixture();
    await seat.api.start(options);
    const run = seat.api.run();
    next.startResult = { ok: false, error: { kind: 'badState', message: 'The memory holds no guest.' } };
    const failed = expect(run).rejects.toThrow('The memory holds no guest.');
    await seat.moveTo(() => next);
    await failed;
  });
});
