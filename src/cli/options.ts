/**
 * The command line of the headless machine: QEMU's options where QEMU has one (with one dash or two), and a few of our
 * own. What cannot be honoured is refused with a sentence that says why; nothing is silently ignored but options that
 * ask for the absence of what this machine does not have.
 */
import { fileURLToPath } from 'node:url';
import { maximumDisks } from '../abi/disk-ring.ts';
import type { BalloonDefinition } from '../abi/executor.ts';
import type { PackedDiskPlace } from '../abi/storage.ts';
import type { TierName } from '../cpu/jit/compiler.ts';
import { tierCode } from '../cpu/status.ts';
import { cpuModelNames, defaultCpuModel } from '../machine/cpu-model.ts';
import type { CatalogueEntry } from '../vmm/catalogue.ts';

export interface VmOptions {
  readonly ramBytes: number;
  readonly kernel: string;
  readonly initrd: string | undefined;
  readonly commandLine: string;
  readonly serial: SerialTarget;
  readonly noReboot: boolean;
  /** Virtual clock with 2^shift ns an instruction; absent: real time. */
  readonly icount: { readonly shift: number | undefined } | undefined;
  readonly debugExitPort: number | undefined;
  readonly balloon: BalloonDefinition | undefined;
  /** What the balloon shall have from power-on. */
  readonly balloonMiB: number | undefined;
  readonly disks: readonly DiskFile[];
  /** The disk of a guest of the catalogue, before the others. */
  readonly guestDisk: GuestDiskOption | undefined;
  readonly cpuModel: string;
  readonly tier: TierName;
  readonly until: RegExp | undefined;
  readonly timeoutSeconds: number | undefined;
  readonly stats: string | undefined;
  readonly countForms: boolean;
  readonly debugCompiled: boolean;
  /** Addresses whose compiled code is printed at the end. */
  readonly dumpRegions: readonly bigint[];
}

/** A raw image. `overlay`: what the guest writes is kept in memory, and gone with the machine. */
export interface DiskFile {
  readonly path: string;
  readonly access: 'write' | 'read' | 'overlay';
}

/** What the guest writes is kept in memory, or in the raw image `keptIn`, which is made from the catalogue's at first. */
export interface GuestDiskOption extends PackedDiskPlace {
  readonly keptIn: string | undefined;
}

/** What an option may say of a guest of the catalogue. */
export type CatalogueLookup = (
  id: string,
) => Pick<CatalogueEntry, 'kernelUrl' | 'initrdUrl' | 'commandLine' | 'memoryMiB' | 'disk'>;

export type SerialTarget = { readonly kind: 'stdio' | 'none' } | { readonly kind: 'file'; readonly path: string };

/** The command line is wrong; the message says how to mend it. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

export const usage = `usage: npm run --silent vm -- -kernel FILE|--guest ID [options]

  -kernel FILE          bzImage, multiboot 1 image or ELF file
  --guest ID            a guest that "npm run guests" has built, with its kernel, RAM disk, command line, memory and disk
  --guest-disk FILE     keep what that guest writes to its disk in this raw image, made at first; absent: it is forgotten
  -initrd FILE          initial RAM disk
  -append TEXT          kernel command line
  -m SIZE               RAM: 256, 256M, 1G (default 256M)
  -smp 1, -cpu MODEL    one processor; models: ${cpuModelNames().join(', ')}
  -serial TARGET        stdio (default; Ctrl-A X leaves), file:PATH, none
  -nographic            accepted: there is no other console than the serial port
  -no-reboot            a reset or triple fault ends the machine
  -icount [shift=N]     virtual clock: 2^N ns an instruction; runs repeat exactly
  -device isa-debug-exit,iobase=0xf4,iosize=0x4
                        a write of v to the port ends the machine with exit code (v << 1) | 1
  -device virtio-balloon-pci[,deflate-on-oom=on][,free-page-reporting=on]
                        a memory balloon
  --disk FILE[,ro|,snapshot]
                        a raw image as a virtio disk, /dev/vda and on; ro: read-only; snapshot: what the guest writes is
                        forgotten at the end; may be given up to ${maximumDisks} times
  --balloon SIZE        pages that the balloon asks for from power-on: 64, 64M, 1G
  --until REGEX         end with exit code 0 when the serial output matches
  --timeout SECONDS     end with exit code 124 after this time
  --stats FILE.json     write what was counted
  --count-forms         in the file of --stats, how often the interpreter, and forms' functions for compiled code, ran
                        which instructions; the interpreter is slow with it
  --debug-compiled      compiled code checks its invariants at each block; a violation ends the machine
  --dump-region ADDR    print the guest's code at a hexadecimal RIP and what it was compiled to, on standard error,
                        when the run ends (by itself, --until, --timeout, a signal); may be given several times
  --tier TIER           interpreter, jit (all is compiled before it runs) or auto (default: what is hot)`;

const mib = 2 ** 20;

/** Options of QEMU that ask for the absence of things, with the values that do. */
const absences: Readonly<Record<string, readonly string[]>> = {
  display: ['none'],
  monitor: ['none'],
  vga: ['none'],
  net: ['none'],
  nic: ['none'],
  parallel: ['none'],
};

