import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { arity } from './decoder.ts';
import type { Code, FunctionBuilder, ValueType } from './encoder.ts';
import { ModuleBuilder } from './encoder.ts';
import type { OpcodeName } from './opcodes.ts';
import { opcode } from './opcodes.ts';
import type { PrintOptions } from './printer.ts';
import { printFunction, printModule } from './printer.ts';

const names = ['host', 'eax', 'ecx', 'edx'];

/** The body of a function of (host i32, eax i32, ecx i32, edx i64), which must be valid, as text. */
function print(write: (code: Code, f: FunctionBuilder) => void, options: PrintOptions = {}): string {
  const module = new ModuleBuilder();
  module.importMemory('env', 'memory', { minimum: 1, maximum: 1, shared: true });
  const effect = module.importFunction('env', 'effect', ['i32'], ['i32']);
  const signature = { parameters: ['i32', 'i32', 'i32', 'i64'], results: options.signature?.results ?? [] } as const;
  const f = module.function('f', signature.parameters, signature.results as ValueType[]);
  expect(effect.index).toBe(0);
  write(f.code, f);
  expect(() => new WebAssembly.Module(module.encode() as Uint8Array<ArrayBuffer>)).not.toThrow();
  return printFunction(f.code.bytes.finish(), {
    names: { local: (n) => names[n], function: () => 'effect' },
    signatureOf: () => ({ parameters: ['i32'], results: ['i32'] }),
    ...options,
  });
}

const effect = { index: 0, name: 'effect' };

function text(...lines: string[]): string {
  return lines.join('\n');
}

