/**
 * The ACPI tables that firmware would leave in memory: RSDP, RSDT, XSDT, FADT, FACS, DSDT, MADT (ACPI 6.4 §5.2).
 * They lie in the reserved range at E0000h, the RSDP first, where legacy systems search for it too (§5.2.5.1).
 */
import * as pm from '../devices/acpi-pm/registers.ts';
import {
  addressSpace,
  ascii,
  bytesOf,
  device,
  eisaId,
  integer,
  ioPorts,
  irq,
  method,
  name,
  notify,
  packageOf,
  resources,
  scope,
  text,
} from './aml.ts';
import { type MemoryMap, pciWindow, physical } from './memory-map.ts';

/** Port of the ACPI registers, and the SCI's line. */
export const acpiPortBase = 0x600;
export const sciLine = 9;
/** General-purpose event by which a guest hears that it is a copy of another one; QEMU's is the same. */
export const generationEvent = 5;
const resetPort = 0xcf9;
const resetValue = 6;

/** First of the eight lines that PCI's four interrupt pins share in turn. */
export const firstPciLine = 16;
const pciLines = 8;

/** The line of a PCI device's pin (0 = INTA), as `_PRT` says it. */
export function pciLine(deviceNumber: number, pin: number): number {
  return firstPciLine + ((deviceNumber + pin) % pciLines);
}

function checksum(bytes: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i++) sum += bytes[i] ?? 0;
  return -sum & 0xff;
}

/** A system description table: the 36-byte header, with its checksum, and the body. */
function table(signature: string, revision: number, body: readonly number[]): number[] {
  const bytes = [
    ...ascii(signature),
    ...bytesOf(36 + body.length, 4),
    revision,
    0,
    ...ascii('TABVSR'),
    ...ascii('TABVISOR'),
    ...bytesOf(1, 4),
    ...ascii('TABV'),
    ...bytesOf(1, 4),
    ...body,
  ];
  bytes[9] = checksum(bytes);
  return bytes;
}

/** Generic address structure (§5.2.3.2); space 1 = ports. */
function genericAddress(space: number, bits: number, access: number, address: number): number[] {
  return [space, bits, 0, access, ...bytesOf(address, 8)];
}

function portAddress(bits: number, offset: number): number[] {
  return genericAddress(1, bits, bits === 16 ? 2 : 3, acpiPortBase + offset);
}

/** Fixed ACPI description table, revision 5 (§5.2.9). */
function fadt(facs: number, dsdt: number): number[] {
  const wbinvd = 1 << 0;
  const processorC1 = 1 << 2;
  const sleepButtonAbsent = 1 << 5;
  const rtcWakeNotFixed = 1 << 6;
  const resetRegister = 1 << 10;
  // Devices on an ISA bus, no VGA. Without bit 1 Linux does not probe the 8042 (it is there for reset and A20).
  const bootFlags = (1 << 0) | (1 << 2);
  const absent = genericAddress(0, 0, 0, 0);
  return table('FACP', 5, [
    ...bytesOf(facs, 4),
    ...bytesOf(dsdt, 4),
    0,
    0,
    ...bytesOf(sciLine, 2),
    // SMI command port 0: always in ACPI mode. ACPI enable, disable, S4, P-state values unused.
    ...bytesOf(0, 4),
    0,
    0,
    0,
    0,
    ...bytesOf(acpiPortBase + pm.register.status, 4),
    ...bytesOf(0, 4),
    ...bytesOf(acpiPortBase + pm.register.control, 4),
    ...bytesOf(0, 4),
    ...bytesOf(0, 4),
    ...bytesOf(acpiPortBase + pm.register.timer, 4),
    ...bytesOf(acpiPortBase + pm.register.gpeStatus, 4),
    ...bytesOf(0, 4),
    // Lengths: PM1 event, PM1 control, PM2 control, timer, GPE0, GPE1; GPE1 base; C-state changes.
    4,
    2,
    0,
    4,
    pm.gpeBlockBytes,
    0,
    0,
    0,
    // C2 and C3 latencies that say "unsupported".
    ...bytesOf(0xfff, 2),
    ...bytesOf(0xfff, 2),
    ...bytesOf(0, 4),
    0,
    0,
    0,
    0,
    // CMOS register of the century.
    0x32,
    ...bytesOf(bootFlags, 2),
    0,
    ...bytesOf(wbinvd | processorC1 | sleepButtonAbsent | rtcWakeNotFixed | resetRegister, 4),
    ...genericAddress(1, 8, 1, resetPort),
    resetValue,
    ...bytesOf(0, 3),
    ...bytesOf(facs, 8),
    ...bytesOf(dsdt, 8),
    ...portAddress(32, pm.register.status),
    ...absent,
    ...portAddress(16, pm.register.control),
    ...absent,
    ...absent,
    ...portAddress(32, pm.register.timer),
    // General-purpose events, in bytes.
    ...genericAddress(1, 8 * pm.gpeBlockBytes, 1, acpiPortBase + pm.register.gpeStatus),
    ...absent,
    // Sleep control and status registers exist on reduced hardware only.
    ...absent,
    ...absent,
  ]);
}

