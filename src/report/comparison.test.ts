/** Comparisons: the table, pairs matched by content, what differs, curves told once or marked. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { Random } from "../base/random.ts";
import { loadConfig } from "../config/load-config.ts";
import { appendEvaluation } from "../runs/evaluation-records.ts";
import { MetricsWriter } from "../runs/metrics.ts";
import { createRun, type RunView } from "../runs/run-directory.ts";
import { shareInterval } from "../stats/bootstrap.ts";
import { writeComparison } from "./comparison.ts";
import { heldOutDraws } from "./facts-section.ts";
import { pairedDifference } from "./pair-differences.ts";
import { writeReport } from "./run-report.ts";
import { wordsAgainst } from "./word-diff.ts";

const root = mkdtempSync(join(tmpdir(), "preftune-comparison-"));
after(() => rmSync(root, { recursive: true }));

const sample = (text: string) => [{ prompt: "Say <b>", answers: [{ text, ended: true }] }];

/** The directory of a run of `values` that came to its end, with what `fill` writes into it. */
function madeRun(
  name: string,
  values: Record<string, unknown>,
  fill: (run: ReturnType<typeof createRun>, metrics: MetricsWriter) => void,
): string {
  const dir = join(root, name);
  const shared = { model_name_or_path: "m", train_data: "a.jsonl", output_dir: dir };
  const run = createRun(loadConfig({ values: { ...shared, ...values } }));
  const metrics = new MetricsWriter(run.paths.metrics);
  fill(run, metrics);
  metrics.close();
  run.release();
  return dir;
}

function runOf(name: string, values: Record<string, unknown>, gain: number, end: object = {}): string {
  return madeRun(name, { eval_data: "b.jsonl", ...values }, (run, metrics) => {
    for (const step of [0, 10]) {
      const delta = { "eval_logps/chosen_delta_init": (gain * step) / 10, "eval_logps/accuracies": 0.75 };
      metrics.write({ global_step: step, learning_rate: 0.1, loss: gain - step, ...delta });
      appendEvaluation(run.paths.evaluations, {
        ...{ global_step: step, rejected_logps: null, samples: sample(`one two ${name} ${step}`) },
        ...{
          pair_changes: [
            [gain, -1],
            [gain, -2],
          ],
          pair_margins: [1, -1],
        },
        pair_rows: [
          [`${name}.jsonl:1`, "k1"],
          [`${name}.jsonl:2`, "k2"],
        ],
      });
    }
    run.log("done", { step: 10, ...end });
  });
}

