import { describe, expect, it } from 'vitest';
import {
  definitionDefaults,
  definitionFile,
  definitionProblems,
  keptFileUrl,
  parseDefinition,
  parseDefinitionFile,
  type Definition,
} from './definition.ts';

const box: Definition = { ...definitionDefaults, name: 'Box', catalogueId: 'linux-i386' };
const own: Definition = { ...definitionDefaults, name: 'Own', kernelUrl: 'kernels/bzImage', initrdUrl: '/initrd.gz' };

const file = (guest: unknown, more: object = {}) =>
  JSON.stringify({ format: 'tabvisor-guest', version: 1, guest, ...more });

describe('the schema of a definition', () => {
  it('takes what is right', () => {
    for (const definition of [
      box,
      own,
      { ...box, commandLine: '', clock: 'virtual', weight: 65535, capPercent: 100, autostart: true },
      { ...own, kernelUrl: 'https://elsewhere.example/k', memoryMiB: 3584, template: true },
      { ...box, hardAffinity: [0, 31], softAffinity: [1] },
      { ...own, kernelUrl: keptFileUrl, initrdUrl: keptFileUrl },
    ]) {
      expect(definitionProblems(definition)).toEqual({});
      expect(parseDefinition(definition)).toEqual(definition);
    }
  });

  it('says what is wrong with each field', () => {
    const wrong: readonly (readonly [keyof Definition, unknown, RegExp])[] = [
      ['name', '', /^The name must not be empty\.$/],
      ['name', '  ', /must not be empty/],
      ['name', 7, /must be text/],
      ['name', undefined, /must be text/],
      ['name', 'x'.repeat(81), /at most 80 characters; this one has 81/],
      ['name', 'a\u0000b', /without control characters/],
      ['kernelUrl', 'javascript:alert(1)', /begins with javascript:, which cannot be fetched/],
      ['kernelUrl', 'http://[', /is no address/],
      ['commandLine', 'x\ny', /one line/],
      ['commandLine', 'x'.repeat(2048), /at most 2047/],
      ['memoryMiB', 15, /^Memory must be a size such as 512M or 1G, from 16M to 3584M\.$/],
      ['memoryMiB', 3585, /from 16M to 3584M/],
      ['memoryMiB', 64.5, /such as 512M/],
      ['memoryMiB', NaN, /such as 512M/],
      ['memoryMiB', '64', /such as 512M/],
      ['clock', 'slow', /real or virtual/],
      ['weight', 0, /from 1 to 65535/],
      ['weight', Infinity, /from 1 to 65535/],
      ['capPercent', -1, /from 1 to 100, or 0 for none/],
      ['capPercent', 101, /from 1 to 100/],
      ['hardAffinity', [], /numbers from 0 to 31.*empty for all/],
      ['hardAffinity', [0, NaN], /numbers from 0 to 31/],
      ['hardAffinity', '0', /numbers from 0 to 31/],
      ['softAffinity', [32], /numbers from 0 to 31/],
      ['autostart', 'yes', /true or false/],
      ['template', 1, /true or false/],
    ];
    for (const [field, value, message] of wrong) {
      const { [field]: _, ...rest } = field === 'kernelUrl' ? own : box;
      const problems = definitionProblems(value === undefined ? rest : { ...rest, [field]: value });
      expect(Object.keys(problems), `${field} ${String(value)}`).toEqual([field]);
      expect(problems[field]).toMatch(message);
    }
  });

  it('looks at fields together', () => {
    expect(definitionProblems({ ...own, catalogueId: 'linux-i386' }).kernelUrl).toMatch(/either .* or a kernel/);
    const { catalogueId: _, ...nothing } = box;
    expect(definitionProblems(nothing).kernelUrl).toMatch(/either .* or a kernel/);
    expect(definitionProblems({ ...box, initrdUrl: 'x' }).initrdUrl).toMatch(/goes with a kernel of your own/);
    expect(definitionProblems({ ...box, autostart: true, template: true }).autostart).toMatch(/one of the two/);
  });
});

describe('a definition as a file', () => {
  it('comes back as it was', () => {
    for (const definition of [box, own]) expect(parseDefinitionFile(definitionFile(definition))).toEqual(definition);
  });

  it('is refused with the reason, whatever it is', () => {
    const bad: readonly (readonly [string, RegExp])[] = [
      ['', /it is no JSON/],
      ['{', /it is no JSON/],
      ['null', /"format" is not "tabvisor-guest"/],
      ['[]', /"format"/],
      ['{"format":"other"}', /"format"/],
      [file(box, { version: 2 }), /version 2, and this page reads version 1/],
      [file(box, { version: undefined }), /version null/],
      [file(box, { version: { deep: 'x'.repeat(100) } }), /version \{"deep/],
      [file(undefined), /must be an object/],
      [file([box]), /must be an object/],
      [file('box'), /must be an object/],
      [file({ ...box, screens: [] }), /has no field "screens"\. It has name, catalogueId/],
      [file({ ...box, disks: 'home' }), /The disks must be a list/],
      [file({ ...box, disks: ['a', 'b', 'c', 'd', 'e'] }), /at most 4 disks/],
      [file({ ...box, disks: [''] }), /A disk must not be empty/],
      ['{"format":"tabvisor-guest","version":1,"guest":{"__proto__":{"name":"x"}}}', /no field "__proto__"/],
      [file({}), /The name must be text\..*Memory must be/],
      [file({ ...box, memoryMiB: 1e99, weight: '1' }), /Memory must be.*The weight must be/],
      [' '.repeat(70_000), /larger than 64 KiB/],
    ];
    for (const [content, message] of bad) {
      expect(() => parseDefinitionFile(content), content.slice(0, 80)).toThrow(message);
      expect(() => parseDefinitionFile(content)).toThrow(expect.objectContaining({ code: 'badDefinition' }));
    }
  });

  it('never yields anything but a definition, or a clear refusal, when bytes of it change', () => {
    const content = definitionFile(own);
    let accepted = 0;
    for (let at = 0; at < content.length; at++) {
      for (const byte of ['\u0000', '"', '}', '9', 'x']) {
        const changed = content.slice(0, at) + byte + content.slice(at + 1);
        try {
          expect(definitionProblems({ ...parseDefinitionFile(changed) })).toEqual({});
          accepted++;
        } catch (error) {
          expect(error).toMatchObject({ code: 'badDefinition' });
        }
      }
    }
    expect(accepted).toBeGreaterThan(0);
  });
});
