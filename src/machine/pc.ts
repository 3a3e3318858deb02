/**
 * The one file that wires a PC. A {@link Pc} is an executor's view of a guest: it makes the devices on the guest's
 * memory, connects them, and is what the core imports as module `machine` (docs/architecture.md). It holds no state:
 * make it anew on the same memory and the guest goes on.
 *
 * @example a new guest
 * const map = memoryMap(definition.ramBytes);
 * const memory = new WebAssembly.Memory({ initial: map.totalBytes / 65536, maximum: …, shared: true });
 * layOutGuest(memory.buffer, definition);            // once: control page, rings, frame table
 * const pc = new Pc(memory.buffer, definition, host); // in the executor
 * pc.powerOn();                                       // reset values; then bootKernel(pc, …)
 *
 * The executor's part (`executor/executor.ts`): `clock.synchronize()` and `runDeadlines()` before a slice, which goes up
 * to `nextDeadlineNs()`; after each access of the guest to a device, a look whether that is earlier now; and
 * `control.fields.powerRequest` when a device has ended the slice.
 */
import { balloonDriver, ControlPage, exitCounter, powerRequest } from '../abi/control.ts';
import { DiskRing, diskRingBytes, maximumDisks } from '../abi/disk-ring.ts';
import { ByteRing, initializeRing } from '../abi/ring.ts';
import type { StructDeclaration } from '../base/struct.ts';
import { Vcpu } from '../cpu/state.ts';
import { exitReason } from '../cpu/status.ts';
import { AcpiPm } from '../devices/acpi-pm/device.ts';
import { portCount as acpiPortCount } from '../devices/acpi-pm/registers.ts';
import { AcpiPmState } from '../devices/acpi-pm/state.ts';
import type { Msrs, Resettable, Timed } from '../devices/capabilities.ts';
import { I8042 } from '../devices/i8042/device.ts';
import { I8042State } from '../devices/i8042/state.ts';
import { IoApic } from '../devices/io-apic/device.ts';
import { IoApicState } from '../devices/io-apic/state.ts';
import { KvmClock } from '../devices/kvm-clock/device.ts';
import { KvmClockState } from '../devices/kvm-clock/state.ts';
import { LocalApic } from '../devices/local-apic/device.ts';
import { LocalApicState } from '../devices/local-apic/state.ts';
import { PciFunction } from '../devices/pci-function/device.ts';
import { PciConfig } from '../devices/pci-function/state.ts';
import { PciHost } from '../devices/pci-host/device.ts';
import { hostBridge, isaBridge } from '../devices/pci-host/registers.ts';
import { PciHostState } from '../devices/pci-host/state.ts';
import { PicPair } from '../devices/pic-8259/device.ts';
import { Pic8259 } from '../devices/pic-8259/state.ts';
import { Pit } from '../devices/pit-8254/device.ts';
import { Pit8254 } from '../devices/pit-8254/state.ts';
import { Rtc } from '../devices/rtc-cmos/device.ts';
import { RtcCmos } from '../devices/rtc-cmos/state.ts';
import { SerialPort } from '../devices/serial-16550/device.ts';
import { Serial16550 } from '../devices/serial-16550/state.ts';
import { debugExit, SystemControl } from '../devices/system-control/device.ts';
import { SystemControlState } from '../devices/system-control/state.ts';
import { type BalloonOptions, balloonState, VirtioBalloon } from '../devices/virtio-balloon/device.ts';
import { type BlockOptions, blockState, VirtioBlock } from '../devices/virtio-block/device.ts';
import { acpiPortBase, acpiTables, generationEvent, pciLine, sciLine } from './acpi.ts';
import { MmioBus, PortBus } from './bus.ts';
import { Clock, type ClockMode, ClockState } from './clock.ts';
import { cpuid, cpuModel, type CpuModel } from './cpu-model.ts';
import { generationBytes, nextGeneration } from './generation.ts';
import { Dma } from './dma.ts';
import { FrameTablePages } from './given-pages.ts';
import { InterruptLines, InterruptLinesState, legacyIrq, pciLegacyIrqs } from './interrupt-lines.ts';
import { fillFrameTable, memoryMap, type MemoryMap, pciWindow, physical } from './memory-map.ts';
import { resetVcpu, type VcpuAccess } from './vcpu-reset.ts';

