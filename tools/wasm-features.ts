/** What `core.wasm` uses of WebAssembly, as binaryen's tools want it said. */
export const wasmFeatures: readonly string[] = [
  '--enable-threads',
  '--enable-simd',
  '--enable-bulk-memory',
  '--enable-nontrapping-float-to-int',
  '--enable-sign-ext',
  '--enable-mutable-globals',
  '--enable-reference-types',
  '--enable-multivalue',
  '--enable-tail-call',
  '--enable-bulk-memory-opt',
  '--enable-call-indirect-overlong',
];
