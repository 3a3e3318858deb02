/**
 * The direction of imports: ui → vmm → abi ← executor → machine → {devices, cpu} → {wasm, base} (docs/architecture.md).
 * A layer that is not named in `may` sees only itself. Tests may use whatever they like of the layers below and Node.
 */
const may = {
  base: [],
  wasm: ['base'],
  abi: ['base'],
  cpu: ['base', 'wasm'],
  devices: ['base', 'abi'],
  machine: ['base', 'wasm', 'abi', 'cpu', 'devices'],
  executor: ['base', 'wasm', 'abi', 'cpu', 'devices', 'machine'],
  storage: ['base', 'abi'],
  net: ['base', 'abi'],
  vmm: ['base', 'abi'],
  ui: ['base', 'vmm'],
  cli: ['base', 'wasm', 'abi', 'cpu', 'devices', 'machine', 'executor', 'storage', 'net', 'vmm'],
};

const tests = '(\\.test\\.ts$)';

const layers = Object.entries(may).map(([layer, others]) => ({
  name: `layer-${layer}`,
  comment: `src/${layer} may import ${others.map((other) => `src/${other}`).join(', ') || 'no other layer'}`,
  severity: 'error',
  from: { path: `^src/${layer}/`, pathNot: tests },
  to: { path: '^src/', pathNot: `^src/(${[layer, ...others].join('|')})/` },
}));

/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: [
    ...layers,
    {
      name: 'ui-sees-the-public-vmm',
      comment: 'src/ui imports src/vmm/index.ts, the public interface, and no other file of it',
      severity: 'error',
      // The one file that builds the browser's coordinator is the other way in.
      from: { path: '^src/ui/', pathNot: tests },
      to: { path: '^src/vmm/', pathNot: '^src/vmm/(index|browser)\\.ts$' },
    },
    {
      name: 'cpu-proper-without-testing',
      comment: 'what runs guests does not need the evaluator, the oracle or the case runner',
      severity: 'error',
      from: { path: '^src/cpu/', pathNot: ['^src/cpu/testing/', tests] },
      to: { path: '^src/cpu/testing/' },
    },
    {
      name: 'no-node',
      comment: 'these layers run in a browser too: Node built-ins belong to tests, src/cli, tools, guests and bench',
      severity: 'error',
      from: { path: '^src/', pathNot: ['^src/cli/', '^src/cpu/testing/', tests] },
      to: { dependencyTypes: ['core'] },
    },
    {
      name: 'no-packages-below',
      comment: 'the machine and what is under it depend on no package',
      severity: 'error',
      from: { path: '^src/(base|wasm|abi|cpu|devices|machine)/', pathNot: ['^src/cpu/testing/', tests] },
      to: { path: 'node_modules/' },
    },
    {
      name: 'few-packages-in-storage',
      severity: 'error',
      from: { path: '^src/storage/', pathNot: tests },
      to: { path: 'node_modules/', pathNot: 'node_modules/(idb-keyval|comlink|fflate)/' },
    },
    {
      name: 'no-tests-in-products',
      severity: 'error',
      from: { path: '^src/', pathNot: [tests, '/testing/'] },
      to: { path: tests },
    },
    {
      name: 'no-cycles',
      comment: 'files that import each other are one file, or the wrong two; types alone may refer to each other',
      severity: 'error',
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    {
      name: 'resolvable',
      severity: 'error',
      // Made by the build, and not there before it.
      from: {},
      to: { couldNotResolve: true, pathNot: ['build/', '\\?url$', '\\?worker'] },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    // AssemblyScript follows other rules, and resolves imports by itself.
    exclude: { path: '^(src/cpu/core|build)/' },
    tsPreCompilationDeps: true,
    // TypeScript 7 has no compiler API that dependency-cruiser could use: swc parses, types included.
    parser: 'swc',
    enhancedResolveOptions: {
      extensions: ['.ts', '.js', '.mjs', '.json'],
      conditionNames: ['import', 'default'],
      exportsFields: ['exports'],
    },
  },
};
