/**
 * Records the privileged scenarios from QEMU: assembles each into a flat image at 0x7C00, lets a small BIOS start it in
 * real mode with clear registers, waits for its HLT, and writes image and log as a case.
 *
 *     tsx src/cpu/testing/oracle/privileged/record.ts [--out FILE.jsonl.gz] [--only TEXT] [--print] [--manual]
 *
 * Scenarios whose expected log is written by hand from the manual go to manual.jsonl.gz (`--manual`: only those).
 *
 * Needs qemu-system-x86_64 and the GNU assembler. QEMU's TCG doesn't check segment limits and some type rights, doesn't
 * set RF in pushed flags and knows no #AC; no scenario looks at those.
 */
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { gzipSync } from 'node:zlib';
import { LONG } from './long.ts';
import { MANUAL, type ManualScenario } from './manual.ts';
import { PROTECTED } from './protected.ts';

const LOAD_ADDRESS = 0x7c00;
const LOG = 0x20000;
const LOG_LENGTH = 0x2000;
const BIOS_SIZE = 0x10000;
/** All memory that a scenario may use: tables, stacks, image, log, test pages. */
const MEMORY: readonly [number, number] = [0x1000, 0x3f000];
const REGISTERS = ['eax', 'ebx', 'ecx', 'edx', 'esi', 'edi', 'ebp', 'esp'];

const here = dirname(fileURLToPath(import.meta.url));

interface Outcome {
  log: Uint8Array;
  registers: Map<string, bigint>;
}

class Recorder {
  private readonly folder = mkdtempSync(join(tmpdir(), 'privileged-'));

  dispose(): void {
    rmSync(this.folder, { recursive: true });
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  assemble(source: string, origin: number, bits: 32 | 64 = 32): Buffer {
    writeFileSync(this.path('a.s'), source);
    execFileSync('as', [`--${bits}`, '-o', this.path('a.o'), this.path('a.s')], { stdio: 'inherit' });
    const flags = [
      '-m',
      bits === 64 ? 'elf_x86_64' : 'elf_i386',
      `-Ttext=0x${origin.toString(16)}`,
      '--oformat',
      'binary',
      '-e',
      '0',
    ];
    execFileSync('ld', [...flags, '-o', this.path('a.bin'), this.path('a.o')], { stdio: 'inherit' });
    return readFileSync(this.path('a.bin'));
  }

  /** A BIOS that copies the image to where a boot sector would lie and jumps there with clear registers. */
  private bios(image: Buffer): Buffer {
    const copy = this.assemble(
      `.intel_syntax noprefix
.code16
  cli
  cld
  mov ax, 0xf000
  mov ds, ax
  xor ax, ax
  mov es, ax
  xor si, si
  mov di, ${LOAD_ADDRESS}
  mov cx, ${image.length}
  rep movsb
  mov ds, ax
  mov ss, ax
  mov sp, ${LOAD_ADDRESS}
  xor eax, eax
  xor ebx, ebx
  xor ecx, ecx
  xor edx, edx
  xor esi, esi
  xor edi, edi
  xor ebp, ebp
  pushd 2
  popfd
  .byte 0xea
  .word ${LOAD_ADDRESS}, 0
`,
      0,
    );
    const rom = Buffer.alloc(BIOS_SIZE, 0xf4);
    if (image.length > 0xf000) throw new Error('the image is too long for the BIOS');
    image.copy(rom, 0);
    copy.copy(rom, 0xf000);
    rom.set([0xea, 0x00, 0xf0, 0x00, 0xf0], 0xfff0);
    return rom;
  }

  /** Runs an image until it halts, and gives its log and registers. */
  async run(image: Buffer): Promise<Outcome> {
    writeFileSync(this.path('bios.bin'), this.bios(image));
    const qemu = new Qemu(this.path('bios.bin'));
    try {
      await qemu.execute('qmp_capabilities');
      for (let waited = 0; waited < 100; waited++) {
        const text = String(await qemu.execute('human-monitor-command', { 'command-line': 'info registers' }));
        if (!text.includes('HLT=1')) {
          await new Promise((resolve) => setTimeout(resolve, 10));
          continue;
        }
        await qemu.execute('pmemsave', { val: LOG, size: LOG_LENGTH, filename: this.path('log.bin') });
        const registers = new Map<string, bigint>();
        for (const [, name, value] of text.matchAll(/\b([RE][A-Z]{2}|R[89] |R1\d)=([0-9a-f]{8,16})\b/g)) {
          registers.set((name ?? '').trim().toLowerCase(), BigInt(`0x${value}`));
        }
        return { log: readFileSync(this.path('log.bin')), registers };
      }
      throw new Error('the scenario does not end');
    } finally {
      await qemu.quit();
    }
  }
}

/** One QEMU process, controlled through QMP on its standard input and output. */
class Qemu {
  private readonly process;
  private readonly closed: Promise<void>;
  private readonly waiting: { resolve: (value: unknown) => void; reject: (error: Error) => void }[] = [];
  private text = '';

