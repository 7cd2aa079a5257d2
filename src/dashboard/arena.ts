/** Battles under way: two contestants drawn at random stream side by side, and who they are is said after the vote. */
import { randomInt, randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { at } from "../base/at.ts";
import { PreftuneError } from "../base/errors.ts";
import type { Message } from "../text/messages.ts";
import { answerOf, type Speaker } from "./contestant-answer.ts";
import type { Contestant } from "./contestants.ts";
import type { ServedContestants } from "./served-contestants.ts";

/** A battle. Sides: left, right. */
export interface Battle {
  id: string;
  person: string;
  prompt: Message[];
  contestants: readonly [Contestant, Contestant];
  answers: [string, string];
  isDone: boolean;
}

/** A piece of what is streamed: nothing in it says who speaks. */
export type BattlePiece =
  | { battle: string }
  /** Models are being loaded, since so many seconds. */
  | { loading: number }
  | { left: string }
  | { right: string }
  | { done: true }
  | { problem: string };

/** Most battles that wait for their vote; the oldest goes when there are more. */
const most = 200;

/** The battles of one dashboard, by their ids. */
export class Arena {
  readonly #battles: Map<string, Battle> = new Map();

  /** Draws two of the contestants, and their sides. */
  begin(person: string, prompt: Message[], contestants: readonly Contestant[]): Battle {
    const first = randomInt(contestants.length);
    const second = (first + 1 + randomInt(contestants.length - 1)) % contestants.length;
    const battle: Battle = {
      ...{ id: randomUUID(), person, prompt, isDone: false },
      contestants: [at(contestants, first), at(contestants, second)],
      answers: ["", ""],
    };
    const [oldest] = this.#battles.keys();
    if (this.#battles.size >= most && oldest !== undefined) this.#battles.delete(oldest);
    this.#battles.set(battle.id, battle);
    return battle;
  }

  /** The battle of this id that `person` saw to its end; null: there is none. */
  finished(id: string, person: string): Battle | null {
    const battle = this.#battles.get(id);
    return battle?.person === person && battle.isDone ? battle : null;
  }

  /** Forgets a battle, whose vote is kept. */
  end(id: string): void {
    this.#battles.delete(id);
  }
}

/**
 * Lets both contestants answer, at one pace: no side is further than the other has come until one has ended, so that speed tells nothing.
 * Both are ready before either is asked.
 *
 * @param onFault - gets why a contestant did not answer, which the person does not
 */
export async function* stream(
  battle: Battle,
  {
    served,
    signal,
    onFault,
  }: { served: ServedContestants; signal: AbortSignal; onFault: (error: unknown) => void },
): AsyncGenerator<BattlePiece> {
  yield { battle: battle.id };
  using wanted = served.want(battle.contestants);
  try {
    yield* untilReady(wanted.ready, signal);
  } catch (error) {
    if (!(error instanceof PreftuneError)) throw error;
    yield { problem: error.message };
    return;
  }
  if (!signal.aborted) yield* answers(battle, await wanted.ready, signal, onFault);
}

/** Time between two words that a model is still being loaded, ms. */
const sayMs = 2000;

/** Says how long it has been, until `ready`. */
async function* untilReady(ready: Promise<unknown>, signal: AbortSignal): AsyncGenerator<BattlePiece> {
  const began = performance.now();
  const isReady = ready.then(() => true);
  isReady.catch(() => {});
  for (let ms = 0; !signal.aborted; ms = sayMs) {
    const waited = new AbortController();
    const pause = sleep(ms, false, { signal: waited.signal }).catch(() => false);
    if (await Promise.race([isReady, pause]).finally(() => waited.abort())) return;
    yield { loading: Math.round((performance.now() - began) / 1000) };
  }
}

async function* answers(
  battle: Battle,
  speakers: readonly Speaker[],
  signal: AbortSignal,
  onFault: (error: unknown) => void,
): AsyncGenerator<BattlePiece> {
  const ended = [false, false];
  const sent = [0, 0];
  const wake = { up: () => {} };
  const failures: unknown[] = [];
  for (const side of [0, 1] as const) {
    const read = async (): Promise<void> => {
      for await (const text of answerOf(at(speakers, side), battle.prompt, signal)) {
        battle.answers[side] += text;
        wake.up();
      }
    };
    void read()
      .catch((error: unknown) => failures.push(error))
      .finally(() => {
        ended[side] = true;
        wake.up();
      });
  }
  for (;;) {
    const pieces = released(battle, ended, sent);
    yield* pieces;
    if (ended.every(Boolean) || failures.length > 0) break;
    if (pieces.length === 0) await new Promise<void>((resume) => (wake.up = resume));
  }
  if (signal.aborted) return;
  for (const failure of failures) onFault(failure);
  if (failures.length > 0 || battle.answers.some((answer) => answer.trim() === "")) {
    yield {
      problem:
        "One of the contestants gave no answer. The dashboard's terminal says which and why; ask again.",
    };
    return;
  }
  yield* released(battle, ended, sent);
  battle.isDone = true;
  yield { done: true };
}

/** What may be sent now. `sent`: characters of each side, brought up to date. */
function released({ answers }: Battle, ended: readonly boolean[], sent: number[]): BattlePiece[] {
  const [left, right] = answers.map((answer) => answer.length) as [number, number];
  const limits = [
    ended[1] === true ? left : Math.min(left, right),
    ended[0] === true ? right : Math.min(left, right),
  ];
  return [0, 1].flatMap((side): BattlePiece[] => {
    const text = at(answers, side).slice(sent[side], limits[side]);
    if (text === "") return [];
    sent[side] = at(limits, side);
    return [side === 0 ? { left: text } : { right: text }];
  });
}
