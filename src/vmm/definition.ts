/**
 * What a guest is, before it runs: plain data that is kept, edited, and carried from one page to another as a file. One
 * schema, {@link definitionFields}, says what each field may be; the page's dialogs, the coordinator, the store and the
 * import of files all ask it, and say the same.
 */
import { guestRamLimitBytes, guestRamMinimumBytes } from '../abi/executor.ts';
import { maximumDisks } from '../abi/disk-ring.ts';
import { maximumExecutors } from '../abi/host-page.ts';
import { messageOf, VmmError } from './errors.ts';

export interface Definition {
  /** For people; need not be unique. */
  readonly name: string;
  /** What it boots: a guest of the catalogue … */
  readonly catalogueId?: string;
  /**
   * … or a kernel (bzImage, multiboot 1 or ELF) of one's own, with an initrd or none. Addresses may be relative to the page;
   * {@link keptFileUrl} stands for a file that is kept beside the definition.
   */
  readonly kernelUrl?: string;
  readonly initrdUrl?: string;
  /** Absent: what the catalogue says. */
  readonly commandLine?: string;
  /** RAM. */
  readonly memoryMiB: number;
  /** `virtual`: time is the count of instructions, and runs repeat exactly. */
  readonly clock: 'real' | 'virtual';
  /** Share of the processors beside other busy guests: one of twice the weight gets twice as much. */
  readonly weight: number;
  /** The most that it gets, in percent of one executor's time; 0: no limit. */
  readonly capPercent: number;
  /** Bare-metal mode: numbers of the processors that may run it. Absent: all; so may all where none of them is granted. */
  readonly hardAffinity?: readonly number[];
  /** Those that should, where it makes no big difference. Absent: all. */
  readonly softAffinity?: readonly number[];
  /**
   * Its disks, `/dev/vda` and on: the id of a disk (`disks.ts`), `ID,ro` for one that it may only read, or the address of a
   * raw image, whose changes are forgotten when it ends.
   */
  readonly disks?: readonly string[];
  /** Start it when the page is opened. */
  readonly autostart: boolean;
  /** Not to be started: others are made from it. */
  readonly template: boolean;
}

/** Some fields of a definition; undefined takes an optional one away. */
export type DefinitionChanges = { readonly [Field in keyof Definition]?: Definition[Field] | undefined };

export type DefinitionField = keyof Definition;

/** What is wrong, by field: whole sentences for people. Empty: nothing. */
export type DefinitionProblems = Readonly<Partial<Record<DefinitionField, string>>>;

/** A definition as a file has it. */
export interface DefinitionFile {
  readonly format: typeof fileFormat;
  readonly version: typeof fileVersion;
  readonly guest: Definition;
}

/** In place of the address of a kernel or initrd: it was a file of this computer, and is kept with the definition. */
export const keptFileUrl = 'kept:';

const fileFormat = 'tabvisor-guest';
const fileVersion = 1;
/** A definition takes some hundred bytes; what is much larger is something else. */
const fileLimitBytes = 64 * 1024;

const MiB = 2 ** 20;
const longestName = 80;
/** Linux, Documentation/arch/x86/boot.rst: 2048 bytes with the 0 at the end. */
const longestCommandLine = 2047;
const longestUrl = 2048;
const largestWeight = 65535;

export const definitionDefaults = {
  memoryMiB: 256,
  clock: 'real',
  // As Xen's credit scheduler has it.
  weight: 256,
  capPercent: 0,
  autostart: false,
  template: false,
} as const satisfies Partial<Definition>;

interface FieldRule {
  readonly optional?: true;
  /** What is wrong with a value; undefined: nothing. */
  readonly problem: (value: unknown) => string | undefined;
}

function text(what: string, most: number): FieldRule['problem'] {
  return (value) => {
    if (typeof value !== 'string') return `${what} must be text.`;
    if (value.length > most) return `${what} may have at most ${most} characters; this one has ${value.length}.`;
    // oxlint-disable-next-line no-control-regex -- these are what must not be there
    return /[\u0000-\u001f\u007f]/.test(value) ? `${what} must be one line, without control characters.` : undefined;
  };
}

function named(what: string, most: number): FieldRule['problem'] {
  const ofText = text(what, most);
  return (value) => ofText(value) ?? (String(value).trim() === '' ? `${what} must not be empty.` : undefined);
}

function address(what: string): FieldRule['problem'] {
  const ofText = named(what, longestUrl);
  return (value) => {
    const problem = ofText(value);
    if (problem !== undefined) return problem;
    const url = String(value);
    if (url === keptFileUrl) return undefined;
    if (!URL.canParse(url, 'https://page.example/')) return `${what} is no address.`;
    const { protocol } = new URL(url, 'https://page.example/');
    return /^(https?|data|blob):$/.test(protocol)
      ? undefined
      : `${what} begins with ${protocol}, which cannot be fetched.`;
  };
}

function whole(what: string, least: number, most: number): FieldRule['problem'] {
  return (value) =>
    typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most
      ? undefined
      : `${what} must be a whole number from ${least} to ${most}.`;
}

const flag =
  (what: string): FieldRule['problem'] =>
  (value) =>
    typeof value === 'boolean' ? undefined : `${what} must be true or false.`;

const ofReference = named('A disk', longestUrl);

