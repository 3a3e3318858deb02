/**
 * Builds the image of one recipe: fetches its packages, takes out what it needs, packs, records. What has a disk is
 * installed onto it by a guest that boots what was packed (`disk-install.ts`).
 *
 * Everything lies below one cache folder:
 *
 *     apt/ARCH/       private apt state and the packages
 *     unpacked-…/     what was taken out of the packages, while an image is packed
 *     images/ID/      vmlinuz, initrd.gz, copyright files, image.json; disk/ with an index and chunks
 *
 * `image.json` carries a stamp, the hash of all that the image depends on in the project. While it holds, nothing is
 * fetched and nothing is run.
 */
import { createHash, type Hash } from 'node:crypto';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import path from 'node:path';
import type { FetchedPackage, MirrorOptions } from './apt.ts';
import { run } from './command.ts';
import { extractDeb, filesBelow, findInPackage } from './deb.ts';
import { replaceFile } from './files.ts';
import { installDisk } from './disk-install.ts';
import { packInitramfs, type GuestFile } from './image.ts';
import { licencesOf } from './licences.ts';
import type { DiskImage, GuestImage, ImageFile, PackageSource } from './manifest.ts';
import { loadingOrder, neededFor, type FoundModule } from './modules.ts';
import { PackageStore } from './packages.ts';
import type { Architecture, Recipe } from './schema.ts';

/** To be counted up when the builder packs differently, so that images of an older builder are not taken for new. */
const BUILDER_VERSION = 3;

export interface BuilderOptions {
  /** The project's root folder. */
  readonly root: string;
  readonly cache: string;
  readonly mirror: MirrorOptions;
  /** Look for newer packages. */
  readonly refresh: boolean;
  /** Called with each step. */
  readonly report: (line: string) => void;
}

interface StampedImage {
  readonly stamp: string;
  readonly image: GuestImage;
}

/** What an image is made of. */
interface Parts {
  readonly kernel: FetchedPackage;
  readonly packages: readonly FetchedPackage[];
  readonly skeleton: readonly GuestFile[];
  readonly extraFiles: readonly GuestFile[];
  readonly stamp: string;
  readonly work: string;
}

/** What the guest boots, and what that was made of. */
interface Boot {
  readonly kernel: Uint8Array;
  readonly initrd: Uint8Array;
  readonly disk?: DiskImage;
  readonly sources: readonly { readonly fetched: FetchedPackage; readonly tree: string }[];
}

export class GuestBuilder {
  readonly #options: BuilderOptions;
  readonly #stores = new Map<Architecture, PackageStore>();

  constructor(options: BuilderOptions) {
    this.#options = options;
  }

  /** The image of a recipe as it was last built; undefined if there is none, or its files are not whole. */
  imageOf(recipe: Recipe): GuestImage | undefined {
    return this.#stampedImageOf(recipe)?.image;
  }

