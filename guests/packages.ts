/**
 * Gets the packages that a recipe names and remembers which versions they were, so that an image can be packed again
 * without the network until someone asks for newer packages.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { Apt, AptError, type FetchedPackage, type MirrorOptions } from './apt.ts';
import { run } from './command.ts';
import type { Architecture } from './schema.ts';

/** The programs that must be there, all of Debian's base system. */
const PROGRAMS = ['apt-get', 'apt-cache', 'dpkg-deb', 'tar'];

/** A meta package of a kernel depends on the package of a concrete version, and nothing else is called so. */
const CONCRETE_KERNEL = /^linux-(image|binary)-\d/;

/** The packages of one architecture. */
export class PackageStore {
  readonly #arch: Architecture;
  readonly #directory: string;
  readonly #lockFile: string;
  readonly #resolved = new Map<string, FetchedPackage>();
  /** What an earlier run resolved: serves when nothing newer can be had. */
  readonly #older: ReadonlyMap<string, FetchedPackage>;
  readonly #mirror: MirrorOptions;
  readonly #report: (line: string) => void;
  #apt: Apt | undefined;

  /** @param refresh forget the remembered versions and ask the sources for the newest. */
  constructor(
    arch: Architecture,
    directory: string,
    mirror: MirrorOptions,
    refresh: boolean,
    report: (line: string) => void,
  ) {
    this.#arch = arch;
    this.#directory = directory;
    this.#mirror = mirror;
    this.#report = report;
    this.#lockFile = path.join(directory, 'resolved.json');
    this.#older = new Map(readResolved(this.#lockFile).filter(([, fetched]) => existsSync(fetched.file)));
    if (!refresh) for (const [name, fetched] of this.#older) this.#resolved.set(name, fetched);
  }

  /** The best version of a package. Throws {@link AptError}. */
  get(name: string): Promise<FetchedPackage> {
    return this.#resolve(name, async () => (await this.#client()).fetch(name));
  }

  /**
   * The kernel that a package name stands for: of a meta package, the concrete kernel it depends on. A version that
   * the sources name but no longer hold is skipped for an older one. Throws {@link AptError}.
   */
  getKernel(name: string): Promise<FetchedPackage> {
    return this.#resolve(name, async () => {
      const apt = await this.#client();
      const metas = await apt.versions(name);
      const kernels = new Set(metas.map((meta) => meta.depends.find((depend) => CONCRETE_KERNEL.test(depend)) ?? name));
      // With no record at all, fetching the name itself raises the error that says so.
      if (kernels.size === 0) kernels.add(name);
      const failures: string[] = [];
      for (const kernel of kernels) {
        try {
          return await apt.fetch(kernel);
        } catch (error) {
          if (!(error instanceof AptError)) throw error;
          failures.push(error.message);
        }
      }
      throw new AptError(failures.join('; '));
    });
  }

  /** Packages, or patterns of apt's, with all that they depend on, as apt finds them now. Throws {@link AptError}. */
  async closure(names: readonly string[]): Promise<FetchedPackage[]> {
    return (await this.#client()).fetchClosure(names);
  }

  async #resolve(name: string, fetch: () => Promise<FetchedPackage>): Promise<FetchedPackage> {
    const resolved = this.#resolved.get(name);
    if (resolved) return resolved;
    try {
      return this.#remember(name, await fetch());
    } catch (error) {
      const older = this.#older.get(name);
      if (!older || !(error instanceof AptError)) throw error;
      this.#report(`warning: ${error.message}; going on with ${older.name} ${older.version}`);
      return this.#remember(name, older);
    }
  }

  #remember(name: string, fetched: FetchedPackage): FetchedPackage {
    this.#resolved.set(name, fetched);
    writeFileSync(
      this.#lockFile,
      JSON.stringify(Object.fromEntries([...this.#older, ...this.#resolved]), undefined, 2) + '\n',
    );
    return fetched;
  }

  /** The apt client, with its indexes refreshed once. */
  async #client(): Promise<Apt> {
    if (this.#apt) return this.#apt;
    const missing: string[] = [];
    for (const program of PROGRAMS) if ((await run(program, ['--version'])).code === 127) missing.push(program);
    if (missing.length > 0) throw new AptError(`this machine lacks ${missing.join(', ')}`);
    mkdirSync(this.#directory, { recursive: true });
    const apt = new Apt(this.#arch, this.#directory, this.#mirror, this.#report);
    await apt.update();
    this.#apt = apt;
    return apt;
  }
}

function readResolved(file: string): [string, FetchedPackage][] {
  if (!existsSync(file)) return [];
  try {
    return Object.entries(JSON.parse(readFileSync(file, 'utf8')) as Record<string, FetchedPackage>);
  } catch {
    return []; // Cut short by a crash: the sources know it all again.
  }
}
