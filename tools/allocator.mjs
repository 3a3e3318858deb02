/**
 * Environment of a Node process that runs guests: glibc gives back what the compilers free beyond 128 KiB. By itself it
 * raises that limit with each large block that it sees freed, and keeps tens of MiB for good; other allocators ignore it.
 */
export const allocatorEnvironment = { MALLOC_TRIM_THRESHOLD_: '131072' };
