/**
 * Kernel modules of a guest, with those that they depend on. A module says itself what it needs (`depends=` in its
 * `.modinfo`); Debian's packages have no list of that, as it is made where they are installed.
 */

export interface KernelModule {
  /** As `lsmod` shows it, with underscores, or as the recipe has it. */
  readonly name: string;
  readonly data: Uint8Array;
}

/** What the kernel's package has: the module, the fact that it is part of the kernel, or nothing. */
export type FoundModule = Uint8Array | 'builtin' | undefined;

const DEPENDS = Buffer.from('\0depends=', 'latin1');

/** Names of the modules that a module (a decompressed .ko) needs. */
export function dependenciesOf(module: Uint8Array): string[] {
  const bytes = Buffer.from(module.buffer, module.byteOffset, module.byteLength);
  const at = bytes.indexOf(DEPENDS);
  if (at < 0) return [];
  const start = at + DEPENDS.length;
  const text = bytes.toString('latin1', start, bytes.indexOf(0, start));
  return text.split(',').filter((name) => name !== '');
}

/**
 * The modules in an order in which they can be loaded, each after those that it needs.
 * @param find looks for several at a time, in the order of their names: unpacking a kernel takes seconds
 * @param report told of what is not there. A guest without it still boots: kernels change, a recipe must survive that.
 */
export async function loadingOrder(
  names: readonly string[],
  find: (names: readonly string[]) => Promise<FoundModule[]>,
  report: (line: string) => void,
): Promise<KernelModule[]> {
  const known = new Map<string, FoundModule>();
  for (let wanted = [...names]; wanted.length > 0;) {
    const found = await find(wanted);
    wanted.forEach((name, i) => known.set(moduleKey(name), found[i]));
    const needed = found.flatMap((module) => (module instanceof Uint8Array ? dependenciesOf(module) : []));
    wanted = [...new Set(needed)].filter((name) => !known.has(moduleKey(name)));
  }
  const order = new Map<string, KernelModule>();
  const add = (name: string): void => {
    const module = known.get(moduleKey(name));
    if (module === undefined) report(`warning: the kernel has no module ${name}`);
    if (!(module instanceof Uint8Array) || order.has(moduleKey(name))) return;
    for (const needed of dependenciesOf(module)) add(needed);
    order.set(moduleKey(name), { name, data: module });
  };
  for (const name of names) add(name);
  return [...order.values()];
}

/** How many modules of an order must be loaded for the first of the names that it was made from. */
export function neededFor(names: readonly string[], order: readonly KernelModule[]): number {
  const keys = names.map(moduleKey);
  return order.findLastIndex(({ name }) => keys.includes(moduleKey(name))) + 1;
}

/** Module files use dashes or underscores; the kernel takes them for the same. */
function moduleKey(name: string): string {
  return name.replaceAll('-', '_');
}