/** What a guest is; the same for every executor that runs it. */
export interface MachineDefinition {
  readonly ramBytes: number;
  readonly clock: ClockMode;
  /** Name of a CPU model, see `cpu-model.ts`. */
  readonly cpuModel: string;
  /** Calendar time at power-on, seconds since 1970 (UTC). */
  readonly epochSeconds: number;
  /** Seed of RDRAND, RDSEED and the kernel's random seed. */
  readonly seed: bigint;
  /** What the machine's generation is made from (`generation.ts`): drawn apart from the seed, as the guest can read it. */
  readonly generation: bigint;
  /** Port of isa-debug-exit; absent: no such device. */
  readonly debugExitPort?: number | undefined;
  /** A reset by the guest stops the machine. */
  readonly noReboot?: boolean | undefined;
  /** A memory balloon (virtio); absent: no such device. */
  readonly balloon?: BalloonOptions | undefined;
  /** Disks (virtio), at most {@link maximumDisks}. */
  readonly disks?: readonly BlockOptions[] | undefined;
}

/** What the machine needs of the host it runs on. */
export interface MachineHost {
  /** Monotonic time in nanoseconds. */
  nowNs(): number;
  /** Something worth a line: codes are the core's (`log` import). */
  log?(code: number, a: bigint, b: bigint): void;
}

/** Prepares a fresh (zeroed) memory for a guest: control page, rings, frame table. */
export function layOutGuest(buffer: ArrayBufferLike, definition: MachineDefinition): MemoryMap {
  const map = memoryMap(definition.ramBytes);
  const control = new ControlPage(buffer);
  control.initialize();
  control.fields.noReboot = definition.noReboot ? 1 : 0;
  control.fields.frameTable = map.frameTable;
  control.fields.frameCount = map.frameCount;
  for (const ring of [map.consoleIn, map.consoleOut, map.log]) initializeRing(buffer, ring);
  fillFrameTable(buffer, map);
  attachVcpu(Vcpu.at(buffer, map.vcpu), map);
  return map;
}

/** Tells the core where its tables are: derived fields of the vCPU. */
function attachVcpu(v: VcpuAccess, map: MemoryMap): void {
  v.arena = map.arena;
  v.arenaEnd = map.arenaEnd;
  v.frameTable = map.frameTable;
  v.frameCount = map.frameCount;
  v.framesBase = map.frames;
  v.frameBytes = map.frameBytes;
}

type Places = Readonly<
  Record<
    | 'clock'
    | 'lines'
    | 'pic'
    | 'localApic'
    | 'ioApic'
    | 'pit'
    | 'rtc'
    | 'serial'
    | 'acpiPm'
    | 'i8042'
    | 'systemControl'
    | 'kvmClock'
    | 'pciHost'
    | 'hostBridge'
    | 'isaBridge'
    | 'balloon',
    number
  >
> & { readonly disks: readonly number[] };

/** Hands out places for device structs, in the order of the calls: part of the saved-state format. */
class Placement {
  readonly #end: number;
  #next: number;

  constructor(start: number, end: number) {
    this.#next = start;
    this.#end = end;
  }

