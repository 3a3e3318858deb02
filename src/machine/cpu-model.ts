/**
 * CPU models: what CPUID says, as named data that belongs to a guest.
 *
 * Which processor to be? Linux (`cpu_vuln_whitelist` and `cpu_set_bug_bits` in arch/x86/kernel/cpu/common.c) decides by
 * vendor, family and model what mitigations a kernel pays for. An interpreter speculates nothing, so the honest answer
 * is a processor that does not speculate: the in-order Atoms (GenuineIntel, family 6, model 1Ch "Bonnell") are listed
 * as NO_SPECULATION and NO_ITLB_MULTIHIT, and the kernel then sets no bug bit at all: no page-table isolation, no
 * retpolines or return thunks, no SWAPGS fences, no IBPB, no SSBD, no buffer clearing; `bugs:` in /proc/cpuinfo is
 * empty. The alternatives cost more: AMD families are free of Meltdown, MDS and L1TF, but keep spectre_v2
 * (retpolines; families 15h–17h also RETBLEED, 17h and 19h SRSO); Centaur and Zhaoxin family 7 are free of spectre_v2
 * but not of Meltdown, MDS, L1TF unless IA32_ARCH_CAPABILITIES denies them. The stepping is 10, for steppings up to 2
 * lose PSE to erratum AAE44.
 *
 * The feature set is x86-64-v2 of the psABI, which no Bonnell had; software goes by the bits. Left out on purpose:
 * MCE/MCA (nothing to report), MWAIT, XSAVE, HPET, ERMS (REP MOVSB would retire eight times the iterations of MOVSQ).
 *
 * The KVM leaf tells Linux what spares it calibration: clock source 2, stable; no I/O delay; paravirtual EOI; TSC and
 * bus frequency. Sources: SDM vol. 2A, CPUID; Linux Documentation/virt/kvm/x86/cpuid.rst.
 */
import { tscHz } from './clock.ts';

/** Bit numbers by name, for the feature words that the models use. */
export const featureBits = {
  leaf1Ecx: {
    sse3: 0,
    pclmulqdq: 1,
    ssse3: 9,
    fma: 12,
    cx16: 13,
    pcid: 17,
    sse41: 19,
    sse42: 20,
    x2apic: 21,
    movbe: 22,
    popcnt: 23,
    tscDeadline: 24,
    aes: 25,
    rdrand: 30,
    hypervisor: 31,
  },
  leaf1Edx: {
    fpu: 0,
    vme: 1,
    de: 2,
    pse: 3,
    tsc: 4,
    msr: 5,
    pae: 6,
    cx8: 8,
    apic: 9,
    sep: 11,
    mtrr: 12,
    pge: 13,
    cmov: 15,
    pat: 16,
    pse36: 17,
    clflush: 19,
    mmx: 23,
    fxsr: 24,
    sse: 25,
    sse2: 26,
  },
  /** `fdpExceptionOnly`, `noFcsFds`: x87's data pointer is of exceptions only; its selectors are saved as 0. */
  leaf7Ebx: { fsgsbase: 0, tscAdjust: 1, fdpExceptionOnly: 6, smep: 7, erms: 9, noFcsFds: 13, rdseed: 18, smap: 20 },
  leaf80000001Ecx: { lahf: 0 },
  leaf80000001Edx: { syscall: 11, nx: 20, pdpe1gb: 26, rdtscp: 27, longMode: 29 },
  leaf80000007Edx: { invariantTsc: 8 },
  kvm: { clockSource: 0, noIoDelay: 1, clockSource2: 3, pvEoi: 6, clockSourceStable: 24 },
} as const;

type Words = typeof featureBits;

export interface CpuModel {
  readonly name: string;
  readonly vendor: string;
  readonly family: number;
  readonly model: number;
  readonly stepping: number;
  readonly brand: string;
  readonly features: { readonly [W in keyof Words]: readonly (keyof Words[W])[] };
  readonly physicalAddressBits: number;
  readonly linearAddressBits: number;
  /** Read-only MSRs that come with the model; what the core and the devices own is not here. */
  readonly msrs: Readonly<Record<number, bigint>>;
}

const v2: CpuModel['features'] = {
  leaf1Ecx: ['sse3', 'ssse3', 'cx16', 'sse41', 'sse42', 'x2apic', 'popcnt', 'tscDeadline', 'rdrand', 'hypervisor'],
  leaf1Edx: [
    'fpu',
    'vme',
    'de',
    'pse',
    'tsc',
    'msr',
    'pae',
    'cx8',
    'apic',
    'sep',
    'mtrr',
    'pge',
    'cmov',
    'pat',
    'pse36',
    'clflush',
    'mmx',
    'fxsr',
    'sse',
    'sse2',
  ],
  leaf7Ebx: ['tscAdjust', 'fdpExceptionOnly', 'smep', 'noFcsFds', 'rdseed', 'smap'],
  leaf80000001Ecx: ['lahf'],
  leaf80000001Edx: ['syscall', 'nx', 'pdpe1gb', 'rdtscp', 'longMode'],
  leaf80000007Edx: ['invariantTsc'],
  kvm: ['clockSource', 'noIoDelay', 'clockSource2', 'pvEoi', 'clockSourceStable'],
};

