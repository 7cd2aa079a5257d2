/**
 * A run that a judge scores, killed (SIGKILL) again and again while the judge answers, and resumed: no judgment that was kept is asked
 * for a second time, and the end is that of a run left alone.
 *
 * The judge answers some requests of each life of the run and holds the others back. Half the kills come when the answers are in the
 * run's file, so that nothing may be paid twice; the others right behind the last answer, which may not have been read yet.
 */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as wait } from "node:timers/promises";
import { Random } from "../../src/base/random.ts";
import { type ChatAnswer, type ChatCall, startJudge } from "./judge-server.ts";
import { onlineFixture } from "./online-run.ts";
import { assertSameRun, childEnd, trainInChild, type Values } from "./runs.ts";

const lastStep = 12;

/** What the kills came to. */
export interface JudgeKills {
  kills: number;
  /** Judgments that were paid for in all runs, and how many of them a kill lost on their way. */
  paid: number;
  lost: number;
  finishedRuns: number;
}

/** A mark by what is asked. */
const markOf = ({ text }: ChatCall): string => `Rating: [[${1 + (text.length % 10)}]]`;

/** What the judge of a life of the run does: answers so many requests, and holds those after them back. */
class Life {
  readonly answered: string[] = [];
  readonly #most: number;
  readonly #held = Promise.withResolvers<void>();

  constructor(most: number) {
    this.#most = most;
  }

  /** Resolves when a request is held back. */
  get held(): Promise<void> {
    return this.#held.promise;
  }

  answer(call: ChatCall): ChatAnswer {
    if (this.answered.length >= this.#most) {
      this.#held.resolve();
      return "no answer";
    }
    this.answered.push(call.text);
    return markOf(call);
  }
}

/** The texts of the requests whose answers are kept in the run's directory. */
function keptIn(dir: string): Set<string> {
  const path = join(dir, "judgments.sqlite");
  if (!existsSync(path)) return new Set();
  const database = new DatabaseSync(path, { timeout: 10_000 });
  try {
    const isMade =
      database.prepare("SELECT 1 FROM sqlite_master WHERE name = 'judgments'").get() !== undefined;
    const rows = isMade ? database.prepare("SELECT messages FROM judgments").all() : [];
    return new Set(
      rows.map(({ messages }) => {
        const all = JSON.parse(String(messages)) as { content: string }[];
        return all.map(({ content }) => content).join("\n");
      }),
    );
  } finally {
    database.close();
  }
}

/** A run with several lives. */
class KilledRun {
  /** Judgments that were paid for, and how many of them a kill lost on their way. */
  paid = 0;
  lost = 0;
  readonly #dir: string;
  readonly #values: Values;

  constructor(values: Values) {
    this.#values = values;
    this.#dir = String(values["output_dir"]);
  }

  /** Trains until the judge holds a request back, and kills it then; false when it got to its end before. */
  async live(life: Life, random: Random): Promise<boolean> {
    const kept = keptIn(this.#dir);
    const goesOn = existsSync(this.#dir) ? { resume_from_checkpoint: "latest" } : {};
    const child = trainInChild({ ...this.#values, ...goesOn });
    const end = childEnd(child);
    const ended = await Promise.race([end, life.held.then(() => null)]);
    if (ended === null) {
      const waits = random.next() < 0.5;
      while (waits && this.#lostOf(life) > 0) await wait(10);
      if (!waits) await wait(random.next() * 5);
      child.kill("SIGKILL");
      await end;
      // what it had sent by then comes to this life, not the next
      await wait(50);
      const lost = this.#lostOf(life);
      if (waits) assert.equal(lost, 0);
      this.lost += lost;
    } else assert.equal(ended.code, 0, ended.stderr);
    this.paid += life.answered.length;
    for (const text of life.answered) assert.ok(!kept.has(text), `asked again: ${text}`);
    return ended === null;
  }

  #lostOf({ answered }: Life): number {
    const kept = keptIn(this.#dir);
    return answered.filter((text) => !kept.has(text)).length;
  }
}

/** Kills runs `kills` times in all; `seed` decides when. */
export async function killWhileJudging(kills: number, seed: number): Promise<JudgeKills> {
  using fixture = onlineFixture();
  const random = new Random(seed);
  let life = new Life(Number.POSITIVE_INFINITY);
  await using server = await startJudge((call) => life.answer(call));
  const { reward_workers: _, ...online } = fixture.online;
  const judged = { reward_funcs: null, judge: `${server.baseUrl}#m`, max_steps: lastStep };
  const values: Values = { ...online, ...judged, steps_per_generation: 2, learning_rate: 5e-3 };
  const whole = fixture.path("whole");
  await new KilledRun({ ...values, output_dir: whole }).live(life, random);
  const questions = life.answered.length;
  assert.equal(keptIn(whole).size, questions);

  const result: JudgeKills = { kills: 0, paid: 0, lost: 0, finishedRuns: 0 };
  while (result.kills < kills) {
    const dir = fixture.path(`run-${result.finishedRuns}`);
    const run = new KilledRun({ ...values, output_dir: dir });
    for (let isKilled = true; isKilled; result.kills += Number(isKilled)) {
      life = new Life(result.kills >= kills ? Number.POSITIVE_INFINITY : random.below(8));
      isKilled = await run.live(life, random);
    }
    assertSameRun(dir, whole, lastStep);
    // each question once, and once more where the answer was lost on its way
    assert.equal(run.paid, questions + run.lost);
    assert.equal(keptIn(dir).size, questions);
    result.finishedRuns += 1;
    result.paid += run.paid;
    result.lost += run.lost;
  }
  return result;
}