  constructor(bios: string) {
    const devices = ['-display', 'none', '-nodefaults', '-no-reboot', '-qmp', 'stdio'];
    const machine = ['-machine', 'pc', '-accel', 'tcg', '-cpu', 'max', '-m', '8', '-bios', bios];
    this.process = spawn('qemu-system-x86_64', [...machine, ...devices], { stdio: ['pipe', 'pipe', 'ignore'] });
    this.process.stdout.on('data', (data: Buffer) => this.receive(data.toString('latin1')));
    this.process.stdin.on('error', () => {});
    this.closed = new Promise((resolve) =>
      this.process.on('close', () => {
        for (const { reject } of this.waiting.splice(0)) reject(new Error('QEMU has ended: a triple fault?'));
        resolve();
      }),
    );
  }

  private receive(data: string): void {
    const lines = (this.text + data).split('\n');
    this.text = lines.pop() ?? '';
    for (const line of lines) {
      const answer = JSON.parse(line) as { return?: unknown; error?: { desc: string } };
      if (answer.error) this.waiting.shift()?.reject(new Error(answer.error.desc));
      else if ('return' in answer) this.waiting.shift()?.resolve(answer.return);
    }
  }

  execute(command: string, parameters: object = {}): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.waiting.push({ resolve, reject });
      this.process.stdin.write(`${JSON.stringify({ execute: command, arguments: parameters })}\n`);
    });
  }

  async quit(): Promise<void> {
    if (this.process.exitCode === null) this.execute('quit').catch(() => {});
    await this.closed;
  }
}

/** The registers of a 64-bit dump by their 32-bit names. */
function register(outcome: Outcome, name: string): bigint {
  const value = outcome.registers.get(name) ?? outcome.registers.get(`r${name.slice(1)}`);
  if (value === undefined) throw new Error(`QEMU shows no ${name}`);
  return BigInt.asUintN(32, value);
}

/** Where QEMU is known to differ from the manual: word of the log, what QEMU has, what the manual says. */
interface Correction {
  readonly word: number;
  readonly qemu: number;
  readonly manual: number;
  readonly why: string;
}

const GATE_ERROR = 'SDM vol. 3A, 6.13: EXT is set when an earlier exception was being delivered';
const GATE_ERROR_SIZE = 'SDM vol. 3A, 6.13: the index in the error code counts vectors also in long mode';
const INT1 = 'SDM vol. 2A, INT1: a debug trap; QEMU does not know it';
const CORRECTIONS: Readonly<Record<string, readonly Correction[]>> = {
  'protected: a gate that is not present, and a double fault': [{ word: 1, qemu: 0x32, manual: 0x33, why: GATE_ERROR }],
  'protected: UD0, UD1, INT1': [
    { word: 56, qemu: 6, manual: 1, why: INT1 },
    { word: 60, qemu: 0x7d85, manual: 0x7d86, why: INT1 },
  ],
  'long: interrupts, their stacks and its alignment': [
    { word: 92, qemu: 0x902, manual: 0x482, why: GATE_ERROR_SIZE },
    { word: 182, qemu: 0x312, manual: 0x18a, why: GATE_ERROR_SIZE },
  ],
};

function correct(name: string, outcome: Outcome): void {
  const log = new DataView(outcome.log.buffer, outcome.log.byteOffset, outcome.log.byteLength);
  for (const { word, qemu, manual, why } of CORRECTIONS[name] ?? []) {
    if (log.getUint32(4 * word, true) !== qemu) throw new Error(`QEMU no longer differs here: ${why}`);
    log.setUint32(4 * word, manual, true);
  }
}

