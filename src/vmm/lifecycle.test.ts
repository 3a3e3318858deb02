import { describe, expect, it } from 'vitest';
import {
  answers,
  answerTo,
  isAlive,
  outcomes,
  refusalText,
  stateAfter,
  type LifecycleOutcome,
  type LifecycleRequest,
  type LifecycleState,
} from './lifecycle.ts';

const states = Object.keys(answers) as LifecycleState[];
const requests: readonly LifecycleRequest[] = [
  'start',
  'pause',
  'resume',
  'reset',
  'powerOff',
  'clone',
  'compact',
  'kill',
  'remove',
];
const passing: readonly LifecycleState[] = ['starting', 'pausing', 'resuming', 'stopping'];

/** Each state's answers in the order of `requests`: `+` for what is done, `=` for what is so, `~` for what is under way. */
const expected: Readonly<Record<LifecycleState, string>> = {
  defined: '+starting - - - - - - = +removed',
  starting: '~ - - - - - - +stopping killFirst',
  running: '= +pausing = + + + + +stopping killFirst',
  pausing: '- ~ wait - - wait wait +stopping killFirst',
  paused: '- = +resuming - - + + +stopping killFirst',
  resuming: '~ wait ~ wait wait wait wait +stopping killFirst',
  stopping: 'wait - - - - - - ~ wait',
  stopped: '+starting - - - - - - = +removed',
  crashed: '+starting - - - - - - = +removed',
  failed: '+starting - - - - - - = +removed',
  saved: '+starting - - - - - - = +removed',
  removed: '- - - - - - - = =',
};

function text(state: LifecycleState, request: LifecycleRequest): string {
  const answer = answerTo(state, request);
  if (answer.kind === 'go') return `+${answer.to}`;
  return { act: '+', already: '=', join: '~', refuse: '-', wait: 'wait', killFirst: 'killFirst' }[answer.kind];
}

describe('lifecycle', () => {
  it.each(states)('answers every request when %s', (state) => {
    expect(requests.map((request) => text(state, request)).join(' ')).toBe(expected[state]);
  });

  it('leads from every outcome where it should, and ignores those that come too late', () => {
    const all: readonly LifecycleOutcome[] = [
      ...(['started', 'failed', 'paused', 'resumed', 'unanswered', 'stopped', 'crashed', 'saved'] as const),
    ];
    const rows = states.map((state) => [state, all.map((outcome) => stateAfter(state, outcome) ?? '-').join(' ')]);
    expect(Object.fromEntries(rows)).toEqual({
      defined: '- - - - - - - -',
      starting: 'running failed - - - - - -',
      running: '- - - - - stopped crashed -',
      pausing: '- - paused - running stopped crashed -',
      paused: '- - - - - stopped crashed saved',
      resuming: '- - - running paused stopped crashed -',
      stopping: '- - - - - stopped crashed -',
      stopped: '- - - - - - - -',
      crashed: '- - - - - - - -',
      failed: '- - - - - - - -',
      saved: '- - - - - - - -',
      removed: '- - - - - - - -',
    });
  });

  it('waits only for what comes to an end by itself, and every passage has an end', () => {
    for (const state of states) {
      const waits = requests.filter((request) => ['wait', 'join'].includes(answerTo(state, request).kind));
      if (waits.length > 0) expect(passing).toContain(state);
      if (passing.includes(state)) expect(Object.keys(outcomes[state]).length).toBeGreaterThan(0);
    }
  });

  it('lets every guest that lives be killed, and every other one be removed', () => {
    for (const state of states) {
      const { kind } = answerTo(state, isAlive(state) ? 'kill' : 'remove');
      expect(['go', 'join', 'already'], state).toContain(kind);
    }
  });

  it('says why it refuses, and what to do', () => {
    for (const state of states) {
      for (const request of requests) {
        const answer = answerTo(state, request);
        if (answer.kind !== 'refuse') continue;
        expect(refusalText(state, request, answer.advice)).toMatch(/^is [a-z ]+: .*[a-z]\.$/);
      }
    }
    expect(refusalText('paused', 'start', 'resume it')).toBe('is paused: resume it.');
    expect(refusalText('defined', 'pause', undefined)).toBe('is not started: only a guest that runs can be paused.');
  });
});
