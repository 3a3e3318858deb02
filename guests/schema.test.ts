import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseRecipe, RecipeError } from './schema.ts';

const MINIMAL = {
  id: 'demo',
  name: 'Demo',
  description: 'A guest for tests',
  arch: 'i386',
  kernelPackage: 'linux-image-686',
  packages: { 'busybox-static': ['/bin/busybox'] },
  skeleton: 'guests/skeleton',
  memoryMiB: 64,
  commandLine: 'console=ttyS0 cryptomgr.notests',
  stockCommandLine: 'console=ttyS0',
};

function problemsOf(json: unknown, source = 'demo.json'): readonly string[] {
  try {
    parseRecipe(json, source);
  } catch (error) {
    if (error instanceof RecipeError) return error.problems;
    throw error;
  }
  return [];
}

describe('parseRecipe', () => {
  it('fills in what a recipe leaves out', () => {
    const recipe = parseRecipe(MINIMAL, 'demo.json');
    expect(recipe).toMatchObject({
      id: 'demo',
      hidden: false,
      modules: [],
      lateModules: [],
      diskModules: [],
      files: [],
      prepare: undefined,
    });
  });

  it('reads octal modes and puts the architecture into sources', () => {
    const files = [{ path: '/bin/tool', mode: '0755', source: '.cache/tool/$ARCH/tool' }];
    expect(parseRecipe({ ...MINIMAL, files }, 'demo.json').files).toEqual([
      { path: '/bin/tool', mode: 0o755, source: '.cache/tool/i386/tool' },
    ]);
  });

  it('names every problem at once, with the file', () => {
    const { name: _, ...rest } = MINIMAL;
    const broken = { ...rest, arch: 'arm64', memoryMiB: 8, memoryMib: 64 };
    expect(problemsOf(broken)).toEqual([
      'name is missing',
      'arch must be "i386" or "amd64"',
      'memoryMiB must be a whole number of MiB from 16 to 3584',
      'memoryMib is not a known field',
    ]);
    expect(() => parseRecipe(broken, 'demo.json')).toThrow(/^demo\.json is not a guest recipe:\n {2}name is missing/);
  });

  it('wants the id to be the file name, as that makes it unique', () => {
    expect(problemsOf(MINIMAL, '/some/where/other.json')).toEqual(['id must be "other", as the file is called']);
  });

  it.each([
    ['no object', [], 'must be a JSON object'],
    ['an id with a slash', { ...MINIMAL, id: '../x' }, 'id must be lower-case letters'],
    [
      'a source outside the project',
      { ...MINIMAL, files: [{ path: '/a', mode: '0644', source: '../a' }] },
      'files[0].source',
    ],
    ['a climbing guest path', { ...MINIMAL, packages: { x1: ['/a/../../b'] } }, 'packages.x1[0] must be an absolute'],
    ['a decimal mode', { ...MINIMAL, files: [{ path: '/a', mode: '755', source: 'a' }] }, 'files[0].mode'],
    ['an option as a package name', { ...MINIMAL, kernelPackage: '-o' }, 'kernelPackage must be the name'],
    ['a command line of two lines', { ...MINIMAL, commandLine: 'a\nb' }, 'commandLine must be a kernel command line'],
  ])('refuses %s', (_, json, problem) => {
    expect(problemsOf(json).join('\n')).toContain(problem);
  });

  it('accepts every recipe of the catalogue', () => {
    const directory = path.join(import.meta.dirname, 'recipes');
    const names = readdirSync(directory).filter((name) => name.endsWith('.json'));
    const recipes = names.map((name) =>
      parseRecipe(JSON.parse(readFileSync(path.join(directory, name), 'utf8')), name),
    );
    const shown = recipes.filter((recipe) => !recipe.hidden).map((recipe) => recipe.id);
    expect(shown).toEqual(expect.arrayContaining(['linux-amd64', 'linux-i386']));
  });
});

describe('a recipe with a disk', () => {
  const disk = {
    sizeMiB: 1024,
    packages: ['python3'],
    essential: [],
    files: 'guests/debian',
    disabledServices: ['hwclock.sh'],
    cost: 'ten minutes',
  };

  it('says what is installed', () => {
    expect(parseRecipe({ ...MINIMAL, disk }, 'demo.json').disk).toEqual(disk);
    expect(parseRecipe(MINIMAL, 'demo.json').disk).toBeUndefined();
  });

  it.each([
    ['disk must be an object', 'yes'],
    ['disk.sizeMiB must be a whole number', { ...disk, sizeMiB: 1 }],
    ['disk.packages[0] must be the name', { ...disk, packages: ['No'] }],
    ['disk.files must be a path', { ...disk, files: '/etc' }],
    ['disk.size is not a known field', { ...disk, size: 1 }],
  ])('is told: %s', (message, wrong) => {
    expect(problemsOf({ ...MINIMAL, disk: wrong }).join()).toContain(message);
  });
});
