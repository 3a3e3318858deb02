/** The form in which a guest is defined or edited: it says what is wrong with a field as one types. */
import {
  definitionDefaults,
  definitionProblems,
  keptFileUrl,
  messageOf,
  parseMemoryMiB,
  type CatalogueEntry,
  type Definition,
  type DefinitionChanges,
  type DefinitionField,
} from '../vmm/index.ts';
import { button, h, setText } from './dom.ts';

export interface DefinitionFormOptions {
  /** For the ids of its fields: unique in the page. */
  readonly prefix: string;
  /** What is edited; undefined: a new guest. */
  readonly definition: Definition | undefined;
  readonly entries: readonly CatalogueEntry[];
  readonly submit: string;
  /** Rejects with what is shown then; the form stays as it is. */
  readonly save: (changes: DefinitionChanges) => Promise<void>;
  /** Shows a button for it. */
  readonly cancel?: () => void;
}

export interface DefinitionForm {
  readonly element: HTMLFormElement;
  /** Into its first field. */
  focus(): void;
}

type Control = HTMLInputElement | HTMLSelectElement;

interface Row {
  readonly element: HTMLElement;
  readonly control: Control;
  /** Gives it its id. */
  name(prefix: string): void;
  show(problem: string | undefined): void;
}

/** Value of the choice "a kernel of one's own". */
const ownKernel = '';

function row(field: string, label: string, control: Control, hint = '', beside?: HTMLElement): Row {
  control.name = field;
  const note = h('span', { class: 'note' }, hint);
  const inline = control instanceof HTMLInputElement && control.type === 'checkbox';
  const caption = h('label', {}, label);
  const children = inline
    ? [h('div', { class: 'row check' }, control, caption)]
    : [caption, beside === undefined ? control : h('div', { class: 'row' }, control, beside)];
  return {
    element: h('div', { class: 'field' }, ...children, note),
    control,
    name: (prefix) => {
      control.id = `${prefix}-${field}`;
      caption.htmlFor = control.id;
      note.id = `${control.id}-note`;
      control.setAttribute('aria-describedby', note.id);
    },
    show: (problem) => {
      control.setAttribute('aria-invalid', String(problem !== undefined));
      note.classList.toggle('wrong', problem !== undefined);
      setText(note, problem ?? hint);
    },
  };
}

const textInput = (value: string, placeholder = '') =>
  h('input', { type: 'text', value, placeholder, spellcheck: 'false', autocomplete: 'off' });

function checkbox(checked: boolean): HTMLInputElement {
  return h('input', { type: 'checkbox', checked });
}

function select(options: readonly (readonly [value: string, text: string])[], chosen: string): HTMLSelectElement {
  return h('select', {}, ...options.map(([value, text]) => h('option', { value, selected: value === chosen }, text)));
}

/** A row for an address, or a file of this computer, which is kept with the definition. */
function imageRow(field: 'kernelUrl' | 'initrdUrl', label: string, url: string, placeholder: string): Row {
  const control = textInput(url, placeholder);
  const file = h('input', { type: 'file', 'aria-label': `${label} from this computer` });
  file.addEventListener('change', () => {
    const chosen = file.files?.[0];
    if (chosen === undefined) return;
    control.value = URL.createObjectURL(chosen);
    control.title = chosen.name;
    control.dispatchEvent(new Event('input', { bubbles: true }));
  });
  const hint = url === keptFileUrl ? 'The file that was chosen is kept with the definition.' : '';
  return row(field, label, control, hint, h('label', { class: 'button file' }, 'File …', file));
}

function rowsOf(given: Partial<Definition>, entries: readonly CatalogueEntry[]) {
  const choices = entries
    .filter((entry) => !entry.hidden || entry.catalogueId === given.catalogueId)
    .map((entry) => [entry.catalogueId, entry.name] as const);
  const { catalogueId } = given;
  if (catalogueId !== undefined && !choices.some(([id]) => id === catalogueId)) {
    choices.push([catalogueId, `${catalogueId} (not in the catalogue now)`]);
  }
  const chosen = catalogueId ?? (given.kernelUrl === undefined ? (choices[0]?.[0] ?? ownKernel) : ownKernel);
  const { memoryMiB, clock, weight, capPercent, autostart, template } = { ...definitionDefaults, ...given };
  return {
    name: row('name', 'Name', textInput(given.name ?? '')),
    catalogueId: row('catalogueId', 'Boots', select([...choices, [ownKernel, 'A kernel of your own']], chosen)),
    kernelUrl: imageRow('kernelUrl', 'Kernel', given.kernelUrl ?? '', 'bzImage, multiboot or ELF: an address'),
    initrdUrl: imageRow('initrdUrl', 'Initial RAM disk', given.initrdUrl ?? '', 'none'),
    memoryMiB: row('memoryMiB', 'Memory', textInput(`${memoryMiB}M`)),
    commandLine: row('commandLine', 'Command line', textInput(given.commandLine ?? '')),
    disks: row(
      'disks',
      'Disks',
      textInput((given.disks ?? []).join(' ')),
      'Ids of disks (ID,ro: read-only) or addresses of raw images, with spaces between.',
    ),
    clock: row(
      'clock',
      'Clock',
      select(
        [
          ['real', 'Real time'],
          ['virtual', 'Virtual: counts instructions, runs repeat exactly'],
        ],
        clock,
      ),
    ),
    weight: row(
      'weight',
      'Weight',
      textInput(String(weight)),
      'Twice the weight, twice the share of a busy processor.',
    ),
    capPercent: row(
      'capPercent',
      'Cap, in %',
      textInput(String(capPercent)),
      'Of one processor’s time; 0 is no limit.',
    ),
    hardAffinity: row(
      'hardAffinity',
      'Runs on processors',
      textInput((given.hardAffinity ?? []).join(' '), 'all'),
      'Bare-metal mode: numbers from 0, with spaces between. Where none of them is granted, all may run it.',
    ),
    softAffinity: row(
      'softAffinity',
      'Preferred processors',
      textInput((given.softAffinity ?? []).join(' '), 'all'),
      'Bare-metal mode: others run it only where it would wait for long.',
    ),
    autostart: row('autostart', 'Start it when this page is opened', checkbox(autostart)),
    template: row('template', 'Template: not to be started, others are made from it', checkbox(template)),
  } satisfies Record<DefinitionField, Row>;
}