/** Firmware ACPI control structure (§5.2.10): no waking vector, no global lock in use. */
function facs(): number[] {
  const bytes = [...ascii('FACS'), ...bytesOf(64, 4), ...bytesOf(0, 56)];
  bytes[32] = 2;
  return bytes;
}

/** Multiple APIC description table (§5.2.12). */
function madt(): number[] {
  const activeHighEdgeByBus = 0;
  const activeHighLevel = 0xd;
  const override = (source: number, line: number, flags: number): number[] => [
    2,
    10,
    0,
    source,
    ...bytesOf(line, 4),
    ...bytesOf(flags, 2),
  ];
  return table('APIC', 3, [
    ...bytesOf(physical.localApic, 4),
    // A pair of 8259s is there too.
    ...bytesOf(1, 4),
    // Local APIC: processor 0, id 0, enabled.
    ...[0, 8, 0, 0, ...bytesOf(1, 4)],
    // I/O APIC 0, lines from 0.
    ...[1, 12, 0, 0, ...bytesOf(physical.ioApic, 4), ...bytesOf(0, 4)],
    ...override(0, 2, activeHighEdgeByBus),
    ...override(sciLine, sciLine, activeHighLevel),
    // Local APIC NMI: all processors, LINT1.
    ...[4, 6, 0xff, ...bytesOf(0, 2), 1],
  ]);
}

/** Routing of PCI interrupt pins to lines (§6.2.13): [device << 16 | FFFFh, pin, 0, line]. */
function routing(): number[] {
  const entries: number[][] = [];
  // Devices repeat every eight, and a PC needs few.
  for (let number = 1; number < 16; number++) {
    for (let pin = 0; pin < 4; pin++) {
      const address = [0x0c, ...bytesOf(number * 0x10000 + 0xffff, 4)];
      entries.push(packageOf(address, integer(pin), integer(0), integer(pciLine(number, pin))));
    }
  }
  return name('_PRT', packageOf(...entries));
}

function hostBridge(map: MemoryMap): number[] {
  const busNumbers = addressSpace(16, { type: 2, first: 0, last: 0xff, typeFlags: 0 });
  const ports = (first: number, last: number): number[] => addressSpace(16, { type: 1, first, last, typeFlags: 3 });
  // Read-write memory, not cacheable.
  const memory = (first: number, last: number): number[] => addressSpace(32, { type: 0, first, last, typeFlags: 1 });
  const window = pciWindow(map);
  return device(
    'PCI0',
    name('_HID', eisaId('PNP0A03')),
    name('_ADR', integer(0)),
    name('_UID', integer(0)),
    name(
      '_CRS',
      resources(
        busNumbers,
        ioPorts(0xcf8, 8),
        ports(0, 0xcf7),
        ports(0xd00, 0xffff),
        memory(physical.vgaHole, physical.vgaHoleEnd - 1),
        memory(window.base, window.end - 1),
      ),
    ),
    routing(),
    device('ISA', name('_ADR', integer(0x10000)), isaDevices()),
  );
}

