import { describe, expect, it } from 'vitest';
import { controlAddress, controlBytes, ControlPage } from '../abi/control.ts';
import { mostBalloonMiB, setBalloon } from './balloon.ts';

const ramBytes = 256 * 2 ** 20;

function make(): ControlPage {
  const control = new ControlPage(new SharedArrayBuffer(controlAddress + controlBytes));
  control.initialize();
  return control;
}

describe('setBalloon', () => {
  it('asks for pages, and rings', () => {
    const control = make();
    const seen = control.doorbellValue();
    setBalloon(control, ramBytes, 64);
    expect(control.fields.balloonTargetPages).toBe(16_384);
    expect(control.doorbellValue()).not.toBe(seen);
    setBalloon(control, ramBytes, 0);
    expect(control.fields.balloonTargetPages).toBe(0);
  });

  it('leaves a guest what the smallest guest has, and says so', () => {
    expect(mostBalloonMiB(ramBytes)).toBe(240);
    const control = make();
    setBalloon(control, ramBytes, 240);
    for (const mib of [241, -1, Number.NaN, Infinity]) {
      expect(() => setBalloon(control, ramBytes, mib)).toThrow(`between 0 and 240 MiB, not ${mib}`);
    }
    expect(control.fields.balloonTargetPages).toBe(61_440);
    expect(mostBalloonMiB(0)).toBe(0);
  });
});
