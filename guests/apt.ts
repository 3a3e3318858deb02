/**
 * Debian packages without a Debian system: drives the apt client with private state, lists and cache folders, so that
 * nothing system-wide is read but the sources and keys, and nothing at all is written outside `directory`.
 *
 * Invariants:
 * - Signatures stay verified: indexes by apt's own keys, packages by the hashes in those indexes.
 * - An index that fails to download is reported and survived: older copies in the private folder serve, or the other
 *   sources do. A package version that fails to download is survived in the same way, by the next best version.
 *
 * One instance serves one architecture, because apt's notion of a native architecture is global to its configuration.
 */
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { run } from './command.ts';
import type { Architecture } from './schema.ts';

/** One version of one package as the indexes describe it (deb-control(5)). */
export interface PackageRecord {
  readonly name: string;
  readonly version: string;
  /** Names of the packages that the `Depends` field names first in each of its alternatives. */
  readonly depends: readonly string[];
  /** Hex SHA-256 of the .deb; empty when the index has none. */
  readonly sha256: string;
}

/** A package file that was fetched and verified. */
export interface FetchedPackage {
  readonly name: string;
  readonly version: string;
  /** Absolute path of the .deb. */
  readonly file: string;
}

/** Raised when a package cannot be had; the message says what is missing and what to do. */
export class AptError extends Error {}

/** The part of a mirror's description that only the host knows. */
export interface MirrorOptions {
  /** Base URL of a Debian mirror, in place of the machine's own sources; undefined takes those. */
  readonly mirror: string | undefined;
  /** Text of os-release(5), from which the suite of `mirror` is taken. */
  readonly osRelease: string;
  /** Path of Debian's archive keys, if that file exists. */
  readonly keyring: string | undefined;
}

/** `VERSION_CODENAME` of a Debian host, else `stable`: the suites of derivatives do not exist on a Debian mirror. */
export function suiteOf(osRelease: string): string {
  const field = (name: string) => new RegExp(`^${name}="?([^"\\n]*)"?$`, 'm').exec(osRelease)?.[1];
  return (field('ID') === 'debian' && field('VERSION_CODENAME')) || 'stable';
}

/** The one-line source (sources.list(5)) for a mirror. */
export function mirrorSource(options: MirrorOptions & { mirror: string }): string {
  const signedBy = options.keyring ? `[signed-by=${options.keyring}] ` : '';
  return `deb ${signedBy}${options.mirror.replace(/\/+$/, '')} ${suiteOf(options.osRelease)} main\n`;
}

