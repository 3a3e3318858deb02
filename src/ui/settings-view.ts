/** The settings of one guest, in its pane: its definition as a form. */
import { messageOf, shareOf, type Coordinator } from '../vmm/index.ts';
import { definitionForm } from './definition-form.ts';
import { h, setText } from './dom.ts';

export interface SettingsView {
  readonly element: HTMLElement;
  /** Shows the definition as it is now; what is being typed is left alone. */
  show(): void;
  /** Into its first field. */
  focus(): void;
}

export function settingsView(vmm: Coordinator, id: string): SettingsView {
  const hint = h('p', { class: 'hint' });
  const saved = h('p', { class: 'saved', role: 'status' });
  const place = h('div');
  const element = h(
    'div',
    { class: 'settings-view' },
    h('div', { class: 'view-head' }, h('h3', {}, 'Settings')),
    hint,
    place,
    saved,
  );
  /** The definition that the form was made from, as text. */
  let shown = '';
  let made: Promise<void> = Promise.resolve();

  async function save(changes: Parameters<Coordinator['definitions']['edit']>[1]): Promise<void> {
    await vmm.definitions.edit(id, changes);
    const { status, definition } = vmm.get(id);
    const alive = status.state === 'running' || status.state === 'paused';
    if (alive) vmm.setShare(id, shareOf(definition));
    shown = JSON.stringify(definition);
    setText(
      saved,
      alive ? 'Saved. Weight, cap and processors count at once, the rest from the next start on.' : 'Saved.',
    );
  }

  async function show(): Promise<void> {
    const { definition, kept, status } = vmm.get(id);
    const alive = ['starting', 'running', 'paused'].includes(status.state);
    setText(
      hint,
      [
        alive ? 'It runs: weight, cap and processors count at once, all else from its next start on.' : '',
        kept ? '' : 'It is not kept: what you change lasts as long as this page.',
      ]
        .filter((text) => text !== '')
        .join(' '),
    );
    const text = JSON.stringify(definition);
    if (text === shown) return made;
    shown = text;
    setText(saved, '');
    const entries = await vmm.catalogue().catch(() => []);
    const form = definitionForm({ prefix: `settings-${id}`, definition, entries, submit: 'Save', save });
    form.element.addEventListener('input', () => setText(saved, ''));
    place.replaceChildren(form.element);
  }

  return {
    element,
    show: () => {
      made = show().catch((error: unknown) => setText(hint, messageOf(error)));
    },
    focus: () => void made.then(() => place.querySelector('input')?.focus()),
  };
}
