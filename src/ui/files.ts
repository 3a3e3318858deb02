/** Files of this computer: from the page, and to it. */
import { h } from './dom.ts';

/** Has the browser save a text as a file. */
export function saveAsFile(name: string, content: string): void {
  const type = name.endsWith('.csv') ? 'text/csv' : 'application/json';
  const url = URL.createObjectURL(new Blob([content], { type }));
  const link = h('a', { href: url, download: name });
  link.click();
  URL.revokeObjectURL(url);
}

/** Asks for files with these endings; resolves to what was chosen, nothing when it was called off. */
export function chooseFiles(accept: string): Promise<readonly File[]> {
  const input = h('input', { type: 'file', accept, multiple: true });
  return new Promise((resolve) => {
    input.addEventListener('change', () => resolve([...(input.files ?? [])]));
    input.addEventListener('cancel', () => resolve([]));
    input.click();
  });
}

/** Takes files that are dropped on an element, which has the class `drop` while some are held over it. */
export function takeDrops(element: HTMLElement, take: (files: readonly File[]) => void): void {
  const hasFiles = (event: DragEvent) => event.dataTransfer?.types.includes('Files') === true;
  element.addEventListener('dragover', (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    element.classList.add('drop');
  });
  element.addEventListener('dragleave', (event) => {
    if (event.relatedTarget instanceof Node && element.contains(event.relatedTarget)) return;
    element.classList.remove('drop');
  });
  element.addEventListener('drop', (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    element.classList.remove('drop');
    take([...(event.dataTransfer?.files ?? [])]);
  });
}
