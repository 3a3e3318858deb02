/** Runs a program in every way and finds the first that differs from the processor. */
import type { Draft } from '../oracle/draft.ts';
import type { Difference } from '../runner.ts';
import { compareOutcome, compareRetired } from './compare.ts';
import type { Outcome, ProgramMachine, Stop, Way } from './machine.ts';

/** What is asked for beside the interpreter and compiled code. */
export interface Asked {
  readonly mixed: boolean;
  readonly thoroughly: boolean;
  readonly evaluated: boolean;
}

export interface Finding {
  readonly way: Way | 'evaluated';
  readonly asked: Asked;
  readonly differences: readonly Difference[];
  readonly expected: readonly Stop[];
  readonly outcome: Outcome;
}

export class Checker {
  private readonly machine: ProgramMachine;
  private readonly makeEvaluator: () => ProgramMachine;
  private evaluator: ProgramMachine | undefined;

  /** `machine` is of the jit tier; the evaluator's is made when it is needed. */
  constructor(machine: ProgramMachine, makeEvaluator: () => ProgramMachine) {
    this.machine = machine;
    this.makeEvaluator = makeEvaluator;
  }

  /** First interpreted, so that everything is decoded; then compiled, whole regions at a time. */
  check(draft: Draft, expected: readonly Stop[], asked: Asked): Finding | undefined {
    const { machine } = this;
    machine.load(draft);
    const interpreted = machine.run('interpreted');
    const differences = compareOutcome(draft, expected, interpreted);
    if (differences.length > 0) return { way: 'interpreted', asked, differences, expected, outcome: interpreted };
    const ways: Way[] = [...(asked.mixed ? ['mixed' as const] : []), asked.thoroughly ? 'thoroughly' : 'compiled'];
    for (const way of ways) {
      const outcome = machine.run(way);
      const found = [...compareOutcome(draft, expected, outcome), ...compareRetired(interpreted, outcome)];
      if (found.length > 0) return { way, asked, differences: found, expected, outcome };
    }
    return asked.evaluated ? this.evaluate(draft, expected, asked) : undefined;
  }

  private evaluate(draft: Draft, expected: readonly Stop[], asked: Asked): Finding | undefined {
    this.evaluator ??= this.makeEvaluator();
    this.evaluator.load(draft);
    const outcome = this.evaluator.run('interpreted');
    const differences = compareOutcome(draft, expected, outcome);
    return differences.length > 0 ? { way: 'evaluated', asked, differences, expected, outcome } : undefined;
  }
}
