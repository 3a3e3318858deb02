/** What may be moved across what: the order of effects in the folded form. */

/** Something on the operand stack. */
export interface Value {
  readonly text: string;
  readonly reads: boolean;
  readonly writes: boolean;
  /** What it reads: locals by index, temporaries by negative number. */
  readonly locals: readonly number[];
}

export interface Step {
  readonly reads: boolean;
  readonly writes: boolean;
  /** Locals that it sets. */
  readonly sets: readonly number[] | ReadonlySet<number>;
  /** What follows may not happen. */
  readonly control: boolean;
}

function sets(step: Step, local: number): boolean {
  return Array.isArray(step.sets) ? step.sets.includes(local) : (step.sets as ReadonlySet<number>).has(local);
}

/** The value was computed before the step and must be named if it is written after it. */
export function conflicts(value: Value, step: Step): boolean {
  if (value.writes && (step.reads || step.writes)) return true;
  if (value.reads && step.writes) return true;
  if (step.control && (value.reads || value.writes)) return true;
  return value.locals.some((local) => sets(step, local));
}

/** The step with the effects of its operands. */
export function merged(operands: readonly Value[], step: Step): Step {
  return {
    ...step,
    reads: step.reads || operands.some((v) => v.reads),
    writes: step.writes || operands.some((v) => v.writes),
  };
}
