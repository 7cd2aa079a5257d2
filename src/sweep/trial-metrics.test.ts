/** Damage as columns of sweeps and studies: by pair from the scored tokens, by run of its exported model. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { temporaryDirectory } from "../../test/support/tiny-models.ts";
import { at } from "../base/at.ts";
import { CompletionValues } from "../data/completion-values.ts";
import type { Example } from "../data/example.ts";
import { pairAccuracy } from "../train/displacement.ts";
import { damage, tokenChanges } from "../train/token-changes.ts";
import { intervalText } from "./interval-text.ts";
import type { MeasuredRun } from "./measured.ts";
import { writeOutcome } from "./outcome.ts";
import {
  estimate,
  estimateDifference,
  meanOfRun,
  TRIAL_METRICS,
  type TrialMetricName,
} from "./trial-metrics.ts";

const pair = (line: number, chosen: number[]) => ({ file: "rows", line, chosen, rejected: [-1] });
const run: Pick<MeasuredRun, "before" | "after" | "otherText"> = {
  before: [pair(1, [-1, -2]), pair(2, [-3])],
  after: [pair(1, [-0.5, -4]), pair(2, [-3])],
  otherText: -0.25,
};
const values = (name: "drift" | "tail" | "worst_token" | "other_text", of = run) =>
  Array.from(TRIAL_METRICS[name].perPair(of as MeasuredRun));

test("drift, tail, the worst token and other text, a value for each pair", () => {
  assert.deepEqual(values("drift"), [1.25, 0]);
  // between −2 and 0, 0.02 of the way
  for (const value of values("tail")) assert.ok(Math.abs(value - -1.96) < 1e-12, String(value));
  assert.deepEqual(values("worst_token"), [-2, 0]);
  assert.deepEqual(values("other_text"), [-0.25, -0.25]);
  assert.deepEqual(values("other_text", { ...run, otherText: Number.NaN }), [Number.NaN, Number.NaN]);
});

test("a tie is half right, as an evaluation counts it; a pair that cannot be read is not called above its start", () => {
  const scored = (chosen: number, rejected: number) => ({ ...pair(1, [chosen]), rejected: [rejected] });
  const before = [-1, -1, -1, -1].map((logp) => scored(logp, logp));
  const after = [scored(-2, -2), scored(-0.5, -3), scored(Number.NaN, -3), scored(-2, Number.NaN)];
  const of = { before, after, otherText: 0 } as unknown as MeasuredRun;
  const found = (name: TrialMetricName) => Array.from(TRIAL_METRICS[name].perPair(of));
  assert.deepEqual(found("accuracy"), [0.5, 1, 0, 0]);
  assert.deepEqual(found("chosen_down"), [1, 0, Number.NaN, 1]);
  assert.deepEqual(found("both_down"), [1, 0, Number.NaN, Number.NaN]);
  const values = after.flatMap(({ chosen, rejected }) => [...chosen, ...rejected]);
  const rows = after.map(() => ({ completions: [0, 1] })) as unknown as Example[];
  const accuracy = pairAccuracy(new CompletionValues(rows, values))["logps/accuracies"];
  assert.equal(meanOfRun(of, "accuracy"), accuracy);
});

test("drift is over tokens, as an evaluation has it: of a run, of a condition, and of a difference", () => {
  const after = [pair(1, [-0.5, -4]), pair(2, [-3.75])];
  const measured = [run, { ...run, after }].map((one, seed) => ({ ...one, trial: { seed } }) as MeasuredRun);
  const [first, second] = [at(measured, 0), at(measured, 1)];
  const evaluated = ({ before, after: now }: MeasuredRun) => {
    const rows = (pairs: MeasuredRun["after"]) => pairs.map(({ chosen }) => [Float32Array.from(chosen)]);
    const start = Float32Array.from(before.flatMap(({ chosen }) => chosen));
    return damage(tokenChanges(start, rows(now), []))["displacement/token_change_mean_abs"];
  };
  // two tokens changed by 0.5 and 2, and one by 0 or 0.75
  assert.deepEqual(measured.map(evaluated), [2.5 / 3, 3.25 / 3]);
  for (const one of measured) {
    assert.ok(Math.abs(meanOfRun(one, "drift") - Number(evaluated(one))) < 1e-6);
  }
  const both = { name: "both", runs: measured, failed: [] };
  assert.ok(Math.abs(estimate(both, "drift").value - 5.75 / 6) < 1e-12);
  const [one, other] = [first, second].map((own, i) => ({
    ...{ name: `${i}`, failed: [] },
    runs: [{ ...own, trial: { ...own.trial, seed: 1 } }],
  }));
  assert.ok(one !== undefined && other !== undefined);
  assert.ok(Math.abs(estimateDifference(other, one, "drift").value - 0.25) < 1e-12);
  // other metrics count pairs alike
  assert.equal(meanOfRun(first, "worst_token"), -1);
});

test("runs without a figure of other text are named with the reason, in the terminal and in the report", () => {
  using scratch = temporaryDirectory();
  const lacks = { otherTextLack: null, exported: null, exportedLack: null };
  const known = { ...run, evaluations: [], metrics: [], extra: null, ...lacks };
  const lacking = { ...known, otherText: Number.NaN, otherTextLack: "scale.json is gone" };
  const runs = [known, lacking].map((own, seed) => ({ ...own, trial: { id: `one-s${seed}`, seed } }));
  const written = (metrics: readonly TrialMetricName[]) =>
    writeOutcome({
      ...{ dir: scratch.path, outcomes: [], conditions: [], metrics, referenceOf: () => null, sections: [] },
      text: { title: "t", question: "q", note: "n", command: "c" },
      measured: new Map([["one", { name: "one", runs: runs as unknown as MeasuredRun[], failed: [] }]]),
    });
  const { summary, report } = written(["accuracy", "other_text"]);
  const said = /1 of 2 runs are not in the change of other text[\s\S]*one-s1: scale\.json is gone\./;
  assert.match(summary, said);
  assert.match(readFileSync(report, "utf8"), said);
  assert.doesNotMatch(written(["accuracy"]).summary, /other text/);
});

test("a figure of a run has no interval from one seed, and none of a difference; from two it has", () => {
  const ofSeeds = (name: string, gains: readonly number[]) => ({
    ...{ name, failed: [] },
    runs: gains.map((otherText, seed) => ({ ...run, otherText, trial: { seed } }) as MeasuredRun),
  });
  for (const metric of ["tail", "other_text"] as const) {
    const [one, other] = [ofSeeds("one", [-0.25]), ofSeeds("other", [-0.5])];
    for (const { value, low, high } of [estimate(one, metric), estimateDifference(other, one, metric)]) {
      assert.ok(Number.isFinite(value) && Number.isNaN(low) && Number.isNaN(high), metric);
    }
    assert.match(intervalText(estimate(one, metric), "nats"), / \[–,\u00a0–\]$/);
  }
  const { low, high } = estimate(ofSeeds("two", [-0.25, -0.5]), "other_text");
  assert.deepEqual([low, high], [-0.5, -0.25]);
  // a seed without a figure is none
  assert.ok(Number.isNaN(estimate(ofSeeds("half", [-0.25, Number.NaN]), "other_text").low));
  assert.ok(Number.isFinite(estimate(ofSeeds("one", [1]), "drift").low));
});

test("answers and completions are those of what was exported; a run without such is named", () => {
  using scratch = temporaryDirectory();
  const evaluation = (global_step: number, text: string, reward: number) => ({
    ...{ global_step, rejected_logps: null, pair_changes: [], prompts: { reward: [reward] } },
    samples: [{ prompt: "p", answers: [{ text, ended: false }] }],
  });
  const evaluations = [evaluation(10, "one two three", 2), evaluation(20, "so so so", 1)];
  const lacks = { otherTextLack: null, exportedLack: null };
  const best = { ...run, metrics: [], extra: null, ...lacks, evaluations, exported: evaluations[0] };
  const part = { ...best, exported: null, exportedLack: "0.4 of the training was exported" };
  const [first, second] = [best, part].map(
    (own, seed) => ({ ...own, trial: { id: `one-s${seed}`, seed } }) as unknown as MeasuredRun,
  );
  assert.ok(first !== undefined && second !== undefined);
  assert.deepEqual([meanOfRun(first, "distinct_2"), meanOfRun(first, "reward")], [1, 2]);
  assert.deepEqual([meanOfRun(second, "distinct_2"), meanOfRun(second, "reward")], [Number.NaN, Number.NaN]);
  // a run without figures leaves those of the others as they are, in whatever order
  for (const runs of [
    [first, second],
    [second, first],
  ]) {
    const condition = { name: "one", runs, failed: [] };
    assert.deepEqual([estimate(condition, "distinct_2").value, estimate(condition, "reward").value], [1, 2]);
  }
  const { summary } = writeOutcome({
    ...{ dir: scratch.path, outcomes: [], conditions: [], referenceOf: () => null, sections: [] },
    ...{ metrics: ["reward", "distinct_2"], text: { title: "t", question: "q", note: "n", command: "c" } },
    measured: new Map([["one", { name: "one", runs: [first, second], failed: [] }]]),
  });
  const named = (what: string) =>
    new RegExp(
      `1 of 2 runs are not in the figures of ${what}: .*[^]*?one-s1: 0\\.4 of the training was exported\\.`,
    );
  assert.match(summary, named("sampled answers"));
  assert.match(summary, named("completions of held-out prompts"));
});
