/** The page's address says what runs in it: a reload, or a colleague, gets the same. */
import type { ProcessorMode } from '../vmm/index.ts';

/** What was booted by a click stands in the address afterwards. */
export function rememberGuest(catalogueId: string): void {
  const url = new URL(location.href);
  url.searchParams.append('guest', catalogueId);
  history.replaceState(null, '', url);
}

/** Takes what is no longer there out of the page's address; `ids`: what is. */
export function forgetGuests(ids: readonly string[]): void {
  const url = new URL(location.href);
  const kept = new Map<string, number>();
  for (const id of ids) {
    const base = id.replace(/-\d+$/, '');
    for (const name of new Set([id, base])) kept.set(name, (kept.get(name) ?? 0) + 1);
  }
  const guests = url.searchParams.getAll('guest');
  url.searchParams.delete('guest');
  for (const guest of guests) {
    const left = kept.get(guest) ?? 0;
    if (left > 0) url.searchParams.append('guest', guest);
    kept.set(guest, left - 1);
  }
  history.replaceState(null, '', url);
}

/** The kind of hypervisor that was chosen, and how many processors it has. */
export function rememberProcessors({ mode, count }: { readonly mode: ProcessorMode; readonly count: number }): void {
  const url = new URL(location.href);
  url.searchParams.delete('mode');
  url.searchParams.delete('processors');
  if (mode === 'bare-metal') {
    url.searchParams.set('mode', mode);
    url.searchParams.set('processors', String(count));
  }
  history.replaceState(null, '', url);
}
