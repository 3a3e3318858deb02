/** Questions that need an answer before anything else happens. */
import { button, h, type Child, type IconName } from './dom.ts';

export interface Question {
  readonly title: string;
  readonly content: readonly Child[];
  readonly no: string;
  readonly yes: string;
  readonly yesIcon?: IconName;
  /** Something is lost by a yes. */
  readonly danger?: boolean;
}

/** Asks; Escape is no, and no has the keyboard at first. */
export function ask({ title, content, no, yes, yesIcon, danger = false }: Question): Promise<boolean> {
  return new Promise((resolve) => {
    const answer = (agreed: boolean) => dialog.close(agreed ? 'yes' : 'no');
    const noButton = button(no, undefined, () => answer(false));
    const yesButton = button(yes, yesIcon, () => answer(true));
    yesButton.classList.add(danger ? 'danger' : 'primary');
    const dialog = h(
      'dialog',
      { class: 'dialog', 'aria-labelledby': 'question-title' },
      h('h2', { id: 'question-title' }, title),
      ...content,
      h('div', { class: 'actions' }, noButton, yesButton),
    );
    const before = document.activeElement;
    dialog.addEventListener('close', () => {
      dialog.remove();
      if (before instanceof HTMLElement && before.isConnected) before.focus();
      resolve(dialog.returnValue === 'yes');
    });
    document.body.append(dialog);
    dialog.showModal();
    noButton.focus();
  });
}

/** Asks whether to boot what lies at other sites. */
export function confirmForeign(urls: readonly string[]): Promise<boolean> {
  const hosts = [...new Set(urls.map((url) => new URL(url).host))].join(' and ');
  return ask({
    title: `Boot a system from ${hosts}?`,
    content: [
      h(
        'p',
        {},
        'This link boots an operating system from another site. It runs sealed off in this tab, without network, but ' +
          'only agree if you trust where the link came from.',
      ),
      h('ul', { class: 'urls' }, ...urls.map((url) => h('li', {}, h('code', {}, url)))),
    ],
    no: 'Do not boot',
    yes: 'Boot it',
    yesIcon: 'start',
  });
}

/** Asks before a guest that runs is ended. */
export function confirmEnd(name: string): Promise<boolean> {
  return ask({
    title: `End ${name}?`,
    content: [h('p', {}, 'It runs, and what it holds in its memory is lost.')],
    no: 'Let it run',
    yes: 'End it',
    danger: true,
  });
}
