/**
 * Row 4: a round that is killed (SIGKILL) again and again, at any of its nodes, and done again by the same command, ends as one that was
 * left alone: the same answers, labels, pairs, model and comparison; a node that was finished is not done a second time.
 */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { Random } from "../../src/base/random.ts";
import { isRound, readRound, roundNodes, roundPaths } from "../../src/workbench/rounds/round-record.ts";
import { versionPaths } from "../../src/workbench/versions.ts";
import { amount, campaignSeed, figure, progress } from "../support/campaign.ts";
import { type Running, start } from "../support/command.ts";
import { startJudge } from "../support/judge-server.ts";
import { ruleAnswer } from "../support/rule-judge.ts";
import { assertSameRun, filesOf } from "../support/runs.ts";
import { roundFixture } from "../support/tiny-round.ts";

const fixture = roundFixture();
after(() => fixture[Symbol.dispose]());
const concurrency = 2;

/** A round with a workbench of its own. */
interface Place {
  dir: string;
  file: string;
  workbench: string;
}

/** Writes the file of a round; each has the same name, which is in what it makes. */
function placeOf(name: string, judge: string): Place {
  const [dir, file] = [fixture.path(name, "round"), fixture.path(`${name}.yaml`)];
  const workbench = fixture.path(name, "workbench");
  const judged = { judge, judge_mode: "pairs", pairs: "best_worst", concurrency };
  writeFileSync(file, fixture.roundText({ ...judged, output_dir: dir, workbench }));
  return { dir, file, workbench };
}

/** What a round came to, but for times and what names its directory. */
function outcomeOf({ dir, workbench }: Place): unknown {
  const { nodes, problem, waiting } = readRound(dir);
  const paths = roundPaths(dir);
  const { version, ...pairs } = nodes.pairs?.facts ?? {};
  const { facts: trained, ...training } = nodes.training ?? {};
  const read = (path: string) => readFileSync(path, "utf8");
  return {
    ...{ problem, waiting, pairs, steps: trained?.["steps"] },
    made: roundNodes.map((name) =>
      Object.entries(nodes[name]?.made ?? {}).filter(([path]) => !/results/.test(path)),
    ),
    texts: [training, ...roundNodes.map((name) => nodes[name])].map(
      (node) => node && "text" in node && node.text,
    ),
    comparison: nodes.comparison?.facts,
    files: [paths.answers, paths.scores, versionPaths(workbench, String(version)).rows].map(read),
  };
}

/** Resolves when the command has printed `count` lines: one for each node that is finished. */
function linesOf({ child }: Running, count: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  let lines = 0;
  const look = (chunk: string) => {
    lines += chunk.split("\n").length - 1;
    if (lines >= count) resolve();
  };
  child.stdout?.on("data", (chunk: Buffer) => look(chunk.toString()));
  look("");
  return promise;
}

/** Works on the round until a moment drawn at random, or its end where `whole` is infinite; the status, or null where it was killed. */
async function live({ file, dir }: Place, random: Random, whole: number): Promise<number | null> {
  const running = start(["round", file]);
  if (Number.isFinite(whole)) {
    const known = isRound(dir) ? Object.keys(readRound(dir).nodes).length : 0;
    const atNode = linesOf(running, known + random.below(roundNodes.length - known + 1));
    const moment = random.next() < 0.5 ? wait(whole * random.next()) : atNode;
    await Promise.race([running.ended, moment.then(() => wait(random.next() * 40))]);
    running.child.kill("SIGKILL");
  }
  const { status, signal, stderr } = await running.ended;
  if (signal === "SIGKILL") return null;
  assert.equal(status, 0, stderr);
  return status;
}

/** How rounds are killed. */
interface Storm {
  random: Random;
  /** Ms that a round takes which is left alone. */
  whole: number;
  kills: number;
}

/** How often a round was killed, by the node that it was at; and judgments that a kill lost on their way. */
interface Tally {
  killed: Map<string, number>;
  kills: number;
  lost: number;
  finished: number;
}

/** Works on the round until it is finished, killing it until there are `kills` in all. */
async function liveOn(place: Place, { random, whole, kills }: Storm, tally: Tally): Promise<void> {
  const kept = new Map<string, string>();
  for (let status: number | null = null; status === null; ) {
    status = await live(place, random, tally.kills < kills ? whole : Number.POSITIVE_INFINITY);
    const nodes = isRound(place.dir) ? readRound(place.dir).nodes : {};
    for (const [name, { finished: at }] of Object.entries(nodes)) {
      assert.equal(kept.get(name) ?? at, at, `${name} was done again`);
      kept.set(name, at);
    }
    if (status !== null) return;
    tally.kills += 1;
    const at = roundNodes.find((name) => !kept.has(name)) ?? "end";
    tally.killed.set(at, (tally.killed.get(at) ?? 0) + 1);
  }
}

test("a round, killed at its nodes and continued: ends as one left alone, and nothing finished is done again", async () => {
  const kills = amount(4, 60);
  const seed = 10 * campaignSeed + 9;
  await using judge = await startJudge(ruleAnswer);
  const endpoint = `${judge.baseUrl}#rule`;
  const alone = placeOf("alone", endpoint);
  const began = performance.now();
  const first = await start(["round", alone.file]).ended;
  assert.equal(first.status, 0, first.stderr);
  const storm = { random: new Random(seed), whole: performance.now() - began, kills };
  const expected = outcomeOf(alone);
  const questions = judge.calls.length;
  const tell = progress();
  const tally: Tally = { killed: new Map(), kills: 0, lost: 0, finished: 0 };
  while (tally.kills < kills) {
    const name = `life-${tally.finished}`;
    const place = placeOf(name, endpoint);
    const [asked, killed] = [judge.calls.length, tally.kills];
    await liveOn(place, storm, tally);
    assert.deepEqual(outcomeOf(place), expected);
    assertSameRun(join(place.dir, "run"), join(alone.dir, "run"), 2);
    // of the judge, what was on its way when a kill came
    const again = judge.calls.length - asked - questions;
    const most = concurrency * (tally.kills - killed);
    assert.ok(again >= 0 && again <= most, `${again} judgments were asked for again`);
    tally.lost += again;
    const left = Object.keys(filesOf(fixture.path(name))).filter((path) => /(^|\/)\.|\.lock$/.test(path));
    assert.deepEqual(left, [], "left over");
    tally.finished += 1;
    tell(() => `${tally.kills} of ${kills} kills, ${tally.finished} rounds finished`);
  }
  const places = [...tally.killed].map(([name, count]) => `${count} at ${name}`).join(", ");
  figure(
    4,
    `SIGKILL of a round at its nodes, seed ${seed}`,
    `${kills} kills (${places}), ${tally.finished} of ${tally.finished} rounds with the bytes of the one left alone, no finished node done again, ${tally.lost} judgments lost on their way`,
    "all rounds the same bytes, no finished node done again",
    tally.finished > 0,
  );
});