/** MSRs by number (SDM vol. 4). */
const msr = {
  platformId: 0x17,
  /** Control of SMIs: 0 = none counted. */
  smiCount: 0x34,
  microcode: 0x8b,
} as const;

const models: readonly CpuModel[] = [
  {
    name: 'tabvisor-v2',
    vendor: 'GenuineIntel',
    family: 6,
    model: 0x1c,
    stepping: 10,
    brand: 'Tabvisor virtual CPU (x86-64-v2)',
    features: v2,
    physicalAddressBits: 40,
    linearAddressBits: 48,
    msrs: { [msr.platformId]: 0n, [msr.smiCount]: 0n, [msr.microcode]: 0n },
  },
];

export const defaultCpuModel = 'tabvisor-v2';

export function cpuModelNames(): string[] {
  return models.map((model) => model.name);
}

export function cpuModel(name: string): CpuModel {
  const found = models.find((model) => model.name === name);
  if (found === undefined) throw new Error(`unknown CPU model "${name}": there are ${cpuModelNames().join(', ')}`);
  return found;
}

type Registers = readonly [eax: number, ebx: number, ecx: number, edx: number];

const maxBasicLeaf = 0x16;
const maxExtendedLeaf = 0x80000008;
const kvmLeaf = 0x40000000;
const kvmMaxLeaf = 0x40000010;
const zero: Registers = [0, 0, 0, 0];

function word(bits: Readonly<Record<string, number>>, names: readonly string[]): number {
  let value = 0;
  for (const name of names) value |= 1 << (bits[name] ?? 0);
  return value >>> 0;
}

function ascii(text: string, offset: number): number {
  let value = 0;
  for (let i = 3; i >= 0; i--) value = value * 256 + (text.charCodeAt(offset + i) || 0);
  return value;
}

function signature(m: CpuModel): number {
  const family = Math.min(m.family, 15);
  const extendedFamily = m.family - family;
  return ((extendedFamily << 20) | ((m.model >> 4) << 16) | (family << 8) | ((m.model & 15) << 4) | m.stepping) >>> 0;
}

/** Deterministic cache parameters (leaf 4): L1 data, L1 instruction, L2. */
const caches: readonly Registers[] = [
  [0x121, (7 << 22) | 63, 63, 0],
  [0x122, (7 << 22) | 63, 63, 0],
  [0x143, (15 << 22) | 63, 1023, 0],
];

/** What CPUID returns. A leaf above the highest basic one returns nothing. */
export function cpuid(m: CpuModel, leaf: number, subleaf: number): Registers {
  const f = m.features;
  const kvmHz = tscHz / 1000;
  switch (leaf >>> 0) {
    case 0:
      return [maxBasicLeaf, ascii(m.vendor, 0), ascii(m.vendor, 8), ascii(m.vendor, 4)];
    case 1:
      // CLFLUSH line of 8 × 8 bytes, one logical processor, APIC id 0.
      return [
        signature(m),
        (1 << 16) | (8 << 8),
        word(featureBits.leaf1Ecx, f.leaf1Ecx),
        word(featureBits.leaf1Edx, f.leaf1Edx),
      ];
    case 2:
      // One iteration; FFh: see leaf 4.
      return [0x00ff_0001, 0, 0, 0];
    case 4:
      return caches[subleaf] ?? zero;
    case 6:
      // ARAT: the APIC timer runs always.
      return [4, 0, 0, 0];
    case 7:
      return subleaf === 0 ? [0, word(featureBits.leaf7Ebx, f.leaf7Ebx), 0, 0] : zero;
    case 0xb:
      if (subleaf === 0) return [0, 1, 0x100, 0];
      return subleaf === 1 ? [0, 1, 0x201, 0] : [0, 0, subleaf & 0xff, 0];
    case 0x15:
      // TSC = crystal × 1 / 1.
      return [1, 1, tscHz, 0];
    case 0x16:
      return [tscHz / 1e6, tscHz / 1e6, 100, 0];
    case kvmLeaf:
      return [kvmMaxLeaf, ascii('KVMKVMKVM', 0), ascii('KVMKVMKVM', 4), ascii('KVMKVMKVM', 8)];
    case kvmLeaf + 1:
      return [word(featureBits.kvm, f.kvm), 0, 0, 0];
    case kvmMaxLeaf:
      // Frequencies of the TSC and of the local APIC's timer in kHz.
      return [kvmHz, 1_000_000, 0, 0];
    case 0x80000000:
      return [maxExtendedLeaf, 0, 0, 0];
    case 0x80000001:
      return [
        0,
        0,
        word(featureBits.leaf80000001Ecx, f.leaf80000001Ecx),
        word(featureBits.leaf80000001Edx, f.leaf80000001Edx),
      ];
    case 0x80000002:
    case 0x80000003:
    case 0x80000004: {
      const at = ((leaf >>> 0) - 0x80000002) * 16;
      return [ascii(m.brand, at), ascii(m.brand, at + 4), ascii(m.brand, at + 8), ascii(m.brand, at + 12)];
    }
    case 0x80000006:
      return [0, 0, (1024 << 16) | (8 << 12) | 64, 0];
    case 0x80000007:
      return [0, 0, 0, word(featureBits.leaf80000007Edx, f.leaf80000007Edx)];
    case 0x80000008:
      return [m.physicalAddressBits | (m.linearAddressBits << 8), 0, 0, 0];
    default:
      return zero;
  }
}
