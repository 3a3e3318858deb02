/** A program that differs, for people. */
import type { Finding } from './check.ts';
import type { Lowered } from './lower.ts';
import type { Program } from './program.ts';

const hexByte = (byte: number): string => byte.toString(16).padStart(2, '0');

export function report(program: Program, lowered: Lowered, finding: Finding): string {
  const { draft, lines } = lowered;
  const registers = draft.regs.map((value, n) => `r${n}=${value.toString(16)}`).join(' ');
  const code = lines
    .filter((line) => line.bytes.length > 0)
    .map(({ address, bytes, text }) => {
      const shown = bytes.length > 40 ? `${bytes.length} bytes` : bytes.map(hexByte).join(' ');
      return `  ${address.toString(16)}  ${shown.padEnd(36)}  ${text}`;
    });
  const memory = draft.windows
    .slice(0, -1)
    .map((w) => `  ${w.address.toString(16)}  ${[...w.bytes].map(hexByte).join('')}`);
  const vectors = [...draft.xmm].map(([n, bytes]) => `  xmm${n} ${[...bytes].map(hexByte).join('')}`);
  const stops = finding.expected.map((s, n) => {
    const have = finding.outcome.stops[n];
    const at = have ? `vector ${have.vector} at ${have.rip.toString(16)}` : 'none';
    return `  stop ${n + 1}: processor vector ${s.vector} at ${s.rip.toString(16)}, core ${at}`;
  });
  return [
    `${program.name}, ${finding.way}, ${draft.bits}-bit:`,
    `  ${registers} flags=${draft.flags.toString(16)} mxcsr=${draft.mxcsr.toString(16)}`,
    ...memory,
    ...vectors,
    ...code,
    ...stops,
    ...finding.differences.map((d) => `  ${d.what}: processor ${d.expected}, core ${d.actual}`),
  ].join('\n');
}
