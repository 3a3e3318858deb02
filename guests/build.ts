/**
 * `npm run guests`: builds the images of the catalogue into `.cache/guests/images`.
 *
 *     tsx guests/build.ts [ID]... [--only ID]... [--all] [--update]
 *
 * ID, --only ID   builds this recipe, hidden or not; may be given several times. Guests with a disk are built only so
 * --all       builds hidden recipes too
 * --update    looks for newer packages; otherwise what was fetched once serves, without the network
 *
 * DEBIAN_MIRROR   URL of a Debian mirror, in place of the machine's own apt sources
 *
 * Exit codes: 0 built or up to date, 2 a wrong option or recipe, 3 a guest could not be built (an older image of it
 * stays in use).
 */
import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { AptError, type MirrorOptions } from './apt.ts';
import { GuestBuilder } from './builder.ts';
import { replaceFile } from './files.ts';
import type { ImageManifest } from './manifest.ts';
import { parseRecipe, RecipeError, type Recipe } from './schema.ts';

const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';

const ADVICE = `What to do, one of:
  - run this on Debian or a derivative (a container will do) that reaches its package sources;
  - set DEBIAN_MIRROR to the URL of a Debian mirror, if the machine's own sources lack these packages or are out of
    reach (with the package debian-archive-keyring installed, by which the mirror's signature is checked);
  - bring your own kernel: open the page with ?kernel=URL&initrd=URL&append=…`;

function readRecipes(directory: string): Recipe[] {
  const files = readdirSync(directory).filter((name) => name.endsWith('.json'));
  return files.sort().map((name) => {
    const source = path.join(directory, name);
    let json: unknown;
    try {
      json = JSON.parse(readFileSync(source, 'utf8'));
    } catch (error) {
      throw new RecipeError(source, [error instanceof Error ? error.message : String(error)]);
    }
    return parseRecipe(json, source);
  });
}

function chooseRecipes(recipes: readonly Recipe[], only: readonly string[], all: boolean): Recipe[] {
  const unknown = only.filter((id) => !recipes.some((recipe) => recipe.id === id));
  if (unknown.length > 0) {
    const known = recipes.map((recipe) => recipe.id).join(', ');
    throw new Error(`there is no recipe ${unknown.join(', ')}; there are ${known}`);
  }
  if (only.length > 0) return recipes.filter((recipe) => only.includes(recipe.id));
  return recipes.filter((recipe) => recipe.disk === undefined && (all || !recipe.hidden));
}

function readMirror(): MirrorOptions {
  return {
    mirror: process.env['DEBIAN_MIRROR'] || undefined,
    osRelease: existsSync('/etc/os-release') ? readFileSync('/etc/os-release', 'utf8') : '',
    keyring: existsSync(KEYRING) ? KEYRING : undefined,
  };
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      only: { type: 'string', multiple: true, default: [] },
      all: { type: 'boolean', default: false },
      update: { type: 'boolean', default: false },
    },
  });
  const recipes = readRecipes(path.join(ROOT, 'guests/recipes'));
  const chosen = chooseRecipes(recipes, [...values.only, ...positionals], values.all);
  const cache = path.join(ROOT, '.cache/guests');
  const report = (line: string) => console.log(`guests: ${line}`);
  const builder = new GuestBuilder({ root: ROOT, cache, mirror: readMirror(), refresh: values.update, report });

  const failures: string[] = [];
  let lacksPackages = false;
  for (const recipe of chosen) {
    try {
      await builder.build(recipe);
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      const older = builder.imageOf(recipe) ? ' (the image built before stays in use)' : '';
      failures.push(`${recipe.id} could not be built: ${message}${older}`);
      lacksPackages ||= error instanceof AptError;
    }
  }

  // Whatever exists is offered, also what an earlier run built and this one did not choose.
  const guests = recipes.flatMap((recipe) => builder.imageOf(recipe) ?? []);
  const manifest: ImageManifest = { format: 1, guests };
  const file = path.join(cache, 'images/manifest.json');
  mkdirSync(path.dirname(file), { recursive: true });
  replaceFile(file, JSON.stringify(manifest, undefined, 2) + '\n');
  for (const failure of failures) console.error(`guests: ${failure}`);
  if (lacksPackages) console.error(ADVICE);
  return failures.length > 0 ? 3 : 0;
}

try {
  process.exitCode = await main();
} catch (error) {
  console.error(`guests: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 2;
}
