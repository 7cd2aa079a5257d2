/** What a report, a card and a run's page say of a run's end: at which step, and which step was exported. */
import assert from "node:assert/strict";
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { loadConfig } from "../config/load-config.ts";
import { shownEvaluation } from "../dashboard/run-sections.ts";
import { appendEvaluation, type EvaluationRecord } from "../runs/evaluation-records.ts";
import { MetricsWriter } from "../runs/metrics.ts";
import { addRestart } from "../runs/restart-log.ts";
import { createRun, type OpenRun, openRun, type RunView } from "../runs/run-directory.ts";
import { cardResults } from "./card-results.ts";
import { comparisonPage } from "./comparison.ts";
import { floorFindings } from "./floor-finding.ts";
import { pairInterval } from "./pair-interval.ts";
import { writeReport } from "./run-report.ts";

const root = mkdtempSync(join(tmpdir(), "preftune-report-end-"));
after(() => rmSync(root, { recursive: true }));

function record(step: number, more: Partial<EvaluationRecord> = {}): EvaluationRecord {
  return { global_step: step, rejected_logps: null, pair_changes: [], samples: [], ...more };
}

/** A run with rows of training at steps 10 and 20 and evaluations at 8 and 16, and these events. */
function runWith(name: string, values: Record<string, unknown>, log: (run: OpenRun) => void): string {
  const dir = join(root, name);
  const data = { model_name_or_path: "m", train_data: "a.jsonl", eval_data: "b.jsonl", output_dir: dir };
  const run = createRun(loadConfig({ values: { ...data, ...values } }));
  const metrics = new MetricsWriter(run.paths.metrics);
  for (const row of [
    { global_step: 0, eval_loss: 3 },
    {
      global_step: 8,
      eval_loss: 2,
      "eval_logps/chosen_delta_init": -0.1,
      "eval_logps/rejected_delta_init": -0.3,
    },
    { global_step: 10, loss: 2 },
    {
      global_step: 16,
      eval_loss: 1,
      "eval_logps/chosen_delta_init": -1,
      "eval_logps/rejected_delta_init": -3,
    },
    { global_step: 20, loss: 1 },
  ])
    metrics.write(row);
  metrics.close();
  for (const step of [0, 8, 16]) {
    appendEvaluation(
      run.paths.evaluations,
      record(step, {
        samples: [{ prompt: "p", answers: [{ text: `at ${step}`, ended: true }] }],
        pair_changes: [
          [-step, -2 * step],
          [-step, -2 * step - 1],
        ],
      }),
    );
  }
  run.log("start", { step: 0, total_steps: 30 });
  log(run);
  run.release();
  return dir;
}

const pageOf = (dir: string): string => readFileSync(writeReport(dir), "utf8");
const columnsOf = (page: string): (string | undefined)[] =>
  [...page.matchAll(/<th scope="col">(step [^<]*)/g)].map((m) => m[1]);

test("the best evaluation is the last one though rows of training come after it", () => {
  const page = pageOf(runWith("last-best", {}, () => {}));
  assert.match(page, /The last evaluation is the best one: step 16/);
});

test("the answers of the step that was exported are marked; of a run that exported nothing, none", () => {
  const values = { load_best_model_at_end: true, greater_is_better: true };
  const done = runWith("best", values, (run) => run.log("done", { step: 23, exported: ["adapter"] }));
  assert.deepEqual(columnsOf(pageOf(done)), ["step 0", "step 8, exported", "step 16"]);
  const shown = shownEvaluation(openRun(done), 8);
  assert.deepEqual(columnsOf(shown?.answers ?? ""), ["step 0", "step 8, exported"]);
  for (const [name, log] of [
    ["best-stopped", (run: OpenRun) => run.log("stopped", { step: 23, exported: [] })],
    ["best-running", () => {}],
    ["best-collapsed", (run: OpenRun) => run.log("collapsed", { step: 23, exported: [], restored: null })],
    [
      "best-resumed",
      (run: OpenRun) => {
        run.log("done", { step: 23, exported: ["adapter"] });
        run.log("start", { step: 20, total_steps: 40 });
      },
    ],
  ] as const)
    assert.deepEqual(columnsOf(pageOf(runWith(name, values, log))), ["step 0", "step 16"], name);
});

