/** All templates, in the order in which their cases appear. */
import type { Template } from '../template.ts';
import { alignmentTemplates } from './alignment.ts';
import { ARITHMETIC } from './arithmetic.ts';
import { BITS } from './bits.ts';
import { CONTROL } from './control.ts';
import { MOVES } from './moves.ts';
import { RARE } from './rare.ts';
import { STRINGS } from './strings.ts';
import { VECTORS } from './vectors.ts';
import { X87_POINTERS } from './x87-pointers.ts';
import { X87 } from './x87.ts';

const FORMS: readonly Template[] = [
  ...ARITHMETIC,
  ...BITS,
  ...MOVES,
  ...CONTROL,
  ...STRINGS,
  ...VECTORS,
  ...X87,
  ...RARE,
];

export const TEMPLATES: readonly Template[] = [...FORMS, ...X87_POINTERS, ...alignmentTemplates(FORMS)];