  take(declaration: Pick<StructDeclaration, 'name' | 'size'>): number {
    const at = this.#next;
    this.#next = Math.ceil((at + declaration.size) / 64) * 64;
    if (this.#next > this.#end) throw new Error(`no room for the state of ${declaration.name}: enlarge devicesBytes`);
    return at;
  }
}

/** Order is format: append only. */
function place(map: MemoryMap): Places {
  const placement = new Placement(map.devices, map.devicesEnd);
  return {
    clock: placement.take(ClockState),
    lines: placement.take(InterruptLinesState),
    pic: placement.take(Pic8259),
    localApic: placement.take(LocalApicState),
    ioApic: placement.take(IoApicState),
    pit: placement.take(Pit8254),
    rtc: placement.take(RtcCmos),
    serial: placement.take(Serial16550),
    acpiPm: placement.take(AcpiPmState),
    i8042: placement.take(I8042State),
    systemControl: placement.take(SystemControlState),
    kvmClock: placement.take(KvmClockState),
    pciHost: placement.take(PciHostState),
    hostBridge: placement.take(PciConfig),
    isaBridge: placement.take(PciConfig),
    balloon: placement.take(balloonState),
    disks: Array.from({ length: maximumDisks }, () => placement.take(blockState)),
  };
}

/** Numbers of the PCI devices of bus 0. */
const pciSlot = { hostBridge: 0, isaBridge: 1, balloon: 2, firstDisk: 3 } as const;
/** What the firmware sets aside for the memory of a virtio function. */
const virtioWindowBytes = 0x4000;

/** Code of a line in the log about a virtio driver: type of the device, and index into `failures`. */
export const virtioLogCode = -2;

export class Pc {
  readonly map: MemoryMap;
  readonly control: ControlPage;
  readonly vcpu: VcpuAccess;
  readonly clock: Clock;
  readonly dma: Dma;
  readonly ports = new PortBus();
  readonly mmio = new MmioBus();
  readonly definition: MachineDefinition;
  readonly serial: SerialPort;
  readonly localApic: LocalApic;
  readonly pciHost: PciHost;
  readonly lines: InterruptLines;
  readonly acpiPm: AcpiPm;
  readonly givenPages: FrameTablePages;
  readonly #balloon: VirtioBalloon | undefined;
  readonly #disks: readonly VirtioBlock[];
  readonly #rtc: Rtc;
  readonly #pic: PicPair;
  readonly #cpuModel: CpuModel;
  readonly #host: MachineHost;
  readonly #view: DataView;
  /** Low word of CR8, kept in step with the local APIC's task priority. */
  readonly #cr8: Uint32Array;
  readonly #timed: readonly Timed[];
  readonly #resettable: readonly Resettable[];
  readonly #msrs: readonly Msrs[];