test("the card of a run that exported its best step says nothing of the steps after it", () => {
  const values = { load_best_model_at_end: true, greater_is_better: true };
  const run = openRun(runWith("card", values, (one) => one.log("done", { step: 23, exported: ["adapter"] })));
  assert.match(
    cardResults(run),
    /chosen −0\.1, rejected −0\.3 since the start\)\. The margin changed by \+8\.5 nats/,
  );
  const last = openRun(
    runWith("card-last", {}, (one) => one.log("done", { step: 23, exported: ["adapter"] })),
  );
  assert.match(cardResults(last), /step 16, the last evaluation before step 23, which these files hold/);
});

test("the card of a part of the training has that part's figures, or says that there are none", () => {
  const dir = runWith("card-part", {}, (one) => one.log("done", { step: 16, exported: ["adapter"] }));
  writeFileSync(join(dir, "export.json"), JSON.stringify([{ scale: 0.4 }]));
  const card = (scales: readonly number[]): string => {
    const figures = { "logps/chosen_delta_init": -0.25, "displacement/token_change_p01": -1.5 };
    const rows = scales.map((scale) => ({ scale, figures, answers: [] }));
    writeFileSync(
      join(dir, "scale.json"),
      JSON.stringify({ pairs: 40, other_text: null, rows, choice: null }),
    );
    return cardResults(openRun(dir));
  };
  assert.match(
    card([0, 0.4, 1]),
    /these files take 0\.4 of it\. Their own figures on the held-out pairs: chosen −0\.25, tail −1\.5\.$/m,
  );
  assert.match(card([0, 0.5]), /take 0\.4 of it\. Their own figures are not in the run\.$/m);
});

test("a run's step is the one its end names; a failed one was there or further on", () => {
  const stopped = pageOf(runWith("stopped", {}, (run) => run.log("stopped", { step: 23, exported: [] })));
  assert.match(stopped, /Stopped at step 23 of 30,/);
  assert.match(stopped, /The run was stopped at step 23\./);
  const failed = runWith("failed", {}, (run) => {
    run.log("skipped", { step: 22 });
    run.log("failed", { message: "no luck" });
  });
  assert.match(pageOf(failed), /Failed at step 22 of 30 or after,/);
  assert.match(pageOf(failed), /The run failed at step 22 or after: no luck/);
  assert.match(comparisonPage([failed], null), /failed, step 22 or after</);
});

test("the step at which a trainer ended before its time was not taken", () => {
  const dir = runWith("restarted", {}, (run) => run.log("skipped", { step: 22 }));
  addRestart(dir, {
    ...{ time: new Date().toISOString(), cause: "killed by SIGKILL", status: null, signal: "SIGKILL" },
    ...{ step: 23, checkpoint: null, restart: null, max_restarts: 0, wait: null },
  });
  assert.match(pageOf(dir), /at step 22 of 30 or after,/);
});

test("skipped steps behind the checkpoint that a run was resumed from are not counted", () => {
  const dir = runWith("skipped", {}, (run) => {
    for (const step of [5, 12, 13]) run.log("skipped", { step });
    run.log("start", { step: 12, total_steps: 30 });
    run.log("done", { step: 30, exported: ["adapter"] });
  });
  assert.match(pageOf(dir), /2 steps were skipped/);
});

test("of labelled rows, fractions of pairs have the interval of as many pairs as were kept", () => {
  const counts = { findings: [], counts: {}, evaluation: { rows: 40 } };
  const dirOf = (objective: string): string => {
    const dir = runWith(`rows-${objective}`, { objective }, (run) => {
      run.saveJson(run.paths.preflight, counts);
      run.log("done", { step: 20, exported: ["adapter"] });
    });
    const row = {
      ...{ global_step: 20, "eval_logps/accuracies": 0.5 },
      ...{ "eval_displacement/frac_chosen_down": 0.5, "eval_displacement/frac_both_down": 0.5 },
    };
    appendFileSync(join(dir, "metrics.jsonl"), `${JSON.stringify(row)}\n`);
    return dir;
  };
  const intervalsOf = (dir: string): (string | undefined)[] =>
    ["logps/accuracies", "displacement/frac_chosen_down", "displacement/frac_both_down"].map(
      (key) =>
        cardResults(openRun(dir))
          .split("\n")
          .find((line) => line.includes(`eval_${key}`))
          ?.split(" | ")[3],
    );
  const [pairs, labelled] = [dirOf("dpo"), dirOf("kto")];
  const of40 = "0.3520 to 0.6480 |";
  assert.deepEqual(intervalsOf(pairs), [of40, of40, of40]);
  appendEvaluation(
    join(labelled, "evaluations.jsonl"),
    record(20, {
      pair_changes: [
        [1, 0],
        [1, 0],
      ],
    }),
  );
  // statsmodels.stats.proportion.proportion_confint(1, 2, method="wilson"): 0.09453, 0.90547
  const of2 = "0.0945 to 0.9055 |";
  assert.deepEqual(intervalsOf(labelled), [of2, "– |", of2]);
  assert.match(comparisonPage([labelled], null), /50\.0 % \[9\.5 %, 90\.5 %\]/);
  const many = record(20, { pair_changes: Array.from({ length: 500 }, () => [1, 0] as [number, number]) });
  appendEvaluation(join(labelled, "evaluations.jsonl"), many);
  assert.deepEqual(intervalsOf(labelled), ["– |", "– |", "– |"]);
});

