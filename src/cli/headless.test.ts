import { describe, expect, it } from 'vitest';
import { debugExitPort, printingGuest, sleepingGuest, spinningGuest } from '../executor/testing/tiny-guest.ts';
import { shared, startHeadless, StartFailure, type HeadlessMachine } from './headless.ts';

const start = (kernel: Uint8Array): Promise<HeadlessMachine> =>
  startHeadless({ kernel: shared(kernel), commandLine: '', ramBytes: 16 * 2 ** 20, noReboot: true, debugExitPort });

describe('headless machine', () => {
  it('gives the output of a guest and its end', async () => {
    const machine = await start(printingGuest('hello\n', 1));
    await expect(machine.run()).resolves.toMatchObject({ state: 'debugExit', exitCode: 3 });
    await machine.close();
    expect(machine.console.text).toBe('hello\n');
  });

  it('pauses a guest that computes, within 50 ms, and lets it go on', async () => {
    const machine = await start(spinningGuest());
    const run = machine.run();
    for (let round = 0; round < 3; round++) {
      await new Promise((resolve) => setTimeout(resolve, 100));
      const asked = performance.now();
      await machine.pause();
      expect(performance.now() - asked).toBeLessThan(50);
      expect(machine.control.state).toBe('paused');
      const { retired, uptimeNs } = machine.control.fields;
      await new Promise((resolve) => setTimeout(resolve, 50));
      expect(machine.control.fields.retired).toBe(retired);
      await machine.resume();
      await new Promise((resolve) => setTimeout(resolve, 50));
      await machine.pause();
      expect(machine.control.fields.retired).toBeGreaterThan(retired);
      expect(machine.control.fields.uptimeNs - uptimeNs).toBeLessThan(200e6);
      await machine.resume();
    }
    machine.stop();
    await expect(run).resolves.toMatchObject({ state: 'stopped' });
    await machine.close();
  });

  it('stops a guest that sleeps for ever', async () => {
    const machine = await start(sleepingGuest());
    const run = machine.run();
    while (machine.control.state !== 'halted') await new Promise((resolve) => setTimeout(resolve, 5));
    machine.stop();
    await expect(run).resolves.toMatchObject({ state: 'stopped' });
    await machine.close();
  });

  it('goes on in a new executor after the first was killed while parked', async () => {
    const machine = await start(printingGuest('abcdefgh', 0));
    await machine.run({ parkAtRetired: 9 });
    await machine.kill();
    await machine.attach();
    await expect(machine.run()).resolves.toMatchObject({ state: 'debugExit' });
    await machine.close();
    expect(machine.console.text).toBe('abcdefgh');
  });

  it('says that an executor was killed', async () => {
    const machine = await start(spinningGuest());
    const run = machine.run();
    await Promise.all([expect(run).rejects.toThrow(/terminated/), machine.kill()]);
    await machine.close();
  });

  it('refuses what is no kernel', async () => {
    await expect(start(new Uint8Array(100))).rejects.toThrow(StartFailure);
  });
});
