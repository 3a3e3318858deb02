/** Finds a Chromium for the end-to-end tests and benchmarks: Playwright's own, else one that the system has. */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chromium } from 'playwright';

const SYSTEM_NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable', 'chrome'];
const SYSTEM_PATHS = [
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
  '/Applications/Chromium.app/Contents/MacOS/Chromium',
  'C:\\Program Files\\Google\\Chrome\\Application\\chrome.exe',
];

export const HOW_TO_GET_A_BROWSER = `no Chromium was found. Install one with
    npx playwright install --with-deps chromium
or, on Debian and its kin, with
    apt-get install chromium
or name one in the environment: TABVISOR_BROWSER=/path/to/chromium`;

function onPath(name) {
  try {
    const which = process.platform === 'win32' ? 'where' : 'which';
    return execFileSync(which, [name], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
      .split('\n')[0]
      .trim();
  } catch {
    return undefined;
  }
}

/** The path of a Chromium executable, or undefined if there is none. */
export function findBrowser() {
  const candidates = [
    process.env.TABVISOR_BROWSER,
    chromium.executablePath(),
    ...SYSTEM_PATHS,
    ...SYSTEM_NAMES.map(onPath),
  ];
  return candidates.find((file) => file && existsSync(file));
}

/** Quiet, hermetic, and able to start as root (where Chromium's own sandbox refuses to). */
export const BROWSER_ARGUMENTS = [
  ...(process.getuid?.() === 0 ? ['--no-sandbox'] : []),
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--no-first-run',
  '--disable-quic',
  '--disable-gpu',
];
