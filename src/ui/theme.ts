/** Dark and light: the system's choice, or the user's. */
import { button, icon } from './dom.ts';

const themeKey = 'tabvisor.theme';

function stored(): string | null {
  try {
    return localStorage.getItem(themeKey);
  } catch {
    return null;
  }
}

/** Applies the stored choice; the button changes it. `changed` also runs when the system changes its mind. */
export function themeButton(changed: () => void): HTMLButtonElement {
  const root = document.documentElement;
  const system = matchMedia('(prefers-color-scheme: dark)');
  const choice = stored();
  if (choice === 'dark' || choice === 'light') root.dataset['theme'] = choice;
  const dark = () => (root.dataset['theme'] ?? (system.matches ? 'dark' : 'light')) === 'dark';
  const toggle = button('', 'theme', () => {
    const next = dark() ? 'light' : 'dark';
    root.dataset['theme'] = next;
    try {
      localStorage.setItem(themeKey, next);
    } catch {
      // Without storage the choice holds for this visit.
    }
    changed();
  });
  toggle.replaceChildren(icon('theme'));
  toggle.classList.add('quiet');
  toggle.title = 'Dark or light';
  toggle.setAttribute('aria-label', 'Switch between dark and light');
  system.addEventListener('change', changed);
  return toggle;
}