/** Parses the stanzas that `apt-cache show` prints. Continuation lines are ignored: no field we need has any. */
export function parseRecords(text: string): PackageRecord[] {
  const records: PackageRecord[] = [];
  for (const stanza of text.split(/\n\s*\n/)) {
    const fields = new Map<string, string>();
    for (const line of stanza.split('\n')) {
      const match = /^([A-Za-z0-9-]+): ?(.*)$/.exec(line);
      if (match) fields.set(match[1]!, match[2]!);
    }
    const name = fields.get('Package');
    const version = fields.get('Version');
    if (!name || !version) continue;
    const depends = (fields.get('Depends') ?? '').split(',').map((entry) => entry.trim().split(/[\s(:|]/)[0]!);
    records.push({ name, version, depends: depends.filter((entry) => entry), sha256: fields.get('SHA256') ?? '' });
  }
  return records;
}

/** The private apt of one architecture. */
export class Apt {
  readonly #arch: Architecture;
  readonly #directory: string;
  readonly #configFile: string;
  readonly #report: (line: string) => void;

  /** @param directory private folder, made if missing; may be thrown away at any time. */
  constructor(arch: Architecture, directory: string, mirror: MirrorOptions, report: (line: string) => void) {
    this.#arch = arch;
    this.#directory = directory;
    this.#report = report;
    for (const folder of ['lists/partial', 'cache/archives/partial', 'debs', 'sources']) {
      mkdirSync(path.join(directory, folder), { recursive: true });
    }
    writeFileSync(path.join(directory, 'status'), '');
    this.#configFile = path.join(directory, 'apt.conf');
    writeFileSync(this.#configFile, this.#configuration(mirror));
  }

  #configuration(mirror: MirrorOptions): string {
    const at = (name: string) => JSON.stringify(path.join(this.#directory, name));
    const lines = [
      // Hooks of the machine's own apt (cache cleaners, desktop notifiers) must not run for a private one.
      '#clear APT::Update::Pre-Invoke;',
      '#clear APT::Update::Post-Invoke;',
      '#clear APT::Update::Post-Invoke-Success;',
      '#clear APT::Architectures;',
      `APT::Architecture "${this.#arch}";`,
      `APT::Architectures { "${this.#arch}"; };`,
      // apt as root drops to the user `_apt`, who cannot write into the checkout of another user.
      'APT::Sandbox::User "root";',
      'Acquire::Languages "none";',
      'Acquire::Retries "2";',
      `Dir::State ${at('')};`,
      `Dir::State::lists ${at('lists')};`,
      `Dir::State::status ${at('status')};`,
      `Dir::Cache ${at('cache')};`,
    ];
    if (mirror.mirror) {
      writeFileSync(
        path.join(this.#directory, 'sources/mirror.list'),
        mirrorSource({ ...mirror, mirror: mirror.mirror }),
      );
      lines.push(`Dir::Etc::sourcelist ${at('sources/mirror.list')};`, 'Dir::Etc::sourceparts "-";');
    }
    return lines.join('\n') + '\n';
  }

  /** Refreshes the indexes as far as the network allows. Failures are reported, never thrown. */
  async update(): Promise<void> {
    this.#report(`fetching the package indexes for ${this.#arch}`);
    const result = await run('apt-get', ['-c', this.#configFile, '-q', 'update']);
    const complaints = result.stderr
      .split('\n')
      .filter((line) => /^[EW]: (Failed to fetch|The repository|GPG)/.test(line));
    for (const line of complaints) this.#report(`  warning: ${line.slice(3)}`);
    if (result.code !== 0 || complaints.length > 0) {
      const usable = this.#hasIndex();
      this.#report(usable ? '  going on with the indexes that are there' : '  no usable package index');
    }
  }

  #hasIndex(): boolean {
    return readdirSync(path.join(this.#directory, 'lists')).some((name) => /_Packages(\.\w+)?$/.test(name));
  }

  /** Every version of a package that the indexes know, apt's candidate first, then descending. Empty if unknown. */
  async versions(name: string): Promise<PackageRecord[]> {
    const shown = await run('apt-cache', ['-c', this.#configFile, '--all-versions', 'show', name]);
    const records = parseRecords(shown.stdout).filter((record) => record.name === name);
    const policy = await run('apt-cache', ['-c', this.#configFile, 'policy', name], { LC_ALL: 'C' });
    const candidate = /^ {2}Candidate: (\S+)/m.exec(policy.stdout)?.[1];
    return [...records.filter((r) => r.version === candidate), ...records.filter((r) => r.version !== candidate)];
  }

  /** Fetches the best version that can be had. Throws {@link AptError} when there is none. */
  async fetch(name: string): Promise<FetchedPackage> {
    const versions = await this.versions(name);
    if (versions.length === 0) {
      throw new AptError(
        this.#hasIndex()
          ? `the apt sources have no package ${name} for ${this.#arch}`
          : `no package index for ${this.#arch} could be fetched`,
      );
    }
    for (const record of versions) {
      const fetched = await this.fetchVersion(record);
      if (fetched) return fetched;
    }
    throw new AptError(`no version of ${name} for ${this.#arch} could be downloaded`);
  }

  /** Fetches packages (names, or patterns of apt-patterns(7)) with all that they depend on. Throws {@link AptError}. */
  async fetchClosure(names: readonly string[]): Promise<FetchedPackage[]> {
    const archives = path.join(this.#directory, 'cache/archives');
    const options = ['-c', this.#configFile, '-q', '-y', '-o', 'APT::Install-Recommends=false'];
    this.#report(`downloading packages (${this.#arch})`);
    const plan = await run('apt-get', [...options, '--simulate', 'install', ...names]);
    const wanted = [...plan.stdout.matchAll(/^Inst (\S+) \((\S+) .*\[(\S+)\]\)/gm)];
    const fetched = await run('apt-get', [...options, '--download-only', 'install', ...names]);
    if (fetched.code !== 0 || wanted.length === 0) {
      const reason = fetched.stderr.split('\n').find((line) => line.startsWith('E: ')) ?? `exit code ${fetched.code}`;
      throw new AptError(`the packages for ${this.#arch} could not be fetched: ${reason}`);
    }
    return wanted.map(([, name = '', version = '', arch = '']) => ({
      ...{ name, version },
      file: path.join(archives, `${name}_${version.replaceAll(':', '%3a')}_${arch}.deb`),
    }));
  }

  /** Fetches exactly this version, from the private folder if it is there; undefined when it cannot be had. */
  async fetchVersion(record: PackageRecord): Promise<FetchedPackage | undefined> {
    const { name, version } = record;
    const debs = path.join(this.#directory, 'debs');
    const file = path.join(debs, `${name}_${version.replaceAll(':', '%3a')}_${this.#arch}.deb`);
    if (existsSync(file) && (!record.sha256 || sha256Of(file) === record.sha256)) return { name, version, file };
    this.#report(`downloading ${name} ${version} (${this.#arch})`);
    const staging = mkdtempSync(path.join(debs, 'partial-'));
    try {
      const result = await run(
        'apt-get',
        ['-c', this.#configFile, '-q', 'download', `${name}=${version}`],
        {},
        staging,
      );
      const deb = readdirSync(staging).find((entry) => entry.endsWith('.deb'));
      if (result.code !== 0 || !deb) {
        const reason = result.stderr.split('\n').find((line) => line.startsWith('E: ')) ?? `exit code ${result.code}`;
        this.#report(`  warning: ${name} ${version} could not be downloaded: ${reason}`);
        return undefined;
      }
      renameSync(path.join(staging, deb), file);
      return { name, version, file };
    } finally {
      rmSync(staging, { recursive: true, force: true });
    }
  }
}

function sha256Of(file: string): string {
  return createHash('sha256').update(readFileSync(file)).digest('hex');
}
