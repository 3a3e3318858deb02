/**
 * What a recipe in `recipes/` may say, and the validator that tells its author what is wrong with it.
 *
 * A recipe is data: one JSON file is one entry of the catalogue. Unknown fields are errors, so that a misspelt one is
 * noticed.
 */

/** Debian's names of the architectures that a guest can have. */
export type Architecture = 'i386' | 'amd64';

/** A file of the project that is put into the initramfs as it is. */
export interface ExtraFile {
  /** Absolute path in the guest. */
  readonly path: string;
  /** Permission bits. */
  readonly mode: number;
  /** Path in the project, relative to its root. `$ARCH` stands for the recipe's architecture. */
  readonly source: string;
}

/** A Debian that is installed onto a disk, by a guest that boots what the rest of the recipe says (`guests/installer`). */
export interface DiskRecipe {
  readonly sizeMiB: number;
  /** Debian packages by name; those that they depend on, and the essential ones, come with them. */
  readonly packages: readonly string[];
  /** Those of them that make up, with the essential ones, a system that can configure the rest. */
  readonly essential: readonly string[];
  /** A folder of the project whose tree the installed system gets. */
  readonly files: string;
  /** What of its init scripts does not run. */
  readonly disabledServices: readonly string[];
  /** What building it takes, for whoever is about to. */
  readonly cost: string;
}

/** One entry of the guest catalogue. */
export interface Recipe {
  /** Lower-case letters, digits and dashes; also the file name of the recipe, the guest's host name and `?guest=`. */
  readonly id: string;
  readonly name: string;
  readonly description: string;
  readonly arch: Architecture;
  /** Not offered in the page's catalogue and built only on request. */
  readonly hidden: boolean;
  /** A Debian kernel package, or a meta package that depends on one. */
  readonly kernelPackage: string;
  /**
   * Kernel modules by name, in the order in which the init loads them, each after those that it depends on, which are
   * added; those built into the kernel are skipped.
   */
  readonly modules: readonly string[];
  /** The same for modules that nobody waits for: the init loads them behind its ready line, beside the shell. */
  readonly lateModules: readonly string[];
  /** The same for modules that are for disks: the init loads them before its ready line where there is one. */
  readonly diskModules: readonly string[];
  /** Debian package → absolute paths of its files that the initramfs takes. */
  readonly packages: Readonly<Record<string, readonly string[]>>;
  /** A folder of the project, relative to its root, whose tree the initramfs begins with; it holds `/init`. */
  readonly skeleton: string;
  readonly files: readonly ExtraFile[];
  /** Absent: the guest has no disk of its own. With one it is built only on request. */
  readonly disk: DiskRecipe | undefined;
  /** A TypeScript file of the project, run with the architecture as its argument before the files are packed. */
  readonly prepare: string | undefined;
  readonly memoryMiB: number;
  /** What the guest boots with by default. */
  readonly commandLine: string;
  /** The same without anything that trims the boot: the benchmark shows both. */
  readonly stockCommandLine: string;
}

/** All that is wrong with a recipe, one line for each problem. */
export class RecipeError extends Error {
  readonly problems: readonly string[];

  constructor(source: string, problems: readonly string[]) {
    super(`${source} is not a guest recipe:\n${problems.map((problem) => `  ${problem}`).join('\n')}`);
    this.problems = problems;
  }
}

type Check = (value: unknown) => string | undefined;

const text =
  (what: string, pattern: RegExp): Check =>
  (value) =>
    typeof value === 'string' && pattern.test(value) ? undefined : `must be ${what}`;

const ID = text('lower-case letters, digits and dashes, beginning with a letter', /^[a-z][a-z0-9-]{0,62}$/);
const LINE = text('one line of text', /^[^\r\n]*\S[^\r\n]*$/);
const PACKAGE = text('the name of a Debian package', /^[a-z0-9][a-z0-9+.-]+$/);
const GUEST_PATH = text('an absolute path without ..', /^(?!.*\/\.\.(\/|$))\/\S+$/);
const PROJECT_PATH = text("a path relative to the project's root, without ..", /^(?!(.*\/)?\.\.(\/|$))[^/\s]\S*$/);
const MODE = text('permissions in octal, such as "0755"', /^0[0-7]{3,4}$/);
const MODULE = text('the name of a kernel module', /^[a-z0-9_-]+$/);
const COMMAND_LINE = text('a kernel command line of at most 2047 characters on one line', /^[\x20-\x7e]{0,2047}$/);

const list =
  (item: Check): Check =>
  (value) => {
    if (!Array.isArray(value)) return 'must be a list';
    for (const [index, element] of value.entries()) {
      const problem = item(element);
      if (problem) return `[${index}]${joined(problem)}`;
    }
    return undefined;
  };

const packages: Check = (value) => {
  if (!isObject(value)) return 'must be an object of package names and lists of paths';
  for (const [name, paths] of Object.entries(value)) {
    const problem = PACKAGE(name) ?? list(GUEST_PATH)(paths);
    if (problem) return `.${name}${joined(problem)}`;
  }
  return undefined;
};