/** Options of the design that no build has yet. */
const notYet = new Set(['hda', 'hdb', 'hdc', 'hdd', 'cdrom', 'drive', 'boot', 'bios', 'screendump']);

interface Draft {
  ramBytes: number | undefined;
  guest: string | undefined;
  guestDiskFile: string | undefined;
  kernel: string | undefined;
  initrd: string | undefined;
  commandLine: string | undefined;
  serial: SerialTarget;
  noReboot: boolean;
  icount: VmOptions['icount'];
  debugExitPort: number | undefined;
  balloon: BalloonDefinition | undefined;
  balloonMiB: number | undefined;
  disks: DiskFile[];
  cpuModel: string;
  tier: TierName;
  until: RegExp | undefined;
  timeoutSeconds: number | undefined;
  stats: string | undefined;
  countForms: boolean;
  debugCompiled: boolean;
  dumpRegions: bigint[];
}

type Setter = (draft: Draft, value: string) => void;

const flags: Readonly<Record<string, (draft: Draft) => void>> = {
  nographic: () => {},
  nodefaults: () => {},
  'no-reboot': (draft) => {
    draft.noReboot = true;
  },
  'debug-compiled': (draft) => {
    draft.debugCompiled = true;
  },
  'count-forms': (draft) => {
    draft.countForms = true;
  },
};

const valued: Readonly<Record<string, Setter>> = {
  m: (draft, value) => {
    draft.ramBytes = parseSize(value, '-m');
  },
  kernel: (draft, value) => {
    draft.kernel = value;
  },
  guest: (draft, value) => {
    draft.guest = value;
  },
  'guest-disk': (draft, value) => {
    draft.guestDiskFile = value;
  },
  initrd: (draft, value) => {
    draft.initrd = value;
  },
  append: (draft, value) => {
    draft.commandLine = value;
  },
  serial: (draft, value) => {
    draft.serial = parseSerial(value);
  },
  device: (draft, value) => {
    addDevice(draft, value);
  },
  balloon: (draft, value) => {
    draft.balloonMiB = parseSize(value, '--balloon') / mib;
  },
  disk: (draft, value) => {
    draft.disks.push(parseDisk(value));
    if (draft.disks.length > maximumDisks)
      throw new UsageError(`--disk: a guest can have ${maximumDisks} disks at most`);
  },
  smp: (_draft, value) => {
    if (!/^(cpus=)?1$/.test(value)) throw new UsageError(`-smp ${value}: this build has one processor, -smp 1`);
  },
  cpu: (draft, value) => {
    draft.cpuModel = value === 'max' ? defaultCpuModel : value;
    if (!cpuModelNames().includes(draft.cpuModel)) {
      throw new UsageError(`-cpu ${value}: there are ${cpuModelNames().join(', ')}`);
    }
  },
  until: (draft, value) => {
    draft.until = parsePattern(value);
  },
  timeout: (draft, value) => {
    const seconds = Number(value);
    if (!(seconds > 0)) throw new UsageError(`--timeout ${value}: a positive number of seconds is needed`);
    draft.timeoutSeconds = seconds;
  },
  stats: (draft, value) => {
    draft.stats = value;
  },
  'dump-region': (draft, value) => {
    if (!/^(0x)?[0-9a-f]{1,16}$/i.test(value)) {
      throw new UsageError(`--dump-region ${value}: a hexadecimal address like c1234567 is needed`);
    }
    draft.dumpRegions.push(BigInt(`0x${value.replace(/^0x/i, '')}`));
  },
  tier: (draft, value) => {
    const tier = tierNames.find((name) => name === value);
    if (tier === undefined) throw new UsageError(`--tier ${value}: there are ${tierNames.join(', ')}`);
    draft.tier = tier;
  },
};

