import { describe, expect, it } from 'vitest';
import { helpers } from './helpers.ts';
import { instructionTable, integerRows } from './table.ts';

describe('the instruction table', () => {
  it('leaves at most 5 % to helpers outside the definitions', () => {
    const whole = Object.values(helpers).filter((h) => 'whole' in h && h.whole);
    expect(whole.length / instructionTable.length).toBeLessThanOrEqual(0.05);
  });

  it('gives every helper a reason', () => {
    for (const [name, helper] of Object.entries(helpers)) expect(helper.reason.length, name).toBeGreaterThan(10);
  });

  it('has an integer row for every one-byte opcode that is not a prefix, an escape or VEX, in legacy code', () => {
    const prefixes = [0x0f, 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x9b];
    const covered = new Set<number>();
    for (const { encoding, modes } of integerRows) {
      const [first = '', next = ''] = encoding.replace(/^(NP|F3 (?=90))\s*/, '').split(' ');
      const span = next === '+r' ? 8 : next === '+cc' ? 16 : 1;
      if (modes !== 'long') for (let k = 0; k < span; k++) covered.add(parseInt(first, 16) + k);
    }
    const missing = Array.from({ length: 256 }, (_, k) => k).filter(
      (k) => !covered.has(k) && !prefixes.includes(k) && (k < 0xd8 || k > 0xdf),
    );
    expect(missing).toEqual([]);
  });

  it('lets LOCK precede only what writes its first operand', () => {
    const locked = new Set(instructionTable.filter((r) => r.lock).map((r) => r.mnemonic));
    const allowed = 'ADD OR ADC SBB AND SUB XOR INC DEC NOT NEG XADD XCHG CMPXCHG CMPXCHG8B CMPXCHG16B BTS BTR BTC';
    expect([...locked].sort()).toEqual(allowed.split(' ').sort());
  });
});