function caseLine(name: string, image: Buffer, outcome: Outcome): string {
  const used = outcome.log.findLastIndex((byte) => byte !== 0) + 1;
  const expected = Object.fromEntries(REGISTERS.map((r) => [r, Number(register(outcome, r))]));
  return JSON.stringify({
    name,
    asm: '',
    mode: 'real',
    regs: { cr0: 0x10, cr4: 0, cs: 0, ip: LOAD_ADDRESS, sp: LOAD_ADDRESS, flags: 2 },
    mem: [[LOAD_ADDRESS, image.toString('hex')]],
    zero: [MEMORY],
    end: 'hlt',
    // The rest of the log must stay clear, too: something logged twice would show there.
    expect: { regs: expected, mem: [[LOG, Buffer.from(outcome.log.subarray(0, (used + 67) & ~3)).toString('hex')]] },
    flags_mask: 0,
  });
}

/** A case by the manual: memory that the log leaves undefined is not compared. */
function manualLine(name: string, image: Buffer, scenario: ManualScenario): string {
  const mem: [number, string][] = [];
  // What follows the log must stay clear: something logged twice would show there.
  for (const [n, word] of [...scenario.log, ...Array.from({ length: 16 }, () => 0)].entries()) {
    if (word === undefined) continue;
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32LE(word);
    mem.push([LOG + 4 * n, bytes.toString('hex')]);
  }
  return JSON.stringify({
    name,
    asm: '',
    mode: 'real',
    regs: { cr0: 0x10, cr4: 0, cs: 0, ip: LOAD_ADDRESS, sp: LOAD_ADDRESS, flags: 2 },
    mem: [[LOAD_ADDRESS, image.toString('hex')]],
    zero: [MEMORY],
    end: 'hlt',
    expect: { regs: {}, mem },
    flags_mask: 0,
  });
}

function writeManual(recorder: Recorder, frame: string, out: string): void {
  const lines = Object.entries(MANUAL).map(([name, scenario]) => {
    const source = frame.replace(/^SCENARIO$/m, () => quoted(scenario.code));
    return manualLine(name, recorder.assemble(source, LOAD_ADDRESS, 32), scenario);
  });
  writeFileSync(out, gzipSync(`${lines.join('\n')}\n`, { level: 9 }));
  process.stderr.write(`${lines.length} cases by the manual\n`);
}

/** Quotes the arguments of `log`, which may contain spaces. */
const quoted = (text: string): string => text.replace(/^(\s*log) (.+)$/gm, '$1 "$2"');

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      out: { type: 'string', default: join(here, '..', '..', 'vectors', 'privileged.jsonl.gz') },
      only: { type: 'string', default: '' },
      print: { type: 'boolean', default: false },
      manual: { type: 'boolean', default: false },
    },
  });
  const recorder = new Recorder();
  const lines: string[] = [];
  try {
    if (!values.only) {
      const frame = quoted(readFileSync(join(here, 'protected.s'), 'utf8'));
      writeManual(recorder, frame, join(here, '..', '..', 'vectors', 'manual.jsonl.gz'));
    }
    if (values.manual) return;
    for (const [frame, scenarios] of Object.entries({ protected: PROTECTED, long: LONG })) {
      const source = quoted(readFileSync(join(here, `${frame}.s`), 'utf8'));
      for (const [name, code] of Object.entries(scenarios)) {
        if (!name.includes(values.only)) continue;
        const bits = frame === 'long' ? 64 : 32;
        const image = recorder.assemble(
          source.replace(/^SCENARIO$/m, () => quoted(code)),
          LOAD_ADDRESS,
          bits,
        );
        try {
          const outcome = await recorder.run(image);
          correct(`${frame}: ${name}`, outcome);
          lines.push(caseLine(`${frame}: ${name}`, image, outcome));
          if (values.print) print(`${frame}: ${name}`, outcome);
        } catch (error) {
          process.stderr.write(`${frame}: ${name}: ${error instanceof Error ? error.message : String(error)}\n`);
        }
      }
    }
  } finally {
    recorder.dispose();
  }
  if (!values.only) writeFileSync(values.out, gzipSync(`${lines.join('\n')}\n`, { level: 9 }));
  process.stderr.write(`${lines.length} cases\n`);
}

function print(name: string, outcome: Outcome): void {
  const words: string[] = [];
  for (let i = 0; i < outcome.log.length; i += 4) words.push(Buffer.from(outcome.log).readUInt32LE(i).toString(16));
  process.stdout.write(`${name}\n  ${words.join(' ').replace(/( 0)+$/, '')}\n`);
}

await main();
