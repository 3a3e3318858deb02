import { describe, expect, it } from 'vitest';
import { allExecutors, HostPage } from '../../abi/host-page.ts';
import { changedSettings, changedShare, defaultShare, enterShare, settingsOfQuery } from './share.ts';

const settings = { mode: 'hosted', count: 2, timeSliceMs: 30 } as const;

describe('share', () => {
  it('changes what is named', () => {
    const share = changedShare(defaultShare, { cap: 25 });
    expect(share).toEqual({ weight: 256, cap: 25, affinity: {} });
    expect(changedShare(share, { weight: 512 })).toEqual({ weight: 512, cap: 25, affinity: {} });
  });

  it.each([
    [{ weight: 0 }, /weight of 0/],
    [{ weight: 1.5 }, /whole number from 1/],
    [{ cap: 101 }, /1 to 100/],
    [{ affinity: { hard: [32] } }, /no processor 32/],
  ])('refuses %j', (change, message) => {
    expect(() => changedShare(defaultShare, change)).toThrow(message);
  });

  it('goes to the host page: no processors named are all', () => {
    const { vcpus } = HostPage.create();
    const [vcpu] = vcpus;
    if (vcpu === undefined) throw new Error('no vCPU');
    enterShare(vcpu, { weight: 7, cap: 50, affinity: { hard: [0, 31] } });
    expect(vcpu).toMatchObject({ weight: 7, capPercent: 50, hardMask: 0x80000001, softMask: allExecutors });
  });
});

describe('settings of the processors', () => {
  it('change what is named', () => {
    expect(changedSettings(settings, { mode: 'bare-metal' }, 4)).toEqual({ ...settings, mode: 'bare-metal' });
  });

  it.each([
    [{ mode: 'other' as 'hosted' }, /"hosted" or "bare-metal"/],
    [{ count: 0 }, /has 4: give a number from 1 to 4/],
    [{ count: 5 }, /5 processors cannot be granted/],
    [{ count: NaN }, /cannot be granted/],
    [{ timeSliceMs: 0 }, /1 to 1000/],
    [{ timeSliceMs: NaN }, /1 to 1000/],
  ])('refuse %j', (change, message) => {
    expect(() => changedSettings(settings, change, 4)).toThrow(message);
  });

  it("come from the page's address", () => {
    expect(settingsOfQuery('?guest=linux-amd64')).toBeUndefined();
    expect(settingsOfQuery('?mode=bare-metal&processors=2&slice=10')).toEqual({
      mode: 'bare-metal',
      count: 2,
      timeSliceMs: 10,
    });
  });
});
