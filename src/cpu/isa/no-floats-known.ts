/** What a builder knows of scalar floating-point operands (`ScalarFloats`) that writes each instruction by itself: nothing. */
import type { Builder, ScalarFloats, Value, Variable } from './builder.ts';

export class NoFloatsKnown implements ScalarFloats {
  private readonly b: Builder;

  constructor(b: Builder) {
    this.b = b;
  }

  bound(_bytes: 4 | 8, compute: () => Value): Variable {
    return this.b.variable(compute());
  }

  knows(): boolean {
    return false;
  }

  learn(): void {
    // The next instruction is written without a view of this one.
  }
}
