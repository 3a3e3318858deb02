/**
 * The life of a guest as a state machine: which requests a state answers how, and where outcomes lead. Pure data and two
 * look-ups; `guest.ts` acts on the answers.
 *
 *                       start              started
 *     defined ─────────────────► starting ─────────► running ⇄ pausing, resuming ⇄ paused
 *     stopped, crashed, failed ──┘  │ failed            │ kill, power-off, crash     │
 *                                   ▼                   ▼                            ▼
 *                                 failed            (stopping) ──► stopped, crashed ◄┘
 *
 * `pausing`, `resuming` and `stopping` last for milliseconds: the page shows what the guest was before. A request that
 * wants what is so already, or is under way, succeeds with it; one that comes while something else is under way waits
 * where it makes sense afterwards; all others are refused with a sentence. So requests may come in any order, and two at
 * once.
 *
 * `saved` is for guests whose state is on disk; nothing leads there before there are snapshots.
 */

export type LifecycleState =
  /** Never started in this page. */
  | 'defined'
  | 'starting'
  | 'running'
  | 'pausing'
  | 'paused'
  | 'resuming'
  /** It was killed, and its executor has not left yet. */
  | 'stopping'
  | 'stopped'
  | 'crashed'
  /** It could not be started. */
  | 'failed'
  | 'saved'
  /** Off the page, for good. */
  | 'removed';

export type LifecycleRequest =
  'start' | 'pause' | 'resume' | 'reset' | 'powerOff' | 'clone' | 'compact' | 'kill' | 'remove';

/** What came of something that was under way, or what the guest did by itself. */
export type LifecycleOutcome =
  | 'started'
  | 'failed'
  | 'paused'
  | 'resumed'
  /** The executor did not do as it was asked. */
  | 'unanswered'
  | 'stopped'
  | 'crashed'
  | 'saved';

export type Answer =
  /** Do it: the state is `to` while it is under way. */
  | { readonly kind: 'go'; readonly to: LifecycleState }
  /** Do it: the state stays. */
  | { readonly kind: 'act' }
  /** Nothing is to be done. */
  | { readonly kind: 'already' }
  /** The same is under way: its outcome is the answer. */
  | { readonly kind: 'join' }
  /** Something else is under way: ask again when it has come to an end. */
  | { readonly kind: 'wait' }
  /** Kill the guest, and ask again. */
  | { readonly kind: 'killFirst' }
  /** `advice`: what to do instead, where there is something. */
  | { readonly kind: 'refuse'; readonly advice?: string };

type Answers = Readonly<Record<LifecycleRequest, Answer>>;

const act: Answer = { kind: 'act' };
const already: Answer = { kind: 'already' };
const join: Answer = { kind: 'join' };
const wait: Answer = { kind: 'wait' };
const killFirst: Answer = { kind: 'killFirst' };
const go = (to: LifecycleState): Answer => ({ kind: 'go', to });
const refuse = (advice?: string): Answer => ({ kind: 'refuse', ...(advice === undefined ? {} : { advice }) });

const waitUntilItRuns = refuse('wait until it runs');
const resumeFirst = refuse('resume it first');
const nothing = refuse();

/** What a guest without a life answers. */
const atRest: Answers = {
  start: go('starting'),
  pause: nothing,
  resume: nothing,
  reset: nothing,
  powerOff: nothing,
  clone: nothing,
  compact: nothing,
  kill: already,
  remove: go('removed'),
};

export const answers: Readonly<Record<LifecycleState, Answers>> = {
  defined: atRest,
  starting: {
    start: join,
    pause: waitUntilItRuns,
    resume: waitUntilItRuns,
    reset: waitUntilItRuns,
    powerOff: waitUntilItRuns,
    clone: waitUntilItRuns,
    compact: waitUntilItRuns,
    kill: go('stopping'),
    remove: killFirst,
  },
  running: {
    start: already,
    pause: go('pausing'),
    resume: already,
    reset: act,
    powerOff: act,
    clone: act,
    compact: act,
    kill: go('stopping'),
    remove: killFirst,
  },
  pausing: {
    start: resumeFirst,
    pause: join,
    resume: wait,
    reset: resumeFirst,
    powerOff: resumeFirst,
    clone: wait,
    compact: wait,
    kill: go('stopping'),
    remove: killFirst,
  },
  paused: {
    start: refuse('resume it'),
    pause: already,
    resume: go('resuming'),
    reset: resumeFirst,
    powerOff: resumeFirst,
    clone: act,
    compact: act,
    kill: go('stopping'),
    remove: killFirst,
  },
  resuming: {
    start: join,
    pause: wait,
    resume: join,
    reset: wait,
    powerOff: wait,
    clone: wait,
    compact: wait,
    kill: go('stopping'),
    remove: killFirst,
  },
  stopping: {
    start: wait,
    pause: nothing,
    resume: nothing,
    reset: nothing,
    powerOff: nothing,
    clone: nothing,
    compact: nothing,
    kill: join,
    remove: wait,
  },
  stopped: atRest,
  crashed: atRest,
  failed: atRest,
  saved: atRest,
  removed: {
    start: nothing,
    pause: nothing,
    resume: nothing,
    reset: nothing,
    powerOff: nothing,
    clone: nothing,
    compact: nothing,
    kill: already,
    remove: already,
  },
};

const ends = { stopped: 'stopped', crashed: 'crashed' } as const;

export const outcomes: Readonly<Record<LifecycleState, Readonly<Partial<Record<LifecycleOutcome, LifecycleState>>>>> = {
  defined: {},
  starting: { started: 'running', failed: 'failed' },
  running: ends,
  pausing: { paused: 'paused', unanswered: 'running', ...ends },
  paused: { saved: 'saved', ...ends },
  resuming: { resumed: 'running', unanswered: 'paused', ...ends },
  stopping: ends,
  stopped: {},
  crashed: {},
  failed: {},
  saved: {},
  removed: {},
};

export function answerTo(state: LifecycleState, request: LifecycleRequest): Answer {
  return answers[state][request];
}

/** The state that an outcome leads to; undefined where it no longer matters. */
export function stateAfter(state: LifecycleState, outcome: LifecycleOutcome): LifecycleState | undefined {
  return outcomes[state][outcome];
}

/** It holds a memory, or is about to. */
export function isAlive(state: LifecycleState): boolean {
  return ['starting', 'running', 'pausing', 'paused', 'resuming', 'stopping'].includes(state);
}

const participles: Readonly<Record<LifecycleRequest, string>> = {
  start: 'started',
  pause: 'paused',
  resume: 'resumed',
  reset: 'reset',
  powerOff: 'powered off',
  clone: 'cloned',
  compact: 'compacted',
  kill: 'killed',
  remove: 'removed',
};

const words: Readonly<Partial<Record<LifecycleState, string>>> = { defined: 'not started', failed: 'not booted' };

/** Why a request was refused, and what to do: the rest of a sentence that begins with the guest's name. */
export function refusalText(state: LifecycleState, request: LifecycleRequest, advice: string | undefined): string {
  const is = words[state] ?? state;
  if (advice !== undefined) return `is ${is}: ${advice}.`;
  return `is ${is}: only a guest that runs can be ${participles[request]}.`;
}
