/** The guests that outlast the page, on the front page: each with what can be done with it, and how to make another. */
import { messageOf, sizeText, type Coordinator, type Definition, type GuestSummary } from '../vmm/index.ts';
import { openDefinitionDialog } from './definition-dialog.ts';
import { ask } from './dialog.ts';
import { button, h, iconButton, setText } from './dom.ts';
import { chooseFiles, saveAsFile, takeDrops } from './files.ts';
import { stateText } from './format.ts';

export interface GuestsView {
  readonly element: HTMLElement;
  /** Guests that were defined. */
  readonly count: number;
  /** Takes the coordinator's present state. */
  update(): void;
}

export interface GuestsViewActions {
  /** Starts a guest that does not run, and shows it. */
  readonly open: (id: string) => void;
}

const fileEnding = '.tabvisor.json';

/** Lets the user edit a guest, whether it is kept or not. */
export async function editGuest(vmm: Coordinator, id: string): Promise<void> {
  const { name, definition, kept, status } = vmm.get(id);
  const hints = [
    ['starting', 'running', 'paused'].includes(status.state) ? 'It runs: changes count from its next start on.' : '',
    kept ? '' : 'It is not kept: what you change lasts as long as this page.',
  ];
  openDefinitionDialog({
    title: `Edit ${name}`,
    definition,
    entries: await vmm.catalogue().catch(() => []),
    hint: hints.filter((hint) => hint !== '').join(' ') || undefined,
    save: (changes) => vmm.definitions.edit(id, changes),
  });
}

export function guestsView(vmm: Coordinator, area: HTMLElement, actions: GuestsViewActions): GuestsView {
  const list = h('ul', { class: 'guests-list' });
  const hint = h('p', { class: 'hint' });
  const trouble = h('div', { class: 'notice', 'data-tone': 'error', role: 'alert', hidden: true });
  const storage = h('div', { class: 'notice', 'data-tone': 'neutral', role: 'status', hidden: true });
  const rows = new Map<string, GuestRow>();

  const fail = (error: unknown) => {
    setText(trouble, messageOf(error));
    trouble.hidden = false;
  };
  const attempt = (work: Promise<unknown>) => {
    trouble.hidden = true;
    void work.catch(fail);
  };

  async function define(): Promise<void> {
    const entries = await vmm.catalogue().catch(() => []);
    openDefinitionDialog({
      title: 'New guest',
      definition: undefined,
      entries,
      save: async (changes) => rows.get(await vmm.definitions.define(changes))?.main,
    });
  }

  async function importFiles(files: readonly File[]): Promise<void> {
    let last: string | undefined;
    for (const file of files) {
      try {
        // Nothing that long is one; it is not read to find that out.
        if (file.size > 1 << 20) throw new Error('It is much too large for a definition.');
        last = await vmm.definitions.import(await file.text());
      } catch (error) {
        throw new Error(`${file.name} was not imported. ${messageOf(error)}`, { cause: error });
      }
    }
    if (last !== undefined) rows.get(last)?.main.focus();
  }

  const rowActions: RowActions = {
    open: actions.open,
    edit: (id) => attempt(editGuest(vmm, id)),
    duplicate: (id) => attempt(vmm.definitions.duplicate(id).then((copy) => rows.get(copy)?.main.focus())),
    save: (id) => saveAsFile(`${id}${fileEnding}`, vmm.definitions.export(id)),
    remove: (id) => attempt(remove(vmm, id)),
  };

  takeDrops(area, (files) => attempt(importFiles(files)));
  const element = h(
    'section',
    { class: 'guests', 'aria-label': 'Your guests' },
    h(
      'header',
      {},
      h('h2', {}, 'Your guests'),
      h(
        'div',
        { class: 'actions' },
        button('New guest', 'add', () => attempt(define())),
        button(
          'Import …',
          'upload',
          () => attempt(chooseFiles('.json').then(importFiles)),
          'From a file; or drop it here',
        ),
      ),
    ),
    storage,
    trouble,
    hint,
    list,
  );

  function update(): void {
    const kept = vmm.list().filter((guest) => !guest.transient || guest.definition.template);
    for (const [id, row] of rows) {
      if (kept.some((guest) => guest.id === id)) continue;
      row.element.remove();
      rows.delete(id);
    }
    for (const guest of kept) {
      let row = rows.get(guest.id);
      if (row === undefined) {
        row = guestRow(guest.id, rowActions);
        rows.set(guest.id, row);
        list.append(row.element);
      }
      row.update(guest);
    }
    const { works, message = '' } = vmm.definitions.storage;
    storage.hidden = works;
    setText(storage, message);
    setText(hint, kept.length > 0 ? '' : 'None yet. What you define here is there again when you come back.');
    hint.hidden = kept.length > 0;
  }

  update();
  return {
    element,
    get count() {
      return rows.size;
    },
    update,
  };
}