test("a run that exported another step than its figures are of is marked with that step", () => {
  const path = join(root, "exported.html");
  const earlier = runOf("earlier", { objective: "dpo" }, 0.1, { exported: ["m"], exported_step: 5 });
  const last = runOf("last", { objective: "dpo" }, 0.2, { exported: ["m"], exported_step: 10 });
  writeComparison([earlier, last], path);
  const page = readFileSync(path, "utf8");
  assert.match(page, /Figures are of each run's last evaluation/);
  const table = page.slice(page.indexOf("step of the export"), page.indexOf("</table>"));
  const cells = [...table.matchAll(/<td[^>]*>([^<]*)<\/td>/g)].map(([, text]) => text);
  assert.equal(cells.filter((text) => text === "5").length, 1);
  assert.ok(!cells.includes("10"), "the last step needs no mark");
  writeComparison([last], path);
  assert.doesNotMatch(readFileSync(path, "utf8"), /step of the export/);
});

test("a comparison tells the table, the differences, the answers and the curves", () => {
  const dirs = [runOf("first", { objective: "dpo" }, 0.1), runOf("second", { objective: "simpo" }, 0.3)];
  writeReport(dirs[0] as string);
  const path = join(root, "comparison.html");
  writeComparison(dirs, path);
  const page = readFileSync(path, "utf8");
  assert.match(page, /<a href="first\/report\.html">first<\/a>/);
  assert.ok(!page.includes('href="second'), "it has no report");
  assert.ok(page.indexOf("<table") < page.indexOf("<svg"), "the table stands first");
  assert.match(page, /second − first.*?>2<.*?\+0\.2 \[\+0\.2, \+0\.2\]/s);
  assert.match(page, /objective[\s\S]{0,200}dpo[\s\S]{0,100}simpo/);
  assert.match(page, /The same in all runs: .*learning rate \(0\.1\)/);
  assert.match(page, /In units of each objective<span class="badge">not comparable<\/span>/);
  assert.match(page, /one two <ins>second 10<\/ins>/);
  assert.ok(!page.includes(root) && !page.includes("<b>"));
});

test("pairs are matched by their keys, whatever their order and place", () => {
  const record = (keys: string[], chosen: number[], margins: number[]) => [
    {
      ...{ global_step: 1, rejected_logps: null, samples: [], pair_margins: margins },
      pair_changes: chosen.map((value): [number, number] => [value, 0]),
      pair_rows: keys.map((key): [string, string] => ["x:1", key]),
    },
  ];
  const base = record(["a", "b", "c"], [1, 2, 3], [1, -1, 0]);
  const found = pairedDifference(record(["c", "a", "d"], [4, 3, 9], [1, 1, 1]), base);
  assert.equal(found?.pairs, 2);
  // c: 4 − 3, a: 3 − 1; right: c 1 − ½, a 1 − 1
  assert.equal(found?.chosen.mean, 1.5);
  assert.equal(found?.accuracy.mean, 0.25);
  assert.equal(pairedDifference(record(["e", "f"], [1, 1], [1, 1]), base), null);
});

test("pairs of one prompt are one draw, in differences and in the accuracy's interval", () => {
  const keys = ["a", "b", "c", "d"];
  const record = (chosen: number[], pair_prompts?: number[]) => ({
    ...{ global_step: 1, rejected_logps: null, samples: [], pair_margins: [1, 1, 1, -1] },
    pair_changes: chosen.map((value): [number, number] => [value, 0]),
    pair_rows: keys.map((key): [string, string] => ["x:1", key]),
    ...(pair_prompts && { pair_prompts }),
  });
  const base = [record([0, 0, 0, 0])];
  const found = pairedDifference([record([1, 3, 2, 6], [0, 0, 1, 2])], base);
  assert.deepEqual([found?.pairs, found?.prompts], [4, 3]);
  // scipy.stats.t.interval(0.95, 2, loc=10 / 3, scale=sem) of (2, 2, 6): −2.4035, 9.0702
  const { mean = 0, low = 0, high = 0 } = found?.chosen ?? {};
  for (const [value, wanted] of [
    [mean, 10 / 3],
    [low, -2.4035],
    [high, 9.0702],
  ] as const)
    assert.ok(Math.abs(value - wanted) < 2e-3, `${value} ${wanted}`);
  assert.equal(pairedDifference([record([1, 3, 2, 6])], base)?.prompts, 4);

  const view = {
    config: { method: { objective: "dpo" } },
    preflight: { counts: {}, findings: [], evaluation: { rows: 4 } },
  } as unknown as RunView;
  const drawsOf = (prompts: number[]) => heldOutDraws(view, record([1, 3, 2, 6], prompts));
  assert.equal(drawsOf([0, 1, 2, 3]), 4);
  assert.equal(drawsOf([0, 0, 1, 1]), 2);
  assert.equal(drawsOf([5, 5, 5, 5]), 1);
  assert.equal(heldOutDraws(view, null), 4);
  // two of the four were kept: of one prompt
  const half = {
    ...record([1, 3], [0, 0]),
    pair_changes: [[1, 0] as [number, number], [3, 0] as [number, number]],
  };
  assert.equal(heldOutDraws(view, half), 1);
});

test("the interval of a share is Wilson's", () => {
  // statsmodels.stats.proportion.proportion_confint(8, 10, method="wilson"): 0.49016, 0.94331
  const { low, high } = shareInterval(8, 10);
  assert.ok(Math.abs(low - 0.490162) < 1e-5 && Math.abs(high - 0.943318) < 1e-5, `${low} ${high}`);
});

test("words that another text lacks are marked, and nothing where little is in common", () => {
  const marked = (text: string, other: string) =>
    wordsAgainst(text, other)
      ?.map(({ text: piece, isOwn }) => (isOwn ? `[${piece}]` : piece))
      .join("");
  assert.equal(marked("a big red fox.", "a red fox."), "a [big ]red fox.");
  assert.equal(marked("same", "same"), "same");
  assert.equal(marked("one two three four five six", "alpha beta gamma delta epsilon six"), undefined);
  assert.equal(marked(" one\n\ntwo ", "one two"), " one\n\ntwo ");
});

test("two texts are both marked, or neither is", () => {
  const random = new Random(1);
  const text = () => Array.from({ length: 12 }, () => random.pick([..."abcdefghijkl,."])).join(" ");
  let without = 0;
  for (let n = 0; n < 200; n++) {
    const [one, other] = [text(), text()];
    const [left, right] = [wordsAgainst(one, other), wordsAgainst(other, one)];
    assert.equal(left === null, right === null, `${one} | ${other}`);
    if (left === null) without++;
  }
  assert.ok(without > 20 && without < 180, `${without} of 200 without marks`);
});

test("runs of one name are told apart by their folders, and links lead to folders of any name", () => {
  const named = (dir: string): string => runOf(dir, { run_name: "same" }, 0.1);
  const dirs = [named("s1/runs/a#1"), named("s2/runs/a#1"), named("s2/runs/javascript:b")];
  for (const dir of dirs) writeReport(dir);
  const path = join(root, "named.html");
  writeComparison(dirs, path);
  const page = readFileSync(path, "utf8");
  assert.match(page, /<a href="s1\/runs\/a%231\/report\.html">s1\/runs\/a#1<\/a>/);
  assert.match(page, /<a href="s2\/runs\/a%231\/report\.html">s2\/runs\/a#1<\/a>/);
  assert.match(page, /<a href="s2\/runs\/javascript%3Ab\/report\.html">runs\/javascript:b<\/a>/);
});

test("of more runs than colours every one is in a legend, in the colour of its curve", () => {
  const names = Array.from({ length: 9 }, (_, i) => `m${i}`);
  // the last two are alike
  const dirs = names.map((name, i) => runOf(name, { objective: "dpo" }, Math.min(i, 7) / 10));
  const path = join(root, "many.html");
  writeComparison(dirs, path);
  const figures = readFileSync(path, "utf8").match(/<figure[\s\S]*?<\/figure>/g) ?? [];
  const charts = figures.filter((figure) => /<figcaption>.*?(?:Loss|Chosen).*?\(\d of 2\)/s.test(figure));
  assert.equal(charts.length, 4);
  const keys = charts.map((figure) =>
    [...figure.matchAll(/<li><svg class="(c\d)".*?<\/svg>([^<]*)<\/li>/g)].map(([, colour, name]) => [
      name,
      colour,
    ]),
  );
  const rows = (from: number, to: number) => names.slice(from, to).map((name, i) => [name, `c${i + 1}`]);
  const last = [
    ["m0", "c1"],
    ["m7, m8", "c2"],
  ];
  assert.deepEqual(keys, [rows(0, 7), last, rows(0, 7), last]);
});

test("runs that watch different prompts show what both answer first, then what one alone does", () => {
  const dirs = ["old", "new"].map((name) => runOf(name, {}, 0.1));
  const asked = (prompt: string) => ({ prompt, answers: [{ text: `${prompt} answered`, ended: true }] });
  for (const [i, dir] of dirs.entries()) {
    appendEvaluation(join(dir, "evaluations.jsonl"), {
      ...{ global_step: 20, rejected_logps: null, pair_changes: [] },
      samples: i === 0 ? [asked("shared")] : [asked("own"), asked("shared")],
    });
  }
  const path = join(root, "watched.html");
  writeComparison(dirs, path);
  const bodies = readFileSync(path, "utf8").match(/<tbody><tr><th colspan.*?<\/tbody>/gs) ?? [];
  const prompts = bodies.map((body) => /tabindex="0">(.*?)<\/div>/.exec(body)?.[1]);
  assert.deepEqual(prompts, ["shared", "Say &#60;b&#62;", "own"]);
  assert.deepEqual(
    bodies.map((body) => body.match(/<td>–<\/td>/g)?.length),
    [1, 2, 2],
  );
});

test("on-policy runs without held-out rows are compared by their rewards in training, each metric drawn once", () => {
  const dirs = ["grpo-a", "grpo-b"].map((name, i) => {
    const online = { objective: "grpo", reward_funcs: ["exact", "length"], num_generations: 4 };
    return madeRun(name, online, (_, metrics) => {
      for (const step of [10, 20]) {
        const reward = 0.25 + step / 100 + i;
        const parts = { "rewards/exact/mean": reward, "rewards/length/mean": -reward };
        const policy = { entropy: 1 + i, frac_reward_zero_std: i / 4, "ratio/mean": 1 + i };
        metrics.write({ global_step: step, reward, ...parts, ...policy });
      }
    });
  });
  const path = join(root, "online.html");
  writeComparison(dirs, path);
  const page = readFileSync(path, "utf8");
  const titles = [...page.matchAll(/<figcaption>([^<]*?) *</g)].map(([, title]) => title);
  const wanted = [
    ...["Reward: reward", "Rewards by function: exact", "Rewards by function: length"],
    ...["Entropy", "Groups of equal rewards", "Ratio: mean"],
  ];
  assert.deepEqual(titles, wanted);
  assert.match(page, /0\.45 \(training\).*1\.45 \(training\)/s);
});

test("the accuracy of reward models is said to be by rewards; reward functions that are no files leave no blank", () => {
  const facts = {
    ...{ template: null, tokenizer: "t", model: "m", code_version: "0", torch_version: "2", device: "cpu" },
    ...{ dtype: "float32", threads: 1 },
  };
  const dirs = ["reward", "grpo"].map((objective) => {
    const online = objective === "grpo" ? { reward_funcs: ["exact"] } : {};
    const files = objective === "grpo" ? { reward_files: {} } : {};
    return madeRun(`with-${objective}`, { objective, ...online }, (run, metrics) => {
      run.saveSealed(run.paths.fingerprints, { data: {}, ...facts, ...files });
      metrics.write({ global_step: 10, eval_accuracy: 0.6 });
    });
  });
  const path = join(root, "scored.html");
  writeComparison(dirs, path);
  const page = readFileSync(path, "utf8");
  assert.match(page, /for every objective alike, and of reward models those with the higher reward\./);
  assert.match(page, /reward functions \(digest\)<\/th>\s*<td>–<\/td>\s*<td>no files<\/td>/);
  const alone = join(root, "alone.html");
  writeComparison([runOf("plain-a", {}, 0.1), runOf("plain-b", {}, 0.2)], alone);
  assert.doesNotMatch(readFileSync(alone, "utf8"), /reward models/);
});
