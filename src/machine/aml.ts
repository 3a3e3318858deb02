/**
 * A small builder of ACPI machine language: functions that return the bytes of an AML term (ACPI 6.4 §20.2), and of
 * resource descriptors (§6.4).
 */
type Bytes = readonly number[];

export function bytesOf(value: number, size: number): number[] {
  const result: number[] = [];
  for (let i = 0; i < size; i++) result.push(Math.floor(value / 2 ** (8 * i)) & 0xff);
  return result;
}

export function ascii(text: string): number[] {
  return Array.from(text, (character) => character.charCodeAt(0));
}

/** PkgLength (§20.2.4): counts itself. */
function packageLength(length: number): number[] {
  if (length + 1 <= 0x3f) return [length + 1];
  if (length + 2 <= 0xfff) return [0x40 | ((length + 2) & 15), (length + 2) >> 4];
  return [0x80 | ((length + 3) & 15), ((length + 3) >> 4) & 0xff, (length + 3) >> 12];
}

function sized(operation: Bytes, body: Bytes): number[] {
  return [...operation, ...packageLength(body.length), ...body];
}

/** A NameString of one or more segments: "\\_SB", "PCI0", "_CRS". Segments are padded with underscores. */
export function nameString(path: string): number[] {
  const root = path.startsWith('\\') ? [0x5c] : [];
  const segments = path
    .replace('\\', '')
    .split('.')
    .map((segment) => ascii(segment.padEnd(4, '_')));
  const prefix = segments.length === 1 ? [] : segments.length === 2 ? [0x2e] : [0x2f, segments.length];
  return [...root, ...prefix, ...segments.flat()];
}

export function integer(value: number): number[] {
  if (value === 0 || value === 1) return [value];
  if (value <= 0xff) return [0x0a, value];
  if (value <= 0xffff) return [0x0b, ...bytesOf(value, 2)];
  return [0x0c, ...bytesOf(value, 4)];
}

export function name(path: string, value: Bytes): number[] {
  return [0x08, ...nameString(path), ...value];
}

/** A String of ASCII characters (§20.2.3). */
export function text(value: string): number[] {
  return [0x0d, ...ascii(value), 0];
}

/** A Method without arguments (§20.2.5.2). */
export function method(path: string, ...terms: Bytes[]): number[] {
  return sized([0x14], [...nameString(path), 0, ...terms.flat()]);
}

/** Notify(object, value) (§20.2.5.3): tells the operating system that something happened to a device. */
export function notify(path: string, value: number): number[] {
  return [0x86, ...nameString(path), ...integer(value)];
}

export function packageOf(...elements: Bytes[]): number[] {
  return sized([0x12], [elements.length, ...elements.flat()]);
}

export function scope(path: string, ...terms: Bytes[]): number[] {
  return sized([0x10], [...nameString(path), ...terms.flat()]);
}

export function device(path: string, ...terms: Bytes[]): number[] {
  return sized([0x5b, 0x82], [...nameString(path), ...terms.flat()]);
}

/** Compressed EISA id, as in EISAID("PNP0A03") (§19.3.4). */
export function eisaId(id: string): number[] {
  const letter = (i: number): number => id.charCodeAt(i) - 0x40;
  const vendor = (letter(0) << 10) | (letter(1) << 5) | letter(2);
  const product = Number.parseInt(id.slice(3), 16);
  return [0x0c, vendor >> 8, vendor & 0xff, product >> 8, product & 0xff];
}

/** A Buffer of resource descriptors with its end tag. */
export function resources(...descriptors: Bytes[]): number[] {
  const body = [...descriptors.flat(), 0x79, 0];
  return sized([0x11], [...integer(body.length), ...body]);
}

/** IO port descriptor, 16-bit decode (§6.4.2.5). */
export function ioPorts(base: number, length: number): number[] {
  return [0x47, 1, ...bytesOf(base, 2), ...bytesOf(base, 2), 1, length];
}

/** IRQ descriptor, edge-triggered, active high, exclusive (§6.4.2.1). */
export function irq(number: number): number[] {
  return [0x22, ...bytesOf(1 << number, 2)];
}

export interface AddressRange {
  /** 0 memory, 1 ports, 2 bus numbers. */
  readonly type: 0 | 1 | 2;
  readonly first: number;
  readonly last: number;
  readonly typeFlags: number;
}

/** Word or double-word address space that the bridge passes on, with fixed ends (§6.4.3.5). */
export function addressSpace(bits: 16 | 32, { type, first, last, typeFlags }: AddressRange): number[] {
  const size = bits / 8;
  const body = [type, 0x0c, typeFlags];
  for (const value of [0, first, last, 0, last - first + 1]) body.push(...bytesOf(value, size));
  return [bits === 16 ? 0x88 : 0x87, ...bytesOf(body.length, 2), ...body];
}