async function remove(vmm: Coordinator, id: string): Promise<void> {
  const { name, status } = vmm.get(id);
  const runs = ['starting', 'running', 'paused'].includes(status.state);
  const text = runs
    ? 'It runs: it is ended at once, and its definition is forgotten.'
    : 'Its definition is forgotten. Export it first if you may want it again.';
  const question = { title: `Delete ${name}?`, content: [h('p', {}, text)], no: 'Keep it', yes: 'Delete' };
  if (await ask({ ...question, yesIcon: 'trash', danger: true })) await vmm.remove(id);
}

interface RowActions {
  readonly open: (id: string) => void;
  readonly edit: (id: string) => void;
  readonly duplicate: (id: string) => void;
  readonly save: (id: string) => void;
  readonly remove: (id: string) => void;
}

interface GuestRow {
  readonly element: HTMLElement;
  /** Starts, shows, or makes another from it. */
  readonly main: HTMLElement;
  update(guest: GuestSummary): void;
}

/** F2 edits, Delete deletes, wherever in the row the keyboard is. */
function guestRow(id: string, actions: RowActions): GuestRow {
  const name = h('strong');
  const badge = h('span', { class: 'badge' });
  const facts = h('span', { class: 'hint' });
  const main = h('button', { type: 'button', class: 'button' });
  let template = false;
  main.addEventListener('click', () => (template ? actions.duplicate(id) : actions.open(id)));
  const edit = iconButton('Edit', 'edit', () => actions.edit(id));
  const duplicate = iconButton('Duplicate', 'copy', () => actions.duplicate(id));
  const save = iconButton('Export', 'download', () => actions.save(id));
  const remove = iconButton('Delete', 'trash', () => actions.remove(id));
  const element = h(
    'li',
    { class: 'guest-row', 'data-definition': id },
    h('span', { class: 'guest-name' }, name, badge),
    facts,
    h('span', { class: 'toolbar' }, main, edit, duplicate, save, remove),
  );
  element.addEventListener('keydown', (event) => {
    const act = { F2: actions.edit, Delete: actions.remove }[event.key];
    if (act === undefined) return;
    event.preventDefault();
    act(id);
  });
  return {
    element,
    main,
    update: ({ name: called, definition, status }) => {
      ({ template } = definition);
      const alive = ['starting', 'running', 'paused'].includes(status.state);
      setText(name, called);
      setText(badge, template ? 'template' : stateText(status));
      element.dataset['state'] = status.state;
      setText(facts, factsOf(definition));
      const verb = template ? 'New from it' : alive ? 'Show' : 'Start';
      setText(main, verb);
      main.classList.toggle('primary', !template);
      main.setAttribute('aria-label', `${verb}: ${called}`);
      for (const [control, what] of [
        [edit, 'Edit'],
        [duplicate, 'Duplicate'],
        [save, 'Export'],
        [remove, 'Delete'],
      ] as const) {
        control.title = what;
        control.setAttribute('aria-label', `${what} ${called}`);
      }
    },
  };
}

function factsOf(definition: Definition): string {
  const { catalogueId, kernelUrl, memoryMiB, clock, weight, capPercent, hardAffinity, autostart } = definition;
  const own =
    kernelUrl === undefined || /^(blob|data|kept):/.test(kernelUrl) ? 'own kernel' : kernelUrl.split('/').at(-1);
  const parts = [catalogueId ?? own ?? kernelUrl ?? '', sizeText(memoryMiB * 2 ** 20), `weight ${weight}`];
  if (capPercent > 0) parts.push(`at most ${capPercent} %`);
  if (hardAffinity !== undefined) parts.push(`processors ${hardAffinity.join(', ')}`);
  if (clock === 'virtual') parts.push('virtual clock');
  if (autostart) parts.push('starts with the page');
  return parts.join(' · ');
}
