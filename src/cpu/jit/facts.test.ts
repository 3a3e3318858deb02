import { describe, expect, it } from 'vitest';
import type { Form } from '../isa/compile.ts';
import { compileTable } from '../isa/compile.ts';
import { helpers } from '../isa/helpers.ts';
import { instructionTable } from '../isa/table.ts';
import { allFlags, flagBits, FormFactsCache } from './facts.ts';

const { forms } = compileTable(instructionTable);
const cache = new FormFactsCache(helpers);

/** A form of 32-bit operands, by mnemonic and kinds of operands. */
function form(mnemonic: string, kinds: string, size = 4): Form {
  const found = forms.find(
    (f) => f.mnemonic === mnemonic && f.size === size && f.operands.map((o) => o.kind[0]).join('') === kinds,
  );
  if (!found) throw new Error(`no form ${mnemonic} ${kinds}`);
  return found;
}

describe('facts of forms', () => {
  it('are found for every form', () => {
    for (const f of forms) expect(() => cache.of(f), f.name).not.toThrow();
  });

  it('say which flags are read and written', () => {
    expect(cache.of(form('ADD', 'rr'))).toMatchObject({ flagsRead: 0, flagsWritten: allFlags, mayLeave: false });
    expect(cache.of(form('ADC', 'rr')).flagsRead).toBe(flagBits.cf);
    expect(cache.of(form('INC', 'r')).flagsWritten).toBe(allFlags & ~flagBits.cf);
    expect(cache.of(form('MOV', 'rr'))).toMatchObject({ flagsRead: 0, flagsMayWrite: 0 });
    const jz = forms.find((f) => f.mnemonic === 'Jcc' && f.condition === 4 && f.size === 4);
    expect(jz && cache.of(jz)).toMatchObject({ flagsRead: flagBits.zf, transfer: 'conditional' });
  });

  it('tell that a count of 0 leaves the flags alone', () => {
    const facts = cache.of(form('SHL', 'rr'));
    expect(facts.flagsWritten).toBe(0);
    expect(facts.flagsMayWrite).toBe(allFlags);
    expect(facts.variables).toBe(true);
  });

  it('tell that a count of the instruction itself decides it', () => {
    const shift = form('SHL', 'ri');
    expect(cache.of(shift).flagsWritten).toBe(0);
    expect(cache.with(shift, 5n)).toMatchObject({ flagsWritten: allFlags, variables: false });
    // Of 4 bytes: counts are taken modulo 32.
    expect(cache.with(shift, 32n).flagsWritten).toBe(0);
    expect(cache.with(form('ADD', 'ri'), 5n)).toBe(cache.of(form('ADD', 'ri')));
  });

  it('say what may leave, and how control goes on', () => {
    expect(cache.of(form('ADD', 'rm')).mayLeave).toBe(true);
    expect(cache.of(form('DIV', 'r')).mayLeave).toBe(true);
    expect(cache.of(form('CALL', 'i'))).toMatchObject({ transfer: 'call' });
    expect(cache.of(form('RET', ''))).toMatchObject({ transfer: 'jump' });
    expect(cache.of(form('JMP', 'i'))).toMatchObject({ transfer: 'branch' });
  });

  it('name the registers', () => {
    expect(cache.of(form('ADD', 'rr')).general).toMatchObject({ rmRead: true, rmWritten: true, regRead: true });
    // MUL: EAX and EDX, by number.
    expect(cache.of(form('MUL', 'r')).general).toMatchObject({ fixedRead: 0b001, fixedWritten: 0b101 });
    expect(cache.of(form('PUSH', 'r')).general.fixedWritten).toBe(1 << 4);
  });

  it('tell what is overwritten whole from what is kept in part', () => {
    expect(cache.of(form('MOV', 'rr')).general).toMatchObject({ rmWritten: true, rmRead: false });
    expect(cache.of(form('MOV', 'rr', 2)).general).toMatchObject({ rmWritten: true, rmRead: true });
    expect(cache.of(form('MOV', 'rr', 1)).general).toMatchObject({ rmWritten: true, rmRead: true });
  });
});