describe('the folded form', () => {
  it('folds operands into statements', () => {
    const result = print((c) => {
      c.get(1).get(0).memory('i32.load8_u', 8).op('i32.add').set(1);
      c.get(0).get(1).memory('i32.store', 0);
      c.get(3).i64(-1n).op('i64.xor').set(3);
    });
    expect(result).toBe(
      text(
        '$eax = i32.add($eax, i32.load8_u offset=8 ($host))',
        'i32.store offset=0 ($host, $eax)',
        '$edx = i64.xor($edx, -1)',
      ),
    );
  });

  it('names constants and places, and puts comments in between', () => {
    const result = print(
      (c) => {
        c.get(0).i32(7).memory('i32.store', 8);
        expect(c.bytes.length).toBe(7);
        c.get(1).i32(8).memory('i32.store', 8);
      },
      {
        names: {
          local: (n) => names[n],
          constant: (value) => (value === 7 ? 'seven' : undefined),
          place: (address, offset) => (address === '$host' && offset === 8 ? 'flags' : undefined),
        },
        comments: [
          { offset: 0, text: 'first' },
          { offset: 7, text: 'second' },
          { offset: 14, text: 'end' },
        ],
      },
    );
    expect(result).toBe(
      text(';; first', 'i32.store offset=flags ($host, seven)', ';; second', 'i32.store offset=8 ($eax, 8)', ';; end'),
    );
  });

  it('shows constructs, and labels where something branches', () => {
    const result = print((c) => {
      c.block();
      const exit = c.depth;
      c.loop();
      const loop = c.depth;
      c.get(1).brIf(exit);
      c.get(1).op('i32.eqz').if().i32(1).set(2).else().i32(0x1000).set(2).br(loop).end();
      c.get(1).i32(1).op('i32.sub').tee(1).brIf(loop);
      c.end().end();
    });
    expect(result).toBe(
      text(
        'block $block1 {',
        '  loop $loop2 {',
        '    br_if $block1 if ($eax)',
        '    if (i32.eqz($eax)) {',
        '      $ecx = 1',
        '    } else {',
        '      $ecx = 0x1000',
        '      br $loop2',
        '    }',
        '    $eax = i32.sub($eax, 1)',
        '    br_if $loop2 if ($eax)',
        '  }',
        '}',
      ),
    );
  });

  it('writes the cases of a br_table as labels in shared braces', () => {
    const result = print((c) => {
      c.block();
      c.block();
      c.block();
      c.get(1).brTable([3, 2, 2, 3], 1).end();
      c.i32(7).set(1).end();
      c.i32(8).set(1).end();
    });
    expect(result).toBe(
      text(
        'block $block1 $block2 $block3 {',
        '  br_table ($eax) { 0: $block3, 1..2: $block2, 3: $block3, default: $block1 }',
        '$block3:',
        '  $eax = 7',
        '$block2:',
        '  $eax = 8',
        '}',
      ),
    );
  });

  it('names a value that would otherwise move across a write, a call or a branch', () => {
    expect(print((c) => c.get(0).memory('i32.load', 4).get(0).i32(7).memory('i32.store', 4).set(1))).toBe(
      text('%1 = i32.load offset=4 ($host)', 'i32.store offset=4 ($host, 7)', '$eax = %1'),
    );
    expect(print((c) => c.get(1).get(2).set(1).set(2))).toBe(text('%1 = $eax', '$eax = $ecx', '$ecx = %1'));
    expect(print((c) => c.get(1).call(effect).get(2).call(effect).set(1).set(2))).toBe(
      text('%1 = call $effect($eax)', '$eax = call $effect($ecx)', '$ecx = %1'),
    );
    expect(print((c) => c.block().get(1).get(2).op('i32.div_s').get(1).brIf(1).set(1).end())).toBe(
      text('block $block1 {', '  %1 = i32.div_s($eax, $ecx)', '  br_if $block1 if ($eax)', '  $eax = %1', '}'),
    );
  });

  it('does not name what may stay where it is', () => {
    expect(print((c) => c.get(0).memory('i32.load', 4).get(2).set(1).set(2))).toBe(
      text('$eax = $ecx', '$ecx = i32.load offset=4 ($host)'),
    );
    expect(print((c) => c.get(1).call(effect).call(effect).op('drop'))).toBe('drop(call $effect(call $effect($eax)))');
    expect(print((c) => c.get(0).memory('i32.load', 0).get(1).if().i32(0).set(1).end().set(1))).toBe(
      text('if ($eax) {', '  $eax = 0', '}', '$eax = i32.load offset=0 ($host)'),
    );
  });

  it('gives the values of blocks to temporaries', () => {
    const result = print((c) => {
      c.get(1).if('i32').get(0).memory('i32.load', 0).else().i32(3).end().set(2);
      c.block('i32').get(0).memory('i32.load', 8).get(1).brIf(1).op('drop').i32(5).br(1).end().set(1);
    });
    expect(result).toBe(
      text(
        'if ($eax) {',
        '  %1 = i32.load offset=0 ($host)',
        '} else {',
        '  %1 = 3',
        '}',
        '$ecx = %1',
        'block $block1 {',
        '  %3 = i32.load offset=8 ($host)',
        '  %2 = %3',
        '  br_if $block1 if ($eax)',
        '  drop(%3)',
        '  %2 = 5',
        '  br $block1',
        '}',
        '$eax = %2',
      ),
    );
  });

  it('writes what the function returns', () => {
    const signature = { parameters: [], results: ['i32'] } as const;
    expect(print((c) => c.get(1), { signature })).toBe('return $eax');
    expect(print((c) => c.get(1).if().i32(1).return().end().i32(2), { signature })).toBe(
      text('if ($eax) {', '  return 1', '}', 'return 2'),
    );
    expect(print((c) => c.i32(1).get(1).brIf(0), { signature })).toBe(text('return 1 if ($eax)', 'return 1'));
    expect(print((c) => c.i32(1).get(1).brTable([0], 0), { signature })).toBe(
      text('%result0 = 1', 'br_table ($eax) { 0: return %result0, default: return %result0 }'),
    );
  });

  it('prints calls through a table, lanes, constants, atomics and segments', () => {
    const module = new ModuleBuilder();
    module.importMemory('env', 'memory', { minimum: 1, maximum: 1, shared: true });
    const f = module.function('f', ['i32', 'v128'], ['i32']);
    module.table([f]);
    module.data(new Uint8Array(4));
    f.code.i32(0).i32(0).i32(4).memoryInit(0);
    f.code.get(1).get(1).shuffle([0, 1, 2, 3, 4, 5, 6, 7, 24, 25, 26, 27, 28, 29, 30, 31]);
    f.code.v128(1n, 0xffn).op('v128.and').lane('i8x16.extract_lane_u', 3).set(0);
    f.code.get(0).i32(1).memory('i32.atomic.rmw8.add_u', 2).op('drop');
    f.code.f64(0x7ff8000000000000n).f32(0x3fc00000).op('f64.promote_f32').op('f64.lt').op('drop');
    f.code.get(0).get(1).get(0).callIndirect(f);
    expect(printModule(module.encode(), { names: { local: (n) => ['cpu', 'x'][n] } })).toBe(
      `${text(
        'import "env" "memory" memory',
        '',
        'func $f ($cpu: i32, $x: v128) -> i32 {',
        '  memory.init 0 0 (0, 0, 4)',
        '  %1 = i8x16.shuffle 0 1 2 3 4 5 6 7 24 25 26 27 28 29 30 31 ($x, $x)',
        '  $cpu = i8x16.extract_lane_u 3 (v128.and(%1, (i64x2 0x0000000000000001 0x00000000000000ff)))',
        '  drop(i32.atomic.rmw8.add_u offset=2 ($cpu, 1))',
        '  drop(f64.lt(nan:0x8000000000000, f64.promote_f32(1.5)))',
        '  return call_indirect $table0[$cpu] ($cpu, $x)',
        '}',
      )}\n`,
    );
  });

  it('says what is missing', () => {
    const calls = (c: Code): Code => c.get(1).call(effect).op('drop');
    expect(() => print(calls, { signatureOf: () => undefined })).toThrow('options.signatureOf');
    expect(() => printFunction(new Uint8Array([0x41]))).toThrow('cut short at byte 1');
    expect(() => printFunction(new Uint8Array([0x41, 0x01]))).toThrow('options.signature');
    expect(() => printFunction(new Uint8Array([0x6a]))).toThrow('i32.add at byte 0 finds 2 operands too few');
    expect(() => printFunction(new Uint8Array([0xff, 0x00]))).toThrow('opcode 0xff0000 at byte 0 is unknown');
  });
});