type Rows = ReturnType<typeof rowsOf>;

/** What the fields say, right or wrong; an optional one that is empty is undefined. */
function valuesOf(rows: Rows): Record<DefinitionField, unknown> {
  const text = (field: DefinitionField) => rows[field].control.value.trim();
  const optional = (field: DefinitionField) => (text(field) === '' ? undefined : text(field));
  const whole = (field: DefinitionField) => (/^\d+$/.test(text(field)) ? Number(text(field)) : NaN);
  const numbers = (field: DefinitionField) => {
    const words = optional(field)?.split(/[\s,]+/);
    return words?.map((word) => (/^\d+$/.test(word) ? Number(word) : NaN));
  };
  const checked = ({ control }: Row) => control instanceof HTMLInputElement && control.checked;
  const own = text('catalogueId') === ownKernel;
  return {
    name: text('name'),
    catalogueId: own ? undefined : text('catalogueId'),
    kernelUrl: own ? text('kernelUrl') : undefined,
    initrdUrl: own ? optional('initrdUrl') : undefined,
    commandLine: optional('commandLine'),
    disks: optional('disks')?.split(/\s+/),
    // What is no size at all is told as one that is out of bounds.
    memoryMiB: parseMemoryMiB(text('memoryMiB')) ?? NaN,
    clock: text('clock'),
    weight: whole('weight'),
    capPercent: whole('capPercent'),
    hardAffinity: numbers('hardAffinity'),
    softAffinity: numbers('softAffinity'),
    autostart: checked(rows.autostart),
    template: checked(rows.template),
  };
}

export function definitionForm(options: DefinitionFormOptions): DefinitionForm {
  const { entries, definition, prefix } = options;
  const rows = rowsOf(definition ?? {}, entries);
  const touched = new Set<string>();
  const failure = h('div', { class: 'form-failure', role: 'alert', hidden: true });
  const save = h('button', { type: 'submit', class: 'button primary' }, options.submit);
  for (const one of Object.values(rows)) one.name(prefix);
  const form = h(
    'form',
    { novalidate: true, class: 'definition-form' },
    h('div', { class: 'fields' }, ...Object.values(rows).map(({ element }) => element)),
    failure,
    h(
      'div',
      { class: 'actions' },
      options.cancel === undefined ? undefined : button('Cancel', undefined, options.cancel),
      save,
    ),
  );

  /** Shows what is wrong with what the user has been at; returns the first row that is wrong. */
  function look(): Row | undefined {
    const values = valuesOf(rows);
    const problems = definitionProblems(values);
    const own = values.catalogueId === undefined;
    rows.kernelUrl.element.hidden = !own;
    rows.initrdUrl.element.hidden = !own;
    const entry = entries.find(({ catalogueId }) => catalogueId === values.catalogueId);
    if (rows.commandLine.control instanceof HTMLInputElement) {
      rows.commandLine.control.placeholder = entry?.commandLine ?? 'console=ttyS0';
    }
    let first: Row | undefined;
    for (const [field, one] of Object.entries(rows) as [DefinitionField, Row][]) {
      const problem = problems[field];
      one.show(touched.has(field) ? problem : undefined);
      if (problem !== undefined) first ??= one;
    }
    return first;
  }

  form.addEventListener('input', ({ target }) => {
    if (target instanceof HTMLInputElement || target instanceof HTMLSelectElement) touched.add(target.name);
    failure.hidden = true;
    look();
  });
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    for (const field of Object.keys(rows)) touched.add(field);
    const wrong = look();
    if (wrong !== undefined) {
      wrong.control.focus();
      return;
    }
    save.disabled = true;
    options
      .save(valuesOf(rows) as DefinitionChanges)
      .catch((error: unknown) => {
        failure.hidden = false;
        setText(failure, messageOf(error));
      })
      .finally(() => {
        save.disabled = false;
      });
  });
  look();
  return {
    element: form,
    focus: () => {
      rows.name.control.focus();
      if (rows.name.control instanceof HTMLInputElement) rows.name.control.select();
    },
  };
}