const extraFile: Check = (value) => {
  if (!isObject(value)) return 'must be an object with path, mode and source';
  const fields: Record<string, Check> = { path: GUEST_PATH, mode: MODE, source: PROJECT_PATH };
  for (const name of Object.keys(value)) if (!(name in fields)) return `.${name} is not a known field`;
  for (const [name, check] of Object.entries(fields)) {
    const problem = check(value[name]);
    if (problem) return `.${name}${joined(problem)}`;
  }
  return undefined;
};

const DISK_FIELDS: Readonly<Record<keyof DiskRecipe, Check>> = {
  sizeMiB: (value) =>
    Number.isInteger(value) && Number(value) >= 256 && Number(value) <= 65536
      ? undefined
      : 'must be a whole number of MiB from 256 to 65536',
  packages: list(PACKAGE),
  essential: list(PACKAGE),
  files: PROJECT_PATH,
  disabledServices: list(text('the name of an init script', /^[a-z0-9_.-]+$/)),
  cost: LINE,
};

const disk: Check = (value) => {
  if (!isObject(value)) return `must be an object with ${Object.keys(DISK_FIELDS).join(', ')}`;
  for (const name of Object.keys(value)) if (!(name in DISK_FIELDS)) return `.${name} is not a known field`;
  for (const [name, check] of Object.entries(DISK_FIELDS)) {
    const problem = check(value[name]);
    if (problem) return `.${name}${joined(problem)}`;
  }
  return undefined;
};

const REQUIRED: Readonly<Record<string, Check>> = {
  id: ID,
  name: LINE,
  description: LINE,
  arch: (value) => (value === 'i386' || value === 'amd64' ? undefined : 'must be "i386" or "amd64"'),
  kernelPackage: PACKAGE,
  packages,
  skeleton: PROJECT_PATH,
  memoryMiB: (value) =>
    Number.isInteger(value) && Number(value) >= 16 && Number(value) <= 3584
      ? undefined
      : 'must be a whole number of MiB from 16 to 3584',
  commandLine: COMMAND_LINE,
  stockCommandLine: COMMAND_LINE,
};

const OPTIONAL: Readonly<Record<string, Check>> = {
  $schema: LINE,
  hidden: (value) => (typeof value === 'boolean' ? undefined : 'must be true or false'),
  modules: list(MODULE),
  lateModules: list(MODULE),
  diskModules: list(MODULE),
  files: list(extraFile),
  disk,
  prepare: text("a .ts file, relative to the project's root", /^(?!(.*\/)?\.\.(\/|$))[^/\s]\S*\.ts$/),
};

/** What a checked recipe is before its defaults are filled in. */
interface RecipeFile {
  id: string;
  name: string;
  description: string;
  arch: Architecture;
  hidden?: boolean;
  kernelPackage: string;
  modules?: string[];
  lateModules?: string[];
  diskModules?: string[];
  packages: Record<string, string[]>;
  skeleton: string;
  files?: { path: string; mode: string; source: string }[];
  disk?: DiskRecipe;
  prepare?: string;
  memoryMiB: number;
  commandLine: string;
  stockCommandLine: string;
}

/**
 * Checks the parsed JSON of a recipe and fills in what it leaves out.
 * @param source the file's name, for messages; its base name must be the id.
 * @throws RecipeError with every problem that was found.
 */
export function parseRecipe(json: unknown, source: string): Recipe {
  if (!isObject(json)) throw new RecipeError(source, ['must be a JSON object']);
  const problems: string[] = [];
  for (const [name, check] of Object.entries(REQUIRED)) {
    if (!(name in json)) {
      problems.push(`${name} is missing`);
      continue;
    }
    const problem = check(json[name]);
    if (problem) problems.push(`${name}${joined(problem)}`);
  }
  for (const [name, value] of Object.entries(json)) {
    if (name in REQUIRED) continue;
    const problem = name in OPTIONAL ? OPTIONAL[name]!(value) : 'is not a known field';
    if (problem) problems.push(`${name}${joined(problem)}`);
  }
  const expected = /([^/\\]+)\.json$/.exec(source)?.[1];
  if (problems.length === 0 && expected !== undefined && json['id'] !== expected) {
    problems.push(`id must be "${expected}", as the file is called`);
  }
  if (problems.length > 0) throw new RecipeError(source, problems);

  const file = json as unknown as RecipeFile;
  const files = (file.files ?? []).map((entry) => ({
    path: entry.path,
    mode: Number.parseInt(entry.mode, 8),
    source: entry.source.replaceAll('$ARCH', file.arch),
  }));
  return {
    id: file.id,
    name: file.name,
    description: file.description,
    arch: file.arch,
    hidden: file.hidden ?? false,
    kernelPackage: file.kernelPackage,
    modules: file.modules ?? [],
    lateModules: file.lateModules ?? [],
    diskModules: file.diskModules ?? [],
    packages: file.packages,
    skeleton: file.skeleton,
    files,
    disk: file.disk,
    prepare: file.prepare,
    memoryMiB: file.memoryMiB,
    commandLine: file.commandLine,
    stockCommandLine: file.stockCommandLine,
  };
}

/** `.x must…` and `[0] must…` continue the field's name, a bare predicate follows it after a space. */
function joined(problem: string): string {
  return /^[.[]/.test(problem) ? problem : ` ${problem}`;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
