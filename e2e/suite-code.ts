/** The layers under test as a script for a page, whose `window.suite` it becomes. */
import { build, type Rolldown } from 'vite';
import type * as Suite from '../src/storage/testing/browser-suite.ts';

declare global {
  interface Window {
    suite: typeof Suite;
  }
}

export async function suiteCode(): Promise<string> {
  const [output] = (await build({
    configFile: false,
    logLevel: 'error',
    build: {
      write: false,
      minify: false,
      lib: { entry: 'src/storage/testing/browser-suite.ts', formats: ['iife'], name: 'suite' },
    },
  })) as Rolldown.RolldownOutput[];
  return `${output?.output[0].code ?? ''}\nwindow.suite = suite;`;
}
