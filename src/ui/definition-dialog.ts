/** The dialog in which a guest is defined or edited. */
import type { CatalogueEntry, Definition, DefinitionChanges } from '../vmm/index.ts';
import { definitionForm } from './definition-form.ts';
import { h } from './dom.ts';

export interface DefinitionDialogOptions {
  readonly title: string;
  /** What is edited; undefined: a new guest. */
  readonly definition: Definition | undefined;
  readonly entries: readonly CatalogueEntry[];
  /** For example that changes count from the next start on. */
  readonly hint?: string | undefined;
  /**
   * Resolves when it is done, to what gets the keyboard then (else what had it before); what it rejects with is shown, and
   * the dialog stays.
   */
  readonly save: (changes: DefinitionChanges) => Promise<HTMLElement | void>;
}

export function openDefinitionDialog(options: DefinitionDialogOptions): void {
  const { entries, definition } = options;
  let next = document.activeElement;
  const form = definitionForm({
    prefix: 'definition',
    definition,
    entries,
    submit: definition === undefined ? 'Define' : 'Save',
    save: async (changes) => {
      next = (await options.save(changes)) ?? next;
      dialog.close();
    },
    cancel: () => dialog.close(),
  });
  const dialog = h(
    'dialog',
    { class: 'dialog wide', 'aria-labelledby': 'definition-title' },
    h('h2', { id: 'definition-title' }, options.title),
    options.hint === undefined ? undefined : h('p', { class: 'hint' }, options.hint),
    form.element,
  );
  dialog.addEventListener('close', () => {
    dialog.remove();
    if (next instanceof HTMLElement && next.isConnected) next.focus();
  });
  document.body.append(dialog);
  dialog.showModal();
  form.focus();
}