  constructor(buffer: ArrayBufferLike, definition: MachineDefinition, host: MachineHost) {
    const map = memoryMap(definition.ramBytes);
    const at = place(map);
    this.map = map;
    this.definition = definition;
    this.#host = host;
    this.#view = new DataView(buffer);
    this.#cpuModel = cpuModel(definition.cpuModel);
    this.control = new ControlPage(buffer);
    this.vcpu = Vcpu.at(buffer, map.vcpu);
    this.#cr8 = new Uint32Array(buffer, map.vcpu + Vcpu.offsets.cr8, 1);
    attachVcpu(this.vcpu, map);
    this.clock = new Clock(buffer, at.clock, map.vcpu, () => host.nowNs());
    this.dma = new Dma(buffer, map);
    this.givenPages = new FrameTablePages(buffer, map);
    const { clock, dma: memory } = this;
    const changed = (): void => {
      this.#updateInterruptRequest();
    };

    // Interrupt controllers.
    this.#pic = new PicPair(buffer, at.pic, changed);
    const ioApic: IoApic = new IoApic(buffer, at.ioApic, {
      deliver: ({ mode, vector, level, destination, logical }) =>
        this.localApic.matches(destination, logical) && this.localApic.accept(mode, vector, level),
    });
    const apicBase = new Uint32Array(buffer, map.vcpu + Vcpu.offsets.msrApicBase, 1);
    this.localApic = new LocalApic(buffer, at.localApic, {
      clock,
      memory,
      baseFlags: () => (apicBase[0] ?? 0) & 0xfff,
      changed,
      nmi: () => {
        this.raiseNmi();
      },
      init: () => {
        host.log?.(-1, 0n, 0n);
      },
      endOfInterrupt: (vector) => {
        ioApic.endOfInterrupt(vector);
      },
    });
    this.lines = new InterruptLines(buffer, at.lines, this.#pic, ioApic);

    // Sources of interrupts: the order is part of the saved state.
    const line = (gsi: number): ReturnType<InterruptLines['connect']> => this.lines.connect(gsi);
    const resetMachine = (): void => {
      this.#requestPower(powerRequest.reset, 0);
    };
    const pit = new Pit(buffer, at.pit, { clock, line: line(0) });
    this.#rtc = new Rtc(buffer, at.rtc, { clock, line: line(8), lowMemoryBytes: map.lowRamBytes });
    this.serial = new SerialPort(buffer, at.serial, {
      clock,
      line: line(4),
      input: new ByteRing(buffer, map.consoleIn),
      output: new ByteRing(buffer, map.consoleOut),
    });
    this.acpiPm = new AcpiPm(buffer, at.acpiPm, {
      clock,
      line: line(sciLine),
      powerOff: () => {
        this.#requestPower(powerRequest.powerOff, 0);
      },
    });
    const keyboard = new I8042(buffer, at.i8042, { keyboardLine: line(1), auxLine: line(12), resetMachine });
    const system = new SystemControl(buffer, at.systemControl, {
      resetMachine,
      setA20: (enabled) => {
        keyboard.setA20(enabled);
      },
    });
    const kvmClock = new KvmClock(buffer, at.kvmClock, {
      clock,
      memory,
      calendarSeconds: () => this.#rtc.calendarSeconds(),
    });
    this.pciHost = new PciHost(buffer, at.pciHost);
    const bridge = new PciFunction(buffer, at.hostBridge, { identity: hostBridge, chipRegisters: true });
    const isa = new PciFunction(buffer, at.isaBridge, { identity: isaBridge, chipRegisters: true });
    this.pciHost.plug(pciSlot.hostBridge, 0, bridge);
    this.pciHost.plug(pciSlot.isaBridge, 0, isa);
    this.#balloon = this.#makeBalloon(buffer, at.balloon);
    if (this.#balloon !== undefined) this.pciHost.plug(pciSlot.balloon, 0, this.#balloon.target);
    this.#disks = (definition.disks ?? []).map((options, n) => this.#makeDisk(buffer, at.disks[n], n, options));
    this.#disks.forEach((disk, n) => {
      this.pciHost.plug(pciSlot.firstDisk + n, 0, disk.target);
    });

    const { ports, mmio } = this;
    ports.add(this.#pic.master, { name: 'PIC master', base: 0x20, length: 2 });
    ports.add(pit, { name: 'PIT', base: 0x40, length: 4 });
    ports.add(keyboard.data, { name: 'keyboard controller data', base: 0x60, length: 1 });
    ports.add(pit.portB, { name: 'system control B', base: 0x61, length: 1 });
    ports.add(keyboard.command, { name: 'keyboard controller command', base: 0x64, length: 1 });
    ports.add(this.#rtc, { name: 'RTC', base: 0x70, length: 2 });
    ports.add(system.post, { name: 'POST', base: 0x80, length: 1 });
    ports.add(system.port92, { name: 'system control A', base: 0x92, length: 1 });
    ports.add(this.#pic.slave, { name: 'PIC slave', base: 0xa0, length: 2 });
    ports.add(this.serial, { name: 'COM1', base: 0x3f8, length: 8 });
    ports.add(this.#pic.elcr, { name: 'ELCR', base: 0x4d0, length: 2 });
    ports.add(this.acpiPm, { name: 'ACPI PM', base: acpiPortBase, length: acpiPortCount, width: 4 });
    // CF9h lies within the range of the configuration address port, which takes 32-bit accesses only.
    ports.add(withResetControl(this.pciHost, system.resetControl), { name: 'PCI', base: 0xcf8, length: 8, width: 4 });
    if (definition.debugExitPort !== undefined) {
      const exit = debugExit((code) => {
        this.#requestPower(powerRequest.debugExit, code);
      });
      ports.add(exit, { name: 'isa-debug-exit', base: definition.debugExitPort, length: 4, width: 4 });
    }
    mmio.add(ioApic, { name: 'I/O APIC', base: physical.ioApic, length: 0x1000 });
    mmio.add(this.localApic, { name: 'local APIC', base: physical.localApic, length: 0x1000 });
    const { base, end } = pciWindow(map);
    mmio.add(this.pciHost.memoryFrom(base), { name: 'PCI memory', base, length: end - base });

    // Under the real clock a disk's requests are done when they are done.
    const timedDisks = definition.clock.mode === 'virtual' ? this.#disks : [];
    this.#timed = [this.localApic, pit, this.serial, this.#rtc, this.acpiPm, ...timedDisks];
    this.#resettable = [
      this.lines,
      this.#pic,
      ioApic,
      this.localApic,
      pit,
      this.#rtc,
      this.serial,
      this.acpiPm,
      keyboard,
      system,
      kvmClock,
      this.pciHost,
      bridge,
      isa,
      ...(this.#balloon === undefined ? [] : [this.#balloon]),
      ...this.#disks,
    ];
    this.#msrs = [this.localApic, kvmClock];
  }

  #makeBalloon(buffer: ArrayBufferLike, address: number): VirtioBalloon | undefined {
    const options = this.definition.balloon;
    if (options === undefined) return undefined;
    const { fields } = this.control;
    return new VirtioBalloon(buffer, address, options, {
      memory: this.dma,
      pages: this.givenPages,
      interrupt: this.lines.connect(pciLine(pciSlot.balloon, 0)),
      log: (type, failure) => this.#host.log?.(virtioLogCode, BigInt(type), BigInt(failure)),
      targetPages: () => fields.balloonTargetPages,
      statisticsRequest: () => fields.balloonStatisticsRequest,
      driverIs: (driver) => {
        fields.balloonDriver = balloonDriver[driver];
        // What a driver has said goes with it.
        if (driver === 'absent') fields.balloonStatisticsNs = 0;
      },
      actualIs: (pages) => {
        this.control.setBalloonActual(pages);
      },
      statisticsAre: (values) => {
        this.control.setBalloonStatistics(values, this.clock.nowNs());
      },
    });
  }

  #makeDisk(buffer: ArrayBufferLike, address: number | undefined, n: number, options: BlockOptions): VirtioBlock {
    if (address === undefined) throw new RangeError(`a guest can have ${maximumDisks} disks at most`);
    return new VirtioBlock(buffer, address, options, {
      memory: this.dma,
      interrupt: this.lines.connect(pciLine(pciSlot.firstDisk + n, 0)),
      ring: new DiskRing(buffer, this.map.disks + n * diskRingBytes),
      clock: this.clock,
      log: (type, failure) => this.#host.log?.(virtioLogCode, BigInt(type), BigInt(failure)),
    });
  }

  // Power.

  /** First start of a guest: time 0, calendar, random seed, reset. */
  powerOn(): void {
    this.clock.initialize(this.definition.clock);
    this.#rtc.setEpoch(this.definition.epochSeconds);
    this.#seedRandom(this.definition.seed);
    this.#setGeneration(new Uint8Array(generationBytes), 0);
    this.reset();
  }

  /**
   * The machine is a copy of another one: its random numbers are its own from now on, and under the real clock its calendar
   * is the host's. Its generation is another one, of which an ACPI event tells. Guest time goes on from where it stood, as
   * after a pause.
   */
  renewIdentity(): void {
    const { copies } = this.control.fields;
    // Mixed with what was there: under the virtual clock the seed is the same in all runs and copies.
    this.#seedRandom((this.definition.seed + BigInt(copies)) ^ (this.vcpu.randomState[0] ?? 0n));
    this.#setGeneration(this.dma.read(physical.generationId, generationBytes), copies);
    this.acpiPm.raiseGpe(generationEvent);
    if (this.definition.clock.mode === 'real') this.#rtc.setEpoch(this.definition.epochSeconds);
  }

  #setGeneration(before: Uint8Array, copies: number): void {
    this.dma.load(physical.generationId, nextGeneration(before, this.definition.generation, copies));
  }

  #seedRandom(seed: bigint): void {
    const { randomState } = this.vcpu;
    // xorshift128+ must not start from zero.
    randomState[0] = BigInt.asUintN(64, seed ^ 0x9e3779b97f4a7c15n) || 1n;
    randomState[1] = BigInt.asUintN(64, seed * 0xbf58476d1ce4e5b9n + 0x94d049bb133111ebn) || 1n;
  }

