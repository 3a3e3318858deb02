/** What the headless machine's threads ask of V8. */
import { setFlagsFromString } from 'node:v8';

/** The engine heeds branch hints by itself from V8 13.7 on; the flags of other versions differ. */
export function heedBranchHints(): void {
  const [major = 0, minor = 0] = process.versions.v8.split('.').map(Number);
  if (major < 13 || (major === 13 && minor < 7)) setFlagsFromString('--experimental-wasm-branch-hinting');
}
