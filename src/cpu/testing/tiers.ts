/** The tiers of this build, and machines of them. */
import { createCoreMachine } from './core-machine.ts';
import type { CaseMachine, Cpuid, Tier, TierOptions } from './machine.ts';

/**
 * A machine whose code runs on this tier alone. One machine serves many cases, one after the other. `core` is the
 * compiled `core.wasm`.
 */
export function createCaseMachine(
  tier: Tier,
  core: WebAssembly.Module,
  cpuid: Cpuid,
  options: TierOptions = {},
): CaseMachine {
  if (!AVAILABLE_TIERS.includes(tier))
    throw new Error(`this build has no ${tier} tier; it has ${AVAILABLE_TIERS.join(', ')}`);
  return createCoreMachine(tier, core, cpuid, options);
}

/** Tiers that `createCaseMachine` can make; `--tier all` means these. */
export const AVAILABLE_TIERS: readonly Tier[] = ['interpreter', 'jit', 'evaluator'];