function diskProblem(value: unknown): string | undefined {
  if (!Array.isArray(value)) return 'The disks must be a list of ids or addresses.';
  if (value.length > maximumDisks) return `A guest can have at most ${maximumDisks} disks.`;
  return value.map((one) => ofReference(one)).find((problem) => problem !== undefined);
}

function processorsProblem(value: unknown): string | undefined {
  const ofNumber = whole('', 0, maximumExecutors - 1);
  return Array.isArray(value) && value.length > 0 && value.every((one) => ofNumber(one) === undefined)
    ? undefined
    : `Processors are numbers from 0 to ${maximumExecutors - 1}, such as "0 1"; leave it empty for all.`;
}

const leastMiB = guestRamMinimumBytes / MiB;
const mostMiB = guestRamLimitBytes / MiB;

export const definitionFields: Readonly<Record<DefinitionField, FieldRule>> = {
  name: { problem: named('The name', longestName) },
  catalogueId: { optional: true, problem: named('The catalogue id', longestName) },
  kernelUrl: { optional: true, problem: address('The kernel') },
  initrdUrl: { optional: true, problem: address('The initrd') },
  commandLine: { optional: true, problem: text('The command line', longestCommandLine) },
  memoryMiB: {
    problem: (value) =>
      whole('', leastMiB, mostMiB)(value) === undefined
        ? undefined
        : `Memory must be a size such as 512M or 1G, from ${leastMiB}M to ${mostMiB}M.`,
  },
  clock: {
    problem: (value) => (value === 'real' || value === 'virtual' ? undefined : 'The clock must be real or virtual.'),
  },
  weight: { problem: whole('The weight', 1, largestWeight) },
  capPercent: {
    problem: (value) =>
      whole('', 0, 100)(value) === undefined
        ? undefined
        : 'The cap must be a whole number of percent from 1 to 100, or 0 for none.',
  },
  hardAffinity: { optional: true, problem: processorsProblem },
  softAffinity: { optional: true, problem: processorsProblem },
  disks: { optional: true, problem: diskProblem },
  autostart: { problem: flag('Autostart') },
  template: { problem: flag('Template') },
};

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** What is wrong with each field, and with fields together. `settings` may have anything in it. */
export function definitionProblems(settings: object): DefinitionProblems {
  const value = settings as Readonly<Record<string, unknown>>;
  const problems: Partial<Record<DefinitionField, string>> = {};
  for (const [name, rule] of Object.entries(definitionFields) as [DefinitionField, FieldRule][]) {
    const given = Object.hasOwn(value, name) ? value[name] : undefined;
    if (given === undefined && rule.optional === true) continue;
    const problem = rule.problem(given);
    if (problem !== undefined) problems[name] = problem;
  }
  const has = (field: DefinitionField) => Object.hasOwn(value, field) && value[field] !== undefined;
  if (has('catalogueId') === has('kernelUrl')) {
    problems.kernelUrl ??= 'Give either a guest of the catalogue or a kernel.';
  } else if (has('initrdUrl') && !has('kernelUrl')) {
    problems.initrdUrl ??= 'An initrd goes with a kernel of your own; the guests of the catalogue have theirs.';
  }
  if (value['template'] === true && value['autostart'] === true) {
    problems.autostart ??= 'A template is not started: choose one of the two.';
  }
  return problems;
}

/** Anything as a definition, with nothing in it that the schema does not know. @throws VmmError `badDefinition` */
export function parseDefinition(value: unknown): Definition {
  if (!isObject(value)) throw new VmmError('badDefinition', 'A definition must be an object with a name and more.');
  const known = Object.keys(definitionFields);
  const unknown = Object.keys(value).find((key) => !known.includes(key));
  if (unknown !== undefined) {
    const message = `A definition has no field "${unknown.slice(0, 40)}". It has ${known.join(', ')}.`;
    throw new VmmError('badDefinition', message);
  }
  const problems = Object.values(definitionProblems(value));
  if (problems.length > 0) throw new VmmError('badDefinition', problems.join(' '));
  const definition = Object.fromEntries(
    known.filter((key) => value[key] !== undefined).map((key) => [key, value[key]]),
  );
  return definition as unknown as Definition;
}

export function definitionFile(guest: Definition): string {
  const file: DefinitionFile = { format: fileFormat, version: fileVersion, guest };
  return `${JSON.stringify(file, null, 2)}\n`;
}

/** The definition in the text of a file. @throws VmmError `badDefinition`, with what to do */
export function parseDefinitionFile(content: string): Definition {
  const fail = (why: string) => new VmmError('badDefinition', `This is no definition of a guest: ${why}`);
  if (content.length > fileLimitBytes) throw fail(`it is larger than ${fileLimitBytes / 1024} KiB.`);
  let file: unknown;
  try {
    file = JSON.parse(content);
  } catch (error) {
    throw fail(`it is no JSON (${messageOf(error)}).`);
  }
  if (!isObject(file) || file['format'] !== fileFormat) throw fail(`its "format" is not "${fileFormat}".`);
  if (file['version'] !== fileVersion) {
    const version = JSON.stringify(file['version'] ?? null).slice(0, 40);
    throw fail(
      `it has version ${version}, and this page reads version ${fileVersion}. Use the page that has written it.`,
    );
  }
  return parseDefinition(file['guest']);
}