  /** Brings the image of a recipe up to date. Throws an error that says what is missing. */
  async build(recipe: Recipe): Promise<void> {
    const report = (line: string) => this.#options.report(`${recipe.id}: ${line}`);
    if (recipe.prepare) await this.#prepare(recipe.prepare, recipe.arch);
    const skeleton = this.#readTree(recipe.skeleton);
    const extraFiles = this.#readExtraFiles(recipe);
    const before = this.#stampedImageOf(recipe);
    const diskFiles = recipe.disk ? this.#readTree(recipe.disk.files) : [];
    const stamp = stampOf(recipe, [...skeleton, ...extraFiles, ...diskFiles]);
    if (before?.stamp === stamp && !this.#options.refresh) {
      report(`up to date (${this.#relative(this.#imageFolder(recipe))})`);
      return;
    }

    if (recipe.disk) report(recipe.disk.cost);
    const store = this.#store(recipe.arch, report);
    const kernel = await store.getKernel(recipe.kernelPackage);
    const packages: FetchedPackage[] = [];
    for (const name of Object.keys(recipe.packages)) packages.push(await store.get(name));

    mkdirSync(this.#options.cache, { recursive: true });
    const work = mkdtempSync(path.join(this.#options.cache, 'unpacked-'));
    try {
      const image = await this.#assemble(recipe, { kernel, packages, skeleton, extraFiles, stamp, work }, report);
      report(`built: ${kernel.name} ${kernel.version}, initrd ${Math.round(image.initrd.sizeBytes / 1024)} KiB`);
    } finally {
      rmSync(work, { recursive: true, force: true });
    }
  }

  /** Unpacks what was fetched into the folder `work` and packs the image. */
  async #assemble(recipe: Recipe, parts: Parts, report: (line: string) => void): Promise<GuestImage> {
    const { kernel, packages, skeleton, extraFiles, stamp, work } = parts;
    report('unpacking');
    const kernelTree = path.join(work, kernel.name);
    const documents = ['*/usr/share/doc/*/copyright'];
    await extractDeb(kernel.file, ['*/boot/vmlinuz-*', '*/modules.builtin', ...documents], kernelTree);
    const packageFiles: GuestFile[] = [];
    for (const fetched of packages) {
      const tree = path.join(work, fetched.name);
      const wanted = recipe.packages[fetched.name] ?? [];
      await extractDeb(fetched.file, [...documents, ...wanted.map((file) => `*${file}`)], tree);
      packageFiles.push(...wanted.map((file) => readPackageFile(tree, file, fetched)));
    }
    const builtin = builtinModules(kernelTree);
    const find = (names: readonly string[]) => findModules(kernel, names, builtin, path.join(work, 'modules'));
    const order = await loadingOrder([...recipe.modules, ...recipe.lateModules], find, report);
    const early = neededFor(recipe.modules, order);
    const modules = order.slice(0, early);
    const lateModules = order.slice(early);
    // Where there is a disk, what is late may be loaded with its modules.
    const diskOrder = await loadingOrder([...recipe.modules, ...recipe.diskModules], find, report);
    const diskModules = diskOrder.slice(neededFor(recipe.modules, diskOrder));

    report('packing the initramfs');
    const initrd = packInitramfs({
      ...{ hostname: recipe.id, skeleton, packageFiles, extraFiles },
      ...{ modules, lateModules, diskModules },
    });
    const boot = { kernel: readKernel(kernelTree, kernel), initrd };
    if (recipe.disk !== undefined) return this.#write(recipe, stamp, await this.#install(recipe, boot, work, report));
    const sources = [kernel, ...packages].map((fetched) => ({ fetched, tree: path.join(work, fetched.name) }));
    return this.#write(recipe, stamp, { ...boot, sources });
  }

  /** Has a guest that boots `boot` install the recipe's disk. */
  async #install(
    recipe: Recipe,
    boot: Pick<Boot, 'kernel' | 'initrd'>,
    work: string,
    report: (line: string) => void,
  ): Promise<Boot> {
    const { disk } = recipe;
    if (disk === undefined) throw new Error(`${recipe.id} has no disk`);
    const store = this.#store(recipe.arch, report);
    // Whoever is essential may depend on one of several: the recipe's packages say on which.
    const all = await store.closure(['?essential', ...disk.packages]);
    const closure = new Set((await store.closure(['?essential', ...disk.essential])).map(({ name }) => name));
    const installed = await installDisk({
      ...{ root: this.#options.root, recipe, disk, ...boot, report },
      essential: all.filter(({ name }) => closure.has(name)),
      others: all.filter(({ name }) => !closure.has(name)),
      work: path.join(work, 'install'),
      target: this.#imageFolder(recipe),
    });
    const sources: Boot['sources'][number][] = [];
    for (const fetched of all) {
      const tree = path.join(work, fetched.name);
      await extractDeb(fetched.file, [`*/usr/share/doc/${fetched.name}/copyright`], tree);
      sources.push({ fetched, tree });
    }
    return { ...installed, sources };
  }

  #write(recipe: Recipe, stamp: string, parts: Boot): GuestImage {
    const folder = this.#imageFolder(recipe);
    mkdirSync(folder, { recursive: true });
    const packages: PackageSource[] = parts.sources.map(({ fetched: { name, version }, tree }) => {
      const file = path.join(tree, 'usr/share/doc', name, 'copyright');
      if (!existsSync(file)) return { name, version, licences: [], copyright: undefined };
      copyFileSync(file, path.join(folder, `${name}.copyright`));
      const licences = licencesOf(readFileSync(file, 'utf8'));
      return { name, version, licences, copyright: `${recipe.id}/${name}.copyright` };
    });
    const image: GuestImage = {
      id: recipe.id,
      name: recipe.name,
      description: recipe.description,
      arch: recipe.arch,
      hidden: recipe.hidden,
      memoryMiB: recipe.memoryMiB,
      commandLine: recipe.commandLine,
      stockCommandLine: recipe.stockCommandLine,
      kernel: writeImageFile(folder, 'vmlinuz', parts.kernel),
      initrd: writeImageFile(folder, 'initrd.gz', parts.initrd),
      ...(parts.disk && { disk: parts.disk }),
      packages,
      built: new Date().toISOString(),
    };
    const stamped: StampedImage = { stamp, image };
    writeImageFile(folder, 'image.json', Buffer.from(JSON.stringify(stamped, undefined, 2) + '\n'));
    return image;
  }

  async #prepare(script: string, arch: Architecture): Promise<void> {
    const result = await run(process.execPath, ['--import', 'tsx', script, arch], {}, this.#options.root);
    for (const line of result.stdout.split('\n')) if (line) this.#options.report(line);
    if (result.code !== 0) throw new Error(`${script} failed: ${result.stderr.trim()}`);
  }

  #readTree(tree: string): GuestFile[] {
    const folder = path.join(this.#options.root, tree);
    if (!existsSync(folder)) throw new Error(`the folder ${tree} does not exist`);
    return filesBelow(folder).map((name) => {
      const file = path.join(folder, name);
      // Git keeps the executable bit and nothing else; so does the image.
      const mode = statSync(file).mode & 0o100 ? 0o755 : 0o644;
      return { path: `/${name.split(path.sep).join('/')}`, mode, data: readFileSync(file) };
    });
  }

  #readExtraFiles(recipe: Recipe): GuestFile[] {
    return recipe.files.map((entry) => {
      const file = path.join(this.#options.root, entry.source);
      if (!existsSync(file)) throw new Error(`${entry.source}, the source of ${entry.path}, does not exist`);
      return { path: entry.path, mode: entry.mode, data: readFileSync(file) };
    });
  }

  #stampedImageOf(recipe: Recipe): StampedImage | undefined {
    const file = path.join(this.#imageFolder(recipe), 'image.json');
    if (!existsSync(file)) return undefined;
    try {
      const stamped = JSON.parse(readFileSync(file, 'utf8')) as StampedImage;
      const { kernel, initrd, disk } = stamped.image;
      const whole = [kernel, initrd, ...(disk ? [disk.index] : [])].every(
        (part) => statSync(path.join(this.#options.cache, 'images', part.file)).size === part.sizeBytes,
      );
      return whole ? stamped : undefined;
    } catch {
      return undefined; // Damaged or half removed: as good as not built.
    }
  }

  #store(arch: Architecture, report: (line: string) => void): PackageStore {
    const { cache, mirror, refresh } = this.#options;
    const store =
      this.#stores.get(arch) ?? new PackageStore(arch, path.join(cache, 'apt', arch), mirror, refresh, report);
    this.#stores.set(arch, store);
    return store;
  }

  #imageFolder(recipe: Recipe): string {
    return path.join(this.#options.cache, 'images', recipe.id);
  }

  #relative(file: string): string {
    return path.relative(this.#options.root, file);
  }
}

/** Hash of everything in the project that an image depends on. */
function stampOf(recipe: Recipe, files: readonly GuestFile[]): string {
  const hash: Hash = createHash('sha256').update(JSON.stringify([BUILDER_VERSION, recipe]));
  for (const file of files) hash.update(JSON.stringify([file.path, file.mode, file.data.length])).update(file.data);
  return hash.digest('hex');
}

function writeImageFile(folder: string, name: string, data: Uint8Array): ImageFile {
  const file = path.join(folder, name);
  replaceFile(file, data);
  const sha256 = createHash('sha256').update(data).digest('hex');
  return { file: `${path.basename(folder)}/${name}`, sizeBytes: data.length, sha256 };
}

function readPackageFile(tree: string, guestPath: string, fetched: FetchedPackage): GuestFile {
  const file = findInPackage(tree, guestPath);
  if (!file) throw new Error(`${guestPath} is not in ${fetched.name} ${fetched.version}`);
  return { path: guestPath, mode: statSync(file).mode & 0o777, data: readFileSync(file) };
}

function readKernel(tree: string, kernel: FetchedPackage): Uint8Array {
  const boot = path.join(tree, 'boot');
  const name = existsSync(boot) ? readdirSync(boot).find((entry) => entry.startsWith('vmlinuz-')) : undefined;
  if (!name) throw new Error(`no /boot/vmlinuz-* is in ${kernel.name} ${kernel.version}`);
  return readFileSync(path.join(boot, name));
}

/** Module files use the one or the other; `lsmod` shows underscores. */
function moduleFile(name: string): string {
  return name.replace(/[-_]/g, '[-_]');
}

/** What `modules.builtin` lists, one path a line. */
function builtinModules(tree: string): string {
  const lists = filesBelow(tree).filter((file) => path.basename(file) === 'modules.builtin');
  return lists.map((file) => readFileSync(path.join(tree, file), 'utf8')).join('\n');
}

/** Takes modules out of the kernel's package, by way of a folder for scratch. */
async function findModules(
  kernel: FetchedPackage,
  names: readonly string[],
  builtin: string,
  folder: string,
): Promise<FoundModule[]> {
  await extractDeb(
    kernel.file,
    names.map((name) => `*/${moduleFile(name)}.ko*`),
    folder,
  );
  const files = filesBelow(folder);
  const modules: FoundModule[] = [];
  for (const name of names) {
    const pattern = new RegExp(`(^|/)${moduleFile(name)}\\.ko(\\.xz)?$`);
    const file = files.find((candidate) => pattern.test(candidate));
    const isBuiltin = new RegExp(`/${moduleFile(name)}\\.ko$`, 'm').test(builtin);
    modules.push(file ? await readModule(path.join(folder, file)) : isBuiltin ? 'builtin' : undefined);
  }
  return modules;
}

async function readModule(file: string): Promise<Uint8Array> {
  if (file.endsWith('.xz')) {
    const result = await run('xz', ['-d', '-k', '-f', file]);
    if (result.code !== 0) throw new Error(`${path.basename(file)} cannot be decompressed: ${result.stderr.trim()}`);
    return readFileSync(file.slice(0, -'.xz'.length));
  }
  return readFileSync(file);
}