const tierNames = Object.keys(tierCode) as TierName[];

/** @throws UsageError */
export function parseOptions(args: readonly string[], catalogue: CatalogueLookup = noCatalogue): VmOptions {
  const draft: Draft = {
    ramBytes: undefined,
    guest: undefined,
    guestDiskFile: undefined,
    kernel: undefined,
    initrd: undefined,
    commandLine: undefined,
    serial: { kind: 'stdio' },
    noReboot: false,
    icount: undefined,
    debugExitPort: undefined,
    balloon: undefined,
    balloonMiB: undefined,
    disks: [],
    cpuModel: defaultCpuModel,
    tier: 'auto',
    until: undefined,
    timeoutSeconds: undefined,
    stats: undefined,
    countForms: false,
    debugCompiled: false,
    dumpRegions: [],
  };
  for (let at = 0; at < args.length;) at = parseOne(draft, args, at);
  const boot = bootOf(draft, catalogue);
  if (draft.countForms && draft.stats === undefined) {
    throw new UsageError('--count-forms needs --stats FILE.json, where the counts are written');
  }
  if (draft.balloonMiB !== undefined) checkBalloon(draft.balloon, boot.ramBytes, draft.balloonMiB);
  return { ...draft, ...boot };
}

const noCatalogue: CatalogueLookup = () => {
  throw new Error('there is no catalogue here');
};

type Boot = Pick<VmOptions, 'kernel' | 'initrd' | 'commandLine' | 'ramBytes' | 'guestDisk'>;

/** What is booted: what a guest of the catalogue says, and options say otherwise. @throws UsageError */
function bootOf(draft: Draft, catalogue: CatalogueLookup): Boot {
  const { guest, guestDiskFile, kernel, initrd, commandLine = '', ramBytes = 256 * mib } = draft;
  if (guest === undefined) {
    if (guestDiskFile !== undefined) throw new UsageError('--guest-disk goes with --guest ID');
    if (kernel === undefined) {
      throw new UsageError('-kernel FILE or --guest ID is needed: there is no firmware to boot from a disk');
    }
    return { kernel, initrd, commandLine, ramBytes, guestDisk: undefined };
  }
  const entry = entryOf(guest, catalogue);
  const { disk } = entry;
  if (guestDiskFile !== undefined && disk === undefined) {
    throw new UsageError(`--guest-disk: ${guest} has no disk of its own; give it one with --disk FILE`);
  }
  if (disk !== undefined && draft.disks.length >= maximumDisks) {
    throw new UsageError(`--disk: besides its own disk ${guest} can have ${maximumDisks - 1} at most`);
  }
  return {
    kernel: kernel ?? fileURLToPath(entry.kernelUrl),
    initrd: initrd ?? (entry.initrdUrl === undefined ? undefined : fileURLToPath(entry.initrdUrl)),
    commandLine: draft.commandLine ?? entry.commandLine,
    ramBytes: draft.ramBytes ?? entry.memoryMiB * mib,
    guestDisk: disk && { url: disk.url, sha256: disk.sha256, keptIn: guestDiskFile },
  };
}

