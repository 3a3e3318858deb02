/** What an executor shows of the vCPU at exits: the published registers of the control page, and the dump for people. */
import type { ControlPage } from '../abi/control.ts';
import type { Pc } from '../machine/pc.ts';
import type { VcpuAccess } from '../machine/vcpu-reset.ts';

/** EFLAGS as the guest would push them: the lazy arithmetic flags in place (see `cpu/state.ts`). */
export function flagsOf(v: VcpuAccess): number {
  const { flagResult, flagAux } = v;
  const low = (Number(BigInt.asUintN(8, flagResult)) ^ (flagAux >>> 8)) & 0xff;
  let parity = low ^ (low >> 4);
  parity ^= parity >> 2;
  parity ^= parity >> 1;
  const sign = (flagResult < 0n ? 1 : 0) ^ (flagAux >>> 31);
  return (
    (v.eflags |
      (v.flagCarry & 1) |
      ((parity & 1) === 0 ? 4 : 0) |
      (flagAux & 0x10) |
      (flagResult === 0n ? 0x40 : 0) |
      (sign << 7) |
      (v.flagOverflow < 0n ? 0x800 : 0)) >>>
    0
  );
}

/** Fills the published registers and counters. */
export function publish(control: ControlPage, pc: Pc): void {
  const v = pc.vcpu;
  control.publish((fields) => {
    fields.publishedCpl = v.cpl;
    fields.publishedGpr.set(v.gpr);
    fields.publishedRip = v.rip;
    fields.publishedEflags = BigInt(flagsOf(v));
    fields.publishedCr0 = v.cr0;
    fields.publishedCr2 = v.cr2;
    fields.publishedCr3 = v.cr3;
    fields.publishedCr4 = v.cr4;
    fields.publishedEfer = v.efer;
    fields.publishedSelectors.set(v.segSelector);
    fields.retired = Number(v.retired);
    fields.uptimeNs = pc.clock.nowNs();
  });
}

const gprNames = 'RAX RCX RDX RBX RSP RBP RSI RDI R8 R9 R10 R11 R12 R13 R14 R15'.split(' ');
const segmentNames = 'ES CS SS DS FS GS LDTR TR'.split(' ');

function hex(value: bigint | number, digits: number): string {
  return BigInt.asUintN(64, BigInt(value)).toString(16).padStart(digits, '0');
}

/** All that one wants to see of a vCPU that shut down. */
export function registerDump(v: VcpuAccess): string {
  const lines: string[] = [];
  for (let row = 0; row < 16; row += 4) {
    lines.push(
      [0, 1, 2, 3]
        .map((column) => `${(gprNames[row + column] ?? '').padEnd(3)}=${hex(v.gpr[row + column] ?? 0n, 16)}`)
        .join(' '),
    );
  }
  lines.push(`RIP=${hex(v.rip, 16)} RFLAGS=${hex(flagsOf(v), 8)} CPL=${v.cpl} retired=${v.retired}`);
  segmentNames.forEach((name, i) => {
    const base = hex(v.segBase[i] ?? 0n, 16);
    const attributes = hex(v.segAttributes[i] ?? 0, 5);
    lines.push(
      `${name.padEnd(4)} ${hex(v.segSelector[i] ?? 0, 4)} base=${base} limit=${hex(v.segLimit[i] ?? 0, 8)} attributes=${attributes}`,
    );
  });
  lines.push(`GDT  base=${hex(v.gdtBase, 16)} limit=${hex(v.gdtLimit, 4)}`);
  lines.push(`IDT  base=${hex(v.idtBase, 16)} limit=${hex(v.idtLimit, 4)}`);
  lines.push(
    `CR0=${hex(v.cr0, 8)} CR2=${hex(v.cr2, 16)} CR3=${hex(v.cr3, 16)} CR4=${hex(v.cr4, 8)} EFER=${hex(v.efer, 4)}`,
  );
  return lines.join('\n');
}
