/**
 * Alignment checks (#AC, SDM vol. 3 §6.15 and table 6-7): the forms of the other files that touch memory, at CPL 3 with
 * CR0.AM and EFLAGS.AC set, at addresses of all alignments, some of them where a page fault waits too.
 */
import { userPages } from '../assemble.ts';
import { OPERAND_LIMIT, REGION } from '../draft.ts';
import type { Assembly, Template } from '../template.ts';

const AC = 0x40000;
/** CR0 with AM; the machine turns paging on itself. */
const CR0 = 0x40033;
const PAGING = 0x8000_0000;
const COUNT = 2;

function checked(a: Assembly): void {
  const { draft, template } = a;
  const { random } = draft;
  userPages(draft);
  draft.flags |= AC;
  // What REP leaves in the upper halves of registers at an address size of 32 differs too.
  if (draft.bits === 64 && a.addressOverride && /REP/.test(template.name)) {
    for (const name of ['rcx', 'rsi', 'rdi']) draft.unspecified.add(name);
  }
  draft.extraRegs.cr0 = CR0 + PAGING;
  // Where its last check faults a processor has pushed already, below the stack pointer.
  if (template.name.startsWith('ENTER')) draft.comparedMemory = [];
  if (a.target !== 0 || template.stack || template.encoding.includes('moffs')) return;
  const end = REGION.data.base + REGION.data.size;
  if (random.chance(0.1)) a.target = random.pick([REGION.readonly.base + random.below(64), end - 1 - random.below(8)]);
  else if (random.chance(0.3)) a.target = REGION.data.base + 16 * random.below((OPERAND_LIMIT - REGION.data.base) / 32);
}

/** The name with its register or memory operand as a memory operand. */
const inMemory = (name: string): string => name.replace(/(?<=[ ,])[EWQ](?=[a-z])/, 'M');

/** Intel's MOVSXD of 16 bits reads 16, AMD's 32; MOVD that faults leaves TOP alone at AMD's. */
const differs = ['MOVSXD Gv,Ew', 'MOVD Ey,Pq', 'MOVD My,Pq'];

export function alignmentTemplates(forms: readonly Template[]): readonly Template[] {
  return forms
    .filter((t) => t.stack || t.group === 'string' || /[ ,]([EMWQ][a-z]|M\b|O[a-z])/.test(t.name))
    .filter((t) => !/pending/.test(t.name) && !differs.includes(t.name))
    .map((t) => ({
      ...t,
      group: 'alignment',
      name: inMemory(t.name),
      count: COUNT,
      noFaults: true,
      prepare: (a) => {
        t.prepare?.(a);
        checked(a);
      },
    }));
}