function entryOf(guest: string, catalogue: CatalogueLookup): ReturnType<CatalogueLookup> {
  try {
    return catalogue(guest);
  } catch (error) {
    throw new UsageError(`--guest ${guest}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function checkBalloon(balloon: BalloonDefinition | undefined, ramBytes: number, sizeMiB: number): void {
  if (balloon === undefined) throw new UsageError('--balloon needs the device: -device virtio-balloon-pci');
  if (sizeMiB * mib >= ramBytes) throw new UsageError(`--balloon: the guest has only ${ramBytes / mib} MiB (-m)`);
}

/** Takes the option at `at`; returns where the next one begins. */
function parseOne(draft: Draft, args: readonly string[], at: number): number {
  const text = args[at] ?? '';
  const match = /^--?([a-z][a-z-]*)(?:=(.*))?$/s.exec(text);
  const name = match?.[1];
  if (name === undefined) throw new UsageError(`unexpected argument "${text}"`);
  const inline = match?.[2];
  const flag = flags[name];
  if (flag !== undefined) {
    if (inline !== undefined) throw new UsageError(`-${name} takes no value`);
    flag(draft);
    return at + 1;
  }
  if (notYet.has(name))
    throw new UsageError(`-${name}: this build has no firmware, screen or IDE yet; disks are --disk FILE`);
  const following = inline ?? args[at + 1];
  if (name === 'icount') {
    const value =
      following !== undefined && (inline !== undefined || !following.startsWith('-')) ? following : undefined;
    draft.icount = { shift: value === undefined ? undefined : parseShift(value) };
    return at + (value === undefined || inline !== undefined ? 1 : 2);
  }
  const absence = absences[name];
  const setter = valued[name];
  if (absence === undefined && setter === undefined) throw new UsageError(`unknown option ${text}`);
  if (following === undefined) throw new UsageError(`${text} needs a value`);
  if (absence !== undefined && !absence.includes(following)) {
    throw new UsageError(`-${name} ${following}: this machine has none; only -${name} none is accepted`);
  }
  setter?.(draft, following);
  return at + (inline === undefined ? 2 : 1);
}

function parseSize(value: string, option: string): number {
  const match = /^(?:size=)?(\d+)([KMGkmg]?)$/.exec(value);
  const factor = { K: 1024, M: mib, G: 1024 * mib }[(match?.[2] || 'M').toUpperCase()];
  if (match?.[1] === undefined || factor === undefined) {
    throw new UsageError(`${option} ${value}: a size like 256, 256M or 1G is needed`);
  }
  return Number(match[1]) * factor;
}

function parseDisk(value: string): DiskFile {
  const [, path = '', how] = /^(.+?)(?:,(ro|snapshot))?$/s.exec(value) ?? [];
  if (path === '') throw new UsageError(`--disk ${value}: FILE, FILE,ro or FILE,snapshot is needed`);
  return { path, access: how === 'ro' ? 'read' : how === 'snapshot' ? 'overlay' : 'write' };
}

function parseSerial(value: string): SerialTarget {
  if (value === 'stdio' || value === 'mon:stdio') return { kind: 'stdio' };
  if (value === 'none' || value === 'null') return { kind: 'none' };
  if (value.startsWith('file:') && value.length > 5) return { kind: 'file', path: value.slice(5) };
  throw new UsageError(`-serial ${value}: there are stdio, file:PATH and none`);
}

/** -icount: `N` or QEMU's `shift=N`, with `sleep=off`, which is how this machine is. */
function parseShift(value: string): number | undefined {
  let shift: number | undefined;
  for (const part of value.split(',')) {
    const number = /^(?:shift=)?(\d+)$/.exec(part)?.[1];
    if (number !== undefined && Number(number) <= 10) shift = Number(number);
    else if (part !== 'sleep=off') throw new UsageError(`-icount ${value}: shift=N with N from 0 to 10 is needed`);
  }
  return shift;
}

function addDevice(draft: Draft, value: string): void {
  const [name, ...properties] = value.split(',');
  if (name === 'isa-debug-exit') draft.debugExitPort = parseDebugExit(value, properties);
  else if (name === 'virtio-balloon-pci') draft.balloon = parseBalloon(value, properties);
  else throw new UsageError(`-device ${name}: there are isa-debug-exit and virtio-balloon-pci`);
}

/** What is not named is off, as in QEMU. */
function parseBalloon(value: string, properties: readonly string[]): BalloonDefinition {
  const on = new Set<string>();
  for (const property of properties) {
    const [, key = '', state] = /^(deflate-on-oom|free-page-reporting)=(on|off)$/.exec(property) ?? [];
    if (state === undefined) {
      throw new UsageError(`-device ${value}: there are deflate-on-oom=on|off and free-page-reporting=on|off`);
    }
    if (state === 'on') on.add(key);
  }
  return { deflateOnOom: on.has('deflate-on-oom'), freePageReporting: on.has('free-page-reporting') };
}

function parseDebugExit(value: string, properties: readonly string[]): number {
  let port = 0x501;
  for (const property of properties) {
    const [key, text = ''] = property.split('=');
    const number = Number(text);
    const valid = text !== '' && Number.isInteger(number) && number >= 0 && number <= 0xffff;
    if (key === 'iobase' && valid) port = number;
    else if (key !== 'iosize' || !valid || number < 1 || number > 4) {
      throw new UsageError(`-device ${value}: isa-debug-exit,iobase=PORT,iosize=1…4 is needed`);
    }
  }
  return port;
}

function parsePattern(value: string): RegExp {
  try {
    return new RegExp(value);
  } catch (error) {
    throw new UsageError(`--until ${value}: ${error instanceof Error ? error.message : String(error)}`);
  }
}