  /** Hardware reset of vCPU and devices, and the firmware's tables; RAM stays. A boot image must be loaded anew. */
  reset(): void {
    const [signature] = cpuid(this.#cpuModel, 1, 0);
    resetVcpu(this.vcpu, signature);
    for (const device of this.#resettable) device.reset();
    this.#initializeFirmware();
    this.control.fields.powerRequest = powerRequest.none;
  }

  /** What firmware leaves to an operating system: its tables, and PCI functions with addresses and lines. */
  #initializeFirmware(): void {
    const tables = acpiTables(this.map);
    this.dma.load(tables.rsdp, tables.bytes);
    for (const irq of pciLegacyIrqs) this.#pic.setLevelTriggered(irq);
    this.#balloon?.assign(physical.pciAssigned, legacyIrq(pciLine(pciSlot.balloon, 0)));
    this.#disks.forEach((disk, n) => {
      const line = legacyIrq(pciLine(pciSlot.firstDisk + n, 0));
      disk.assign(physical.pciAssigned + (1 + n) * virtioWindowBytes, line);
    });
  }

  #requestPower(request: number, exitCode: number): void {
    const f = this.control.fields;
    f.powerRequest = request;
    f.exitCode = exitCode;
    this.#endSlice();
  }

  /** Makes the core return to its executor at the next instruction boundary. */
  #endSlice(): void {
    this.vcpu.exitReason = exitReason.request;
    this.vcpu.attention = 1;
  }

  pressPowerButton(): void {
    this.acpiPm.pressPowerButton();
  }

  raiseNmi(): void {
    this.vcpu.nmiRequest = 1;
    this.vcpu.attention = 1;
  }

  // Time.

  /** Guest time of the earliest device deadline; Infinity if there is none. */
  nextDeadlineNs(): number {
    let next = Infinity;
    for (const device of this.#timed) next = Math.min(next, device.nextDeadlineNs());
    return next;
  }

  /** Does what is due by now. */
  runDeadlines(): void {
    const now = this.clock.nowNs();
    for (const device of this.#timed) {
      if (device.nextDeadlineNs() <= now) device.onDeadline(now);
    }
  }

  /** To be called when the doorbell rang: console input or room for output, another target of the balloon, disk requests. */
  poll(): void {
    this.serial.poll();
    this.#balloon?.poll();
    // Under the virtual clock requests are given back when they are due.
    if (!this.clock.isVirtual) for (const disk of this.#disks) disk.poll();
  }

  /**
   * True when the guest must not run because its console output has no room: under the virtual clock only, where
   * the guest must not notice how fast somebody reads. (The real clock lets the transmitter be busy instead.)
   */
  get waitsForConsole(): boolean {
    return this.clock.isVirtual && this.serial.outputWaiting;
  }

  /** True when the guest must not run because a disk's request is due and not done: under the virtual clock only. */
  get waitsForDisk(): boolean {
    return this.#disks.some((disk) => disk.waits);
  }

  // Interrupts.

  #updateInterruptRequest(): void {
    const pending = (this.localApic.passesExternal && this.#pic.output) || this.localApic.pendingVector() >= 0;
    this.#cr8[0] = this.localApic.taskPriority >> 4;
    this.vcpu.interruptRequest = pending ? 1 : 0;
    if (pending) this.vcpu.attention = 1;
  }

  // What the core imports.

  interruptAcknowledge(): number {
    this.control.count(exitCounter.interrupt, 0);
    let vector = -1;
    if (this.localApic.passesExternal && this.#pic.output) vector = this.#pic.acknowledge();
    else vector = this.localApic.acknowledge();
    this.#updateInterruptRequest();
    return vector;
  }

  portRead(port: number, size: number): number {
    this.control.count(exitCounter.portRead, 0);
    return this.ports.read(port, size) | 0;
  }

  portWrite(port: number, size: number, value: number): void {
    this.control.count(exitCounter.portWrite, 0);
    this.ports.write(port, size, value);
  }

  mmioRead(gpa: bigint, size: number): number {
    this.control.count(exitCounter.mmioRead, 0);
    return this.mmio.read(Number(BigInt.asUintN(64, gpa)), size) | 0;
  }

  mmioWrite(gpa: bigint, size: number, value: number): void {
    this.control.count(exitCounter.mmioWrite, 0);
    this.mmio.write(Number(BigInt.asUintN(64, gpa)), size, value);
  }

  msrRead(index: number, resultAddress: number): number {
    this.control.count(exitCounter.msrRead, 0);
    const value = this.#readMsr(index >>> 0);
    if (value === undefined) return 0;
    this.#view.setBigUint64(resultAddress, value, true);
    return 1;
  }

  #readMsr(index: number): bigint | undefined {
    for (const device of this.#msrs) {
      const value = device.readMsr(index);
      if (value !== undefined) return value;
    }
    return this.#cpuModel.msrs[index];
  }

  msrWrite(index: number, value: bigint): number {
    this.control.count(exitCounter.msrWrite, 0);
    for (const device of this.#msrs) {
      const done = device.writeMsr(index >>> 0, BigInt.asUintN(64, value));
      if (done !== undefined) return done ? 1 : 0;
    }
    // Writes to read-only MSRs of the model are ignored where hardware would ignore or microcode would load.
    return this.#cpuModel.msrs[index >>> 0] === undefined ? 0 : 1;
  }

  cpuid(leaf: number, subleaf: number, resultAddress: number): void {
    this.control.count(exitCounter.cpuid, 0);
    const registers = cpuid(this.#cpuModel, leaf, subleaf);
    registers.forEach((value, i) => {
      this.#view.setUint32(resultAddress + 4 * i, value, true);
    });
  }

  setTaskPriority(value: number): void {
    this.control.count(exitCounter.taskPriority, 0);
    this.localApic.setTaskPriority(value);
  }

  log(code: number, a: bigint, b: bigint): void {
    this.control.count(exitCounter.log, 0);
    this.#host.log?.(code, a, b);
  }

  /** The import object's module `machine`. */
  imports(): Record<string, (...args: never[]) => unknown> {
    return {
      portRead: (port: number, size: number) => this.portRead(port, size),
      portWrite: (port: number, size: number, value: number) => {
        this.portWrite(port, size, value);
      },
      mmioRead: (gpa: bigint, size: number) => this.mmioRead(gpa, size),
      mmioWrite: (gpa: bigint, size: number, value: number) => {
        this.mmioWrite(gpa, size, value);
      },
      msrRead: (index: number, resultAddress: number) => this.msrRead(index, resultAddress),
      msrWrite: (index: number, value: bigint) => this.msrWrite(index, value),
      interruptAcknowledge: () => this.interruptAcknowledge(),
      cpuid: (leaf: number, subleaf: number, resultAddress: number) => {
        this.cpuid(leaf, subleaf, resultAddress);
      },
      setTaskPriority: (value: number) => {
        this.setTaskPriority(value);
      },
      log: (code: number, a: bigint, b: bigint) => {
        this.log(code, a, b);
      },
    };
  }
}

/** Byte accesses to CF9h are the reset control register; everything else in the range is PCI configuration. */
function withResetControl(pci: PciHost, resetControl: SystemControl['resetControl']): SystemControl['resetControl'] {
  const isReset = (offset: number, size: number): boolean => offset === 1 && size === 1;
  return {
    readPort: (offset, size) => (isReset(offset, size) ? resetControl : pci).readPort(offset, size),
    writePort: (offset, size, value) => {
      (isReset(offset, size) ? resetControl : pci).writePort(offset, size, value);
    },
  };
}