describe('the flat form', () => {
  it('is the text format, indented', () => {
    const result = print(
      (c) => {
        c.block().get(1).brIf(1);
        c.get(0).get(0).memory('i32.load', 4).i32(-5).op('i32.add').memory('i32.store16', 0);
        c.get(1).brTable([1], 0).end();
        c.get(1).call(effect).if('i64').i64(1n).else().get(3).end().set(3);
      },
      { form: 'flat' },
    );
    expect(result).toBe(
      text(
        'block $block1',
        '  local.get $eax',
        '  br_if $block1',
        '  local.get $host',
        '  local.get $host',
        '  i32.load offset=4 align=1',
        '  i32.const -5',
        '  i32.add',
        '  i32.store16 align=1',
        '  local.get $eax',
        '  br_table $block1 1',
        'end',
        'local.get $eax',
        'call $effect',
        'if (result i64)',
        '  i64.const 1',
        'else',
        '  local.get $edx',
        'end',
        'local.set $edx',
      ),
    );
  });
});

/** A function of `operands` parameters that applies the instruction to them and drops its results. */
function applied(name: OpcodeName, types: readonly ValueType[], results: number): ModuleBuilder {
  const module = new ModuleBuilder();
  module.importMemory('env', 'memory', { minimum: 1, maximum: 1, shared: true });
  module.data(new Uint8Array(1));
  const f = module.function('f', types, []);
  types.forEach((_, n) => f.code.get(n));
  if (name === 'v128.const') f.code.v128(1n, 2n);
  else if (name === 'i8x16.shuffle') f.code.shuffle(Array.from({ length: 16 }, (_, n) => n));
  else if (name === 'memory.init') f.code.memoryInit(0);
  else if (name === 'memory.copy') f.code.op(name).bytes.u8(0).u8(0);
  else if (name === 'memory.fill') f.code.op(name).bytes.u8(0);
  else if (name.includes('_lane')) f.code.lane(name, 1);
  else if (name.startsWith('memory.atomic'))
    f.code
      .op(name)
      .bytes.u8(name.endsWith('64') ? 3 : 2)
      .u8(4);
  else if (/\.(?:load|store|atomic)/.test(name)) f.code.memory(name, 4);
  else f.code.op(name);
  for (let i = 0; i < results; i++) f.code.op('drop');
  return module;
}

function combinations(count: number): ValueType[][] {
  if (count === 0) return [[]];
  const types = ['i32', 'i64', 'f32', 'f64', 'v128'] as const;
  return combinations(count - 1).flatMap((rest) => types.map((type) => [type, ...rest]));
}

describe('every opcode of the table', () => {
  const all = Object.keys(opcode) as OpcodeName[];

  it('has the arity that the engine checks, and is printed', () => {
    const wrong = all.filter((name) => {
      const { operands, results } = arity(name);
      const valid = combinations(operands)
        .map((types) => applied(name, types, results).encode() as Uint8Array<ArrayBuffer>)
        .find((wasm) => WebAssembly.validate(wasm));
      return !valid || (['folded', 'flat'] as const).some((form) => !printModule(valid, { form }).includes(name));
    });
    // The folded form writes a constant without its type, and leaves nothing behind of one that is dropped.
    expect(wrong).toEqual(['v128.const']);
  });
});

describe('built modules', () => {
  const built = (file: string): URL => new URL(`../../build/core/${file}`, import.meta.url);
  // Made by `npm run build:core`, which `npm test` runs first.
  it.skipIf(!existsSync(built('handlers.wasm')))(
    'are printed whole',
    () => {
      for (const [file, form] of [
        ['handlers.wasm', 'folded'],
        ['core.wasm', 'flat'],
      ] as const) {
        const count = printModule(readFileSync(built(file)), { form }).match(/^func /gm)?.length ?? 0;
        expect(count).toBeGreaterThan(100);
      }
    },
    60_000,
  );
});
