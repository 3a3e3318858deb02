/** Questions that need an answer before anything else happens. */
import { button, h } from './dom.ts';

/** Asks whether to boot what lies at other sites. Escape is no. */
export function confirmForeign(urls: readonly string[]): Promise<boolean> {
  return new Promise((resolve) => {
    const hosts = [...new Set(urls.map((url) => new URL(url).host))].join(' and ');
    const answer = (yes: boolean) => dialog.close(yes ? 'yes' : 'no');
    const no = button('Do not boot', undefined, () => answer(false));
    const yes = button('Boot it', 'start', () => answer(true));
    yes.classList.add('primary');
    const dialog = h(
      'dialog',
      { class: 'dialog', 'aria-labelledby': 'foreign-title' },
      h('h2', { id: 'foreign-title' }, `Boot a system from ${hosts}?`),
      h(
        'p',
        {},
        'This link boots an operating system from another site. It runs sealed off in this tab, without network, but ' +
          'only agree if you trust where the link came from.',
      ),
      h('ul', { class: 'urls' }, ...urls.map((url) => h('li', {}, h('code', {}, url)))),
      h('div', { class: 'actions' }, no, yes),
    );
    dialog.addEventListener('close', () => {
      dialog.remove();
      resolve(dialog.returnValue === 'yes');
    });
    document.body.append(dialog);
    dialog.showModal();
    no.focus();
  });
}