function isaDevices(): number[] {
  return [
    ...device('RTC', name('_HID', eisaId('PNP0B00')), name('_CRS', resources(ioPorts(0x70, 2), irq(8)))),
    ...device(
      'COM1',
      name('_HID', eisaId('PNP0501')),
      name('_UID', integer(1)),
      name('_STA', integer(0xf)),
      name('_CRS', resources(ioPorts(0x3f8, 8), irq(4))),
    ),
  ];
}

/**
 * The generation of the virtual machine: a number that changes when the machine becomes a copy of another one (Microsoft,
 * "Virtual Machine Generation ID", 2012). `ADDR` says where it lies; Linux knows the device by either name.
 */
function generationId(): number[] {
  return device(
    'VGEN',
    name('_HID', text('TABVVGID')),
    name('_CID', packageOf(text('VM_Gen_Counter'), text('VMGENCTR'))),
    name('_DDN', text('VM_Gen_Counter')),
    name('ADDR', packageOf(integer(physical.generationId), integer(0))),
  );
}

/** Differentiated system description table: the power-off state, PCI, and what cannot be found by probing. */
export function dsdt(map: MemoryMap): Uint8Array {
  const sleepState5 = packageOf(integer(pm.sleepTypeS5), integer(pm.sleepTypeS5), integer(0), integer(0));
  return Uint8Array.from(
    table('DSDT', 2, [
      ...name('\\_S5', sleepState5),
      ...scope('\\_SB', hostBridge(map), generationId()),
      ...scope('\\_GPE', method(`_E0${generationEvent}`, notify('\\_SB.VGEN', 0x80))),
    ]),
  );
}

export interface AcpiImage {
  /** Guest-physical address of the RSDP, where the image begins. */
  readonly rsdp: number;
  readonly bytes: Uint8Array;
}

/** All tables, as they lie from {@link AcpiImage.rsdp} on. */
export function acpiTables(map: MemoryMap): AcpiImage {
  const base = physical.tables;
  // The RSDP takes 36 bytes; FACS must be on 64.
  const image: number[] = Array.from({ length: 64 }, () => 0);
  const append = (bytes: ArrayLike<number>, alignment = 16): number => {
    while (image.length % alignment !== 0) image.push(0);
    const address = base + image.length;
    for (let i = 0; i < bytes.length; i++) image.push(bytes[i] ?? 0);
    return address;
  };
  const facsAddress = append(facs(), 64);
  const dsdtAddress = append(dsdt(map));
  const tables = [append(fadt(facsAddress, dsdtAddress)), append(madt())];
  const rsdt = append(
    table(
      'RSDT',
      1,
      tables.flatMap((address) => bytesOf(address, 4)),
    ),
  );
  const xsdt = append(
    table(
      'XSDT',
      1,
      tables.flatMap((address) => bytesOf(address, 8)),
    ),
  );
  rsdp(rsdt, xsdt).forEach((byte, i) => {
    image[i] = byte;
  });
  return { rsdp: base, bytes: Uint8Array.from(image) };
}

/** Root system description pointer, revision 2, with both checksums (§5.2.5.3). */
function rsdp(rsdt: number, xsdt: number): number[] {
  const bytes = [...ascii('RSD PTR '), 0, ...ascii('TABVSR'), 2, ...bytesOf(rsdt, 4)];
  bytes[8] = checksum(bytes);
  bytes.push(...bytesOf(36, 4), ...bytesOf(xsdt, 8), 0, 0, 0, 0);
  bytes[32] = checksum(bytes);
  return bytes;
}