/** What is said of the floor of a run whose evaluations are these. */
function floorText(run: RunView, evaluations: EvaluationRecord[]): string {
  return floorFindings({ run: { ...run, evaluations }, rows: [] })[0]?.text ?? "";
}

const floored = { chosen_floor: -1 };
const moved = (step: number, more: Partial<EvaluationRecord> = {}) =>
  record(step, {
    pair_changes: [
      [0, 0],
      [0.1, 0],
    ],
    ...more,
  });

test("whether a floor held is not known where the start was not measured", () => {
  const run = openRun(runWith("floor", floored, () => {}));
  assert.match(
    floorText(run, [record(5), moved(10), moved(20)]),
    /is not known: held-out pairs were not measured at the start/,
  );
  assert.match(
    floorText(run, [record(0), moved(10), moved(20)]),
    /per token held: at step 20 chosen answers/,
  );
});

test("pairs of one prompt show neither that a floor held nor that it was missed", () => {
  const run = openRun(runWith("floor-prompt", floored, () => {}));
  for (const change of [0, -3]) {
    const pairChanges = [change, change - 0.1].map((chosen): [number, number] => [chosen, 0]);
    const judged = moved(20, { pair_changes: pairChanges, pair_prompts: [4, 4] });
    assert.match(
      floorText(run, [record(0), judged]),
      /held or not, which the pairs do not show: at step 20 .*, over 2 pairs of one prompt, which has no interval\.$/,
    );
  }
});

test("a floor is missed by any pair that is no finite number", () => {
  const run = openRun(runWith("floor-ruined", floored, () => {}));
  const [finding] = floorFindings({
    run: { ...run, evaluations: [record(0), moved(16, { pairs_not_finite: 1 })] },
    rows: [],
  });
  assert.equal(finding?.severity, "warning");
  assert.match(
    String(finding?.text),
    /was missed: at step 16 1 of 3 held-out pairs have a log-probability that/,
  );
  assert.match(floorText(run, [record(0), record(16, { pairs_not_finite: 2 })]), /2 of 2 held-out pairs/);
});

test("a floor's verdict is of the step that was exported, and names the scale of the export", () => {
  const best = { ...floored, load_best_model_at_end: true, greater_is_better: true };
  const run = openRun(
    runWith("floor-best", best, (open) => open.log("done", { step: 23, exported: ["adapter"] })),
  );
  const fallen = moved(16, {
    pair_changes: [
      [-3, 0],
      [-3.1, 0],
    ],
  });
  const all = [record(0), moved(8), fallen];
  assert.match(floorText(run, all), /held: at step 8, which was exported, chosen answers/);
  const part = { ...run, exported: [{ scale: 0.4 }] };
  assert.match(floorText(part, all), /at step 8, which was exported at scale 0\.4 while this is the whole/);
  const last = openRun(
    runWith("floor-last", floored, (open) => open.log("done", { step: 23, exported: ["adapter"] })),
  );
  assert.match(floorText(last, all), /was missed: at step 16, the last before step \d+, which was exported,/);
});

test("pairs of one prompt do not make an interval narrower", () => {
  const changes = [-1.2, -0.9, -1, -0.8].map((change): [number, number] => [change, 0]);
  const of = (copies: number) => {
    const all = changes.flatMap((pair, prompt) => Array.from({ length: copies }, () => ({ pair, prompt })));
    return pairInterval(
      { pair_changes: all.map(({ pair }) => pair), pair_prompts: all.map(({ prompt }) => prompt) },
      ([chosen]) => chosen,
    );
  };
  const [one, five] = [of(1), of(5)];
  assert.equal(five.over, "20 pairs of 4 prompts");
  assert.ok(Math.abs(one.low - five.low) < 1e-12 && Math.abs(one.high - five.high) < 1e-12);
});
