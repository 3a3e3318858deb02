/**
 * Columns of numbers over time: the last so many rows, in one typed array that is written round.
 *
 * Each value is written twice, half of the array apart, so that the rows of a column are one stretch in the order of time:
 * charts draw from the array itself, and nothing is copied.
 *
 * @example
 * const history = new History(['time', 'cpu'], 300);
 * history.push([Date.now() / 1000, 12.5]);
 * history.column('cpu'); // Float64Array [12.5], valid until the next push
 */
export class History<Column extends string> {
  readonly columns: readonly Column[];
  readonly capacity: number;
  readonly #values: Float64Array;
  #pushed = 0;

  constructor(columns: readonly Column[], capacity: number) {
    this.columns = columns;
    this.capacity = capacity;
    this.#values = new Float64Array(columns.length * capacity * 2);
  }

  /** Rows that are there. */
  get rows(): number {
    return Math.min(this.#pushed, this.capacity);
  }

  /** Adds a row: a value for each column, in their order. */
  push(values: ArrayLike<number>): void {
    const at = this.#pushed % this.capacity;
    for (let n = 0; n < this.columns.length; n++) {
      const start = n * this.capacity * 2 + at;
      const value = values[n] ?? 0;
      this.#values[start] = value;
      this.#values[start + this.capacity] = value;
    }
    this.#pushed++;
  }

  /** The last `rows` values of a column, oldest first: a view, which the next {@link push} may change. */
  column(name: Column, rows = this.rows): Float64Array {
    const count = Math.min(rows, this.rows);
    const end = this.#end(name);
    return this.#values.subarray(end - count, end);
  }

  /** The youngest value; 0 where there is none. */
  last(name: Column): number {
    return this.rows === 0 ? 0 : (this.#values[this.#end(name) - 1] ?? 0);
  }

  /** Behind the youngest value: in the second half, unless that is yet to be filled. */
  #end(name: Column): number {
    const index = this.columns.indexOf(name);
    const start = index * this.capacity * 2;
    return this.#pushed < this.capacity
      ? start + this.#pushed
      : start + this.capacity + (((this.#pushed - 1) % this.capacity) + 1);
  }
}
