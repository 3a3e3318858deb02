/** The front page: what can be booted, with one click each, and a form for a kernel of one's own. */
import {
  messageOf,
  parseMemoryMiB,
  sizeText,
  type CatalogueEntry,
  type Coordinator,
  type GuestSource,
} from '../vmm/index.ts';
import { button, h } from './dom.ts';

export interface CatalogueActions {
  readonly bootEntry: (catalogueId: string) => void;
  /** Several, in bare-metal mode. */
  readonly bootBareMetal: (catalogueIds: readonly string[]) => void;
  readonly bootOwn: (source: GuestSource) => void;
}

/** `guests` stands before the catalogue where there are some, else behind it. */
export function catalogueView(vmm: Coordinator, actions: CatalogueActions, guests: HTMLElement): HTMLElement {
  const list = h('div', { class: 'cards', 'aria-busy': 'true' }, h('p', { class: 'hint' }, 'Looking what there is …'));
  const bootAll = h('div', { class: 'actions' });
  const element = h(
    'div',
    { class: 'catalogue' },
    h(
      'div',
      { class: 'intro' },
      h('h1', {}, 'Boot a computer in this tab'),
      h(
        'p',
        {},
        'Each guest is an unmodified operating system on a whole PC of its own: processor, memory, timers, serial port. ' +
          'Guests run side by side and cannot reach each other, this computer, or the network.',
      ),
    ),
    list,
    bootAll,
    guests,
    ownKernelForm(actions.bootOwn),
  );
  void fill(vmm, list, bootAll, actions);
  return element;
}

async function fill(
  vmm: Coordinator,
  list: HTMLElement,
  bootAll: HTMLElement,
  actions: CatalogueActions,
): Promise<void> {
  try {
    const entries = (await vmm.catalogue()).filter((entry) => !entry.hidden);
    list.replaceChildren(...entries.map((entry) => card(entry, () => actions.bootEntry(entry.catalogueId))));
    if (entries.length === 0) {
      list.replaceChildren(
        empty('The catalogue is empty', 'Run "npm run guests" to build the guest images, and reload.'),
      );
    }
    if (entries.length > 1) {
      bootAll.replaceChildren(
        button('Boot all side by side', 'tiles', () => {
          for (const entry of entries) actions.bootEntry(entry.catalogueId);
        }),
        button(
          'Boot all on bare metal',
          'host',
          () => actions.bootBareMetal(entries.map(({ catalogueId }) => catalogueId)),
          'Tabvisor’s own scheduler shares the processors among them',
        ),
      );
    }
  } catch (error) {
    list.replaceChildren(empty('No guests to offer', messageOf(error)));
  } finally {
    list.removeAttribute('aria-busy');
  }
}

function empty(title: string, text: string): HTMLElement {
  return h(
    'div',
    { class: 'notice', 'data-tone': 'neutral', role: 'status' },
    h('strong', {}, title),
    h('span', { class: 'notice-text' }, text),
  );
}

function card(entry: CatalogueEntry, boot: () => void): HTMLElement {
  const download = (entry.kernelBytes ?? 0) + (entry.initrdBytes ?? 0);
  const start = button('Boot', 'start', boot);
  start.classList.add('primary');
  start.setAttribute('aria-label', `Boot ${entry.name}`);
  return h(
    'article',
    { class: 'card', 'data-catalogue': entry.catalogueId },
    h('header', {}, h('h2', {}, entry.name), h('span', { class: 'badge' }, entry.arch)),
    h('p', {}, entry.description),
    h('p', { class: 'hint' }, `${entry.memoryMiB} MiB of RAM · ${sizeText(download)} to load`),
    h(
      'details',
      {},
      h('summary', {}, 'What is in it'),
      h('ul', { class: 'packages' }, ...entry.packages.map((name) => h('li', {}, h('code', {}, name)))),
      h('p', { class: 'hint' }, 'Command line: ', h('code', {}, entry.commandLine)),
    ),
    start,
  );
}

interface Field {
  readonly label: string;
  readonly element: HTMLElement;
  readonly url: () => string;
}

/** An address, or a file of this computer. */
function imageField(name: string, label: string, placeholder: string, required: boolean): Field {
  const address = h('input', {
    type: 'text',
    id: `own-${name}`,
    name,
    placeholder,
    spellcheck: 'false',
    autocomplete: 'off',
  });
  const file = h('input', { type: 'file', id: `own-${name}-file`, 'aria-label': `${label} from this computer` });
  let blobUrl: string | undefined;
  file.addEventListener('change', () => {
    if (blobUrl !== undefined) URL.revokeObjectURL(blobUrl);
    const chosen = file.files?.[0];
    blobUrl = chosen === undefined ? undefined : URL.createObjectURL(chosen);
    address.value = '';
    address.placeholder = chosen?.name ?? placeholder;
    address.required = required && chosen === undefined;
  });
  address.required = required;
  return {
    label,
    element: h(
      'div',
      { class: 'field' },
      h('label', { for: `own-${name}` }, label),
      h(
        'div',
        { class: 'row' },
        address,
        h('label', { class: 'button file', for: `own-${name}-file` }, 'File …', file),
      ),
    ),
    url: () => address.value.trim() || (blobUrl ?? ''),
  };
}

function ownKernelForm(boot: (source: GuestSource) => void): HTMLElement {
  const kernel = imageField('kernel', 'Kernel', 'bzImage, multiboot or ELF: an address', true);
  const initrd = imageField('initrd', 'Initial RAM disk', 'none', false);
  const append = h('input', { type: 'text', id: 'own-append', value: 'console=ttyS0', spellcheck: 'false' });
  const mem = h('input', { type: 'text', id: 'own-mem', value: '256M' });
  const submit = h('button', { type: 'submit', class: 'button primary' }, 'Boot');
  const form = h(
    'form',
    {},
    kernel.element,
    initrd.element,
    h('div', { class: 'field' }, h('label', { for: 'own-append' }, 'Command line'), append),
    h('div', { class: 'field' }, h('label', { for: 'own-mem' }, 'Memory'), mem),
    submit,
  );
  mem.addEventListener('input', () => mem.setCustomValidity(''));
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    const memoryMiB = parseMemoryMiB(mem.value);
    if (memoryMiB === undefined) {
      mem.setCustomValidity('A size such as 512M or 1G, at least 16M');
      mem.reportValidity();
      return;
    }
    const url = kernel.url();
    const initrdUrl = initrd.url();
    const name = url.startsWith('blob:') ? 'Own kernel' : (url.split('/').at(-1) ?? 'Own kernel');
    boot({
      name,
      kernelUrl: url,
      ...(initrdUrl === '' ? {} : { initrdUrl }),
      commandLine: append.value,
      memoryMiB,
    });
  });
  return h('details', { class: 'own' }, h('summary', {}, 'Boot a kernel of your own'), form);
}

/** In place of the catalogue where no guest can run. */
export function obstacleView(obstacle: string): HTMLElement {
  return h(
    'div',
    { class: 'catalogue' },
    h('div', { class: 'intro' }, h('h1', {}, 'No guest can run in this page yet')),
    h('div', { class: 'notice', 'data-tone': 'error', role: 'alert' }, h('span', { class: 'notice-text' }, obstacle)),
  );
}
