import { describe, expect, it } from 'vitest';
import { acpiTables, pciLine } from './acpi.ts';
import { eisaId, integer, nameString, packageOf } from './aml.ts';
import { memoryMap } from './memory-map.ts';

const image = acpiTables(memoryMap(64 << 20));
const view = new DataView(image.bytes.buffer);
const at = (gpa: number) => gpa - image.rsdp;
const text = (offset: number, length: number) => String.fromCharCode(...image.bytes.subarray(offset, offset + length));
const sum = (offset: number, length: number) =>
  image.bytes.subarray(offset, offset + length).reduce((total, byte) => (total + byte) & 0xff, 0);

describe('ACPI tables', () => {
  it('begin with an RSDP whose checksums hold', () => {
    expect(text(0, 8)).toBe('RSD PTR ');
    expect([sum(0, 20), sum(0, 36)]).toEqual([0, 0]);
  });

  it('are reached by RSDT and XSDT alike, each with its checksum', () => {
    const rsdt = at(view.getUint32(16, true));
    const xsdt = at(Number(view.getBigUint64(24, true)));
    expect([text(rsdt, 4), text(xsdt, 4)]).toEqual(['RSDT', 'XSDT']);
    const tables = [at(view.getUint32(rsdt + 36, true)), at(view.getUint32(rsdt + 40, true))];
    expect(tables).toEqual([0, 1].map((i) => at(Number(view.getBigUint64(xsdt + 36 + 8 * i, true)))));
    expect(tables.map((table) => text(table, 4))).toEqual(['FACP', 'APIC']);
    const fadt = tables[0] ?? 0;
    const dsdt = at(view.getUint32(fadt + 40, true));
    expect(text(dsdt, 4)).toBe('DSDT');
    for (const table of [rsdt, xsdt, dsdt, ...tables]) expect(sum(table, view.getUint32(table + 4, true))).toBe(0);
    expect(view.getUint32(fadt + 4, true)).toBe(268);
  });

  it('give the FADT’s fields their places (ACPI 6.4 table 5-33)', () => {
    const fadt = at(view.getUint32(at(view.getUint32(16, true)) + 36, true));
    expect(view.getUint16(fadt + 46, true)).toBe(9); // SCI
    expect(view.getUint32(fadt + 56, true)).toBe(0x600); // PM1a event
    expect(view.getUint32(fadt + 64, true)).toBe(0x604); // PM1a control
    expect(view.getUint32(fadt + 76, true)).toBe(0x608); // PM timer
    expect(view.getUint32(fadt + 80, true)).toBe(0x60c); // general-purpose events
    expect([88, 89, 91, 92].map((offset) => view.getUint8(fadt + offset))).toEqual([4, 2, 4, 2]);
    // The same again, as a generic address: I/O space, 16 bits, in bytes.
    expect([...image.bytes.subarray(fadt + 220, fadt + 224)]).toEqual([1, 16, 0, 1]);
    expect(view.getBigUint64(fadt + 224, true)).toBe(0x60cn);
    expect(view.getUint8(fadt + 108)).toBe(0x32); // century
    expect(view.getUint32(fadt + 112, true) & 0x400).toBe(0x400); // reset register supported
    expect(view.getBigUint64(fadt + 120, true)).toBe(0xcf9n);
    expect(view.getUint8(fadt + 128)).toBe(6);
    expect(Number(view.getBigUint64(fadt + 140, true))).toBe(view.getUint32(fadt + 40, true)); // X_DSDT
    const facs = at(view.getUint32(fadt + 36, true));
    expect([text(facs, 4), facs % 64]).toEqual(['FACS', 0]);
  });
});

describe('AML', () => {
  it('encodes names, integers, packages and ids', () => {
    expect(nameString('\\_S5')).toEqual([0x5c, 0x5f, 0x53, 0x35, 0x5f]);
    expect([integer(1), integer(0x80), integer(0x1234)]).toEqual([[1], [0x0a, 0x80], [0x0b, 0x34, 0x12]]);
    expect(packageOf(integer(0), integer(5))).toEqual([0x12, 5, 2, 0, 0x0a, 5]);
    expect(eisaId('PNP0A03')).toEqual([0x0c, 0x41, 0xd0, 0x0a, 0x03]);
    // A length of two bytes counts itself.
    expect(packageOf(Array.from({ length: 100 }, () => 0)).slice(0, 4)).toEqual([0x12, 0x40 | (103 & 15), 103 >> 4, 1]);
  });

  it('routes the pins of a device to four different lines', () => {
    expect([0, 1, 2, 3].map((pin) => pciLine(3, pin))).toEqual([19, 20, 21, 22]);
  });
});
