/** The parts of reports that come from evaluations: the collapse watch's story, pictures of pairs and tokens, sampled answers. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { loadConfig } from "../config/load-config.ts";
import { appendEvaluation, type EvaluationRecord } from "../runs/evaluation-records.ts";
import { MetricsWriter } from "../runs/metrics.ts";
import { createRun, type RunEvent } from "../runs/run-directory.ts";
import { answersHtml } from "./answers-section.ts";
import { type CollapseStory, collapseStory, collapseText } from "./collapse-section.ts";
import { findingsHtml } from "./findings.ts";
import { rejectedTokens } from "./histogram.ts";
import { quadrantsHtml } from "./pairs-section.ts";
import { writeReport } from "./run-report.ts";

const root = mkdtempSync(join(tmpdir(), "preftune-report-evaluations-"));
after(() => rmSync(root, { recursive: true }));

const at = (event: string, details: Record<string, unknown> = {}): RunEvent => ({
  event,
  time: "2026-01-01T00:00:00Z",
  ...details,
});
const textOf = (story: CollapseStory): string => findingsHtml(collapseText(story)).text;
const start = (step: number) => at("start", { step });
const alarm = (step: number) => at("collapse", { step, action: "restore", breaches: [`seen at ${step}`] });
const end = (step: number, restored: number | null) => at("collapsed", { step, restored });

test("the story of the watch: alarms and how it ended the run", () => {
  assert.deepEqual(collapseStory([start(0), at("done", { step: 9 })]), { alarms: [], end: null });
  const ended = collapseStory([start(0), alarm(4), alarm(6), end(6, 3)]);
  assert.deepEqual(
    ended.alarms.map(({ step }) => step),
    [4, 6],
  );
  assert.deepEqual(ended.end, { restored: 3 });
  assert.match(
    textOf(ended),
    /was stopped because the model collapsed\. The checkpoint of step 3 was exported\./,
  );
  assert.match(textOf(collapseStory([start(0), alarm(4), end(4, null)])), /Nothing was exported/);
});

test("what a resumed run has gone back behind counts no more", () => {
  const events = [start(0), alarm(4), alarm(6), end(6, 3), start(4), at("done", { step: 9 })];
  const story = collapseStory(events);
  assert.deepEqual(story, { alarms: [{ step: 4, breaches: ["seen at 4"] }], end: null });
  const text = textOf(story);
  assert.match(text, /raised an alarm.*seen at 4/s);
  assert.doesNotMatch(text, /stopped|seen at 6/);
  assert.equal(textOf(collapseStory([...events, start(2)])), "");
});

test("many alarms are cut short, and what they say is escaped", () => {
  const many = [start(0), ...Array.from({ length: 8 }, (_, i) => alarm(i))];
  assert.match(textOf(collapseStory(many)), /seen at 4.*And 3 more evaluations/s);
  const hostile = collapseStory([
    at("collapse", { step: "<b>", breaches: ["<script>"] }),
    at("collapse", { step: 1, breaches: "x" }),
  ]);
  assert.doesNotMatch(textOf(hostile), /<script>|Step <b>/);
});

function record(step: number, more: Partial<EvaluationRecord> = {}): EvaluationRecord {
  return { global_step: step, rejected_logps: null, pair_changes: [], samples: [], ...more };
}

test("the histogram's steps stand where the shares are, and the knee where it belongs", () => {
  // 90 of 100 tokens above −0.5, 9 between −0.5 and −1, 1 between −1.5 and −2
  const first = record(0, { rejected_logps: { width: 0.5, counts: [90, 9, 0, 1, 0] } });
  const last = record(20, { rejected_logps: { width: 0.5, counts: [10, 0, 0, 90, 0] } });
  const [figure] = rejectedTokens([first, record(10), last], -1.5);
  const text = figure?.text ?? "";
  const [one, two] = [...text.matchAll(/class="line c\d" d="([^"]+)"/g)].map((match) => match[1] as string);
  const edges = (path: string) =>
    [...path.matchAll(/[ML]([\d.]+) ([\d.]+)H([\d.]+)/g)].map((m) => m.slice(1).map(Number));
  // four bins from −2 to 0 over the width of the plot, 58 to 428; 1 is at y 10, 0.0001 at y 200
  const height = (share: number) => 10 + (Math.log10(Math.max(share, 1e-4)) / -4) * (200 - 10);
  const expected = (shares: number[]) =>
    shares.map((share, i) => [58 + 92.5 * i, height(share), 58 + 92.5 * (i + 1)]);
  const near = (got: number[][], want: number[][]) => {
    assert.equal(got.length, want.length);
    for (const [i, row] of want.entries()) {
      for (const [j, value] of row.entries())
        assert.ok(Math.abs((got[i]?.[j] as number) - value) <= 0.06, `${got}`);
    }
  };
  near(edges(one ?? ""), expected([0.01, 0, 0.09, 0.9]));
  near(edges(two ?? ""), expected([0.9, 0, 0, 0.1]));
  assert.match(text, /class="mark" d="M150\.5 /);
  assert.match(text, /knee −δ = −1\.5/);
  assert.match(text, /step 0.*step 20/s);
  assert.doesNotMatch(rejectedTokens([first], null)[0]?.text ?? "", /knee|mark/);
  assert.deepEqual(rejectedTokens([record(0)], -1), []);
});

test("answers side by side: the first, the exported and the last, by prompt; hostile text stays text", () => {
  const samples = (text: string) =>
    ["p<b>", "q"].map((prompt) => ({
      prompt,
      answers: [
        { text, ended: true },
        { text: `${text}\u202e\u001b[31m`, ended: false },
      ],
    }));
  const evaluations = [0, 10, 20, 30].map((step) => record(step, { samples: samples(`<i>${step}`) }));
  const { text } = answersHtml(evaluations, 20);
  assert.deepEqual(
    [...text.matchAll(/<th scope="col">([^<]*)/g)].map((m) => m[1]),
    ["step 0", "step 20, exported", "step 30"],
  );
  assert.equal(text.match(/&#60;i&#62;<ins>20/g)?.length, 4);
  assert.doesNotMatch(text, /&#60;i&#62;10/);
  assert.ok(!["<i>", "<b>", "\u202e", "\u001b"].some((part) => text.includes(part)));
  assert.match(text, /cut at the length limit/);
  assert.equal(answersHtml([record(0)], null).text, "");
  assert.deepEqual([...answersHtml(evaluations.slice(0, 1), null).text.matchAll(/scope="col"/g)].length, 1);
});

test("a run that watches other prompts since it was resumed shows those too, each against the first that has it", () => {
  const samples = (texts: Record<string, string>): EvaluationRecord["samples"] =>
    Object.entries(texts).map(([prompt, text]) => ({ prompt, answers: [{ text, ended: true }] }));
  const evaluations = [
    record(0, { samples: samples({ a: "one two", b: "three four" }) }),
    record(10, { samples: samples({ a: "one two six", c: "new here", b: "three four five" }) }),
    record(20, { samples: samples({ a: "one two six", c: "new here now", b: "three four five" }) }),
  ];
  const bodies = [...answersHtml(evaluations, 10).text.matchAll(/<tbody>.*?<\/tbody>/gs)].map(([body]) =>
    [...body.matchAll(/(?:<div[^>]*>|<td>(?=–))(.*?)<\/(?:div|td)>/g)].map(([, text]) => text),
  );
  assert.deepEqual(bodies, [
    ["a", "one two", "one two <ins>six</ins>", "one two <ins>six</ins>"],
    ["b", "three four", "three four <ins>five</ins>", "three four <ins>five</ins>"],
    ["c", "–", "new here", "new here <ins>now</ins>"],
  ]);
});

test("a run's report has the pictures; a collapsed evaluation is not its best checkpoint", () => {
  const dir = join(root, "run");
  const values = {
    model_name_or_path: "m",
    train_data: "a.jsonl",
    eval_data: "b.jsonl",
    output_dir: dir,
    objective: "slime",
    delta: 1.25,
  };
  const run = createRun(loadConfig({ values }));
  const metrics = new MetricsWriter(run.paths.metrics);
  run.log("start", { step: 0 });
  for (const [step, loss] of [
    [0, 1],
    [10, 3],
    [20, 2],
  ] as const) {
    metrics.write({ global_step: step, eval_loss: loss, "eval_samples/length": 5 });
    appendEvaluation(
      run.paths.evaluations,
      record(step, {
        pair_changes: [
          [step / 10, -step],
          [-0.5 * step, -1 - step],
        ],
        pair_rows: [
          ["held.jsonl:1", "a"],
          ["held.jsonl:2", "b"],
        ],
        pair_margins: [1, -1],
      }),
    );
  }
  run.log("collapse", { step: 20, action: "warn", breaches: ["x"] });
  metrics.close();
  run.release();
  const page = readFileSync(writeReport(dir), "utf8");
  assert.match(page, /Length of sampled answers/);
  assert.match(page, /Each pair at step 20/);
  assert.match(page, /only chosen up 50 %.*both down 50 %/s);
  // chosen from −10 to 2 with 6 % room on both sides, over 62 to 428; rejected from −21 to 0, over 200 to 10
  assert.match(
    page,
    /<circle class="point" data-pair="0" cx="408\.4" cy="181\.7" r="3"><title>held\.jsonl:1: chosen \+2, rejected −20/,
  );
  const best = /Best evaluation<\/h2>.*?<\/section>/s.exec(page)?.[0] ?? "";
  assert.match(best, /An earlier evaluation is the best one: step 10, eval_loss 3/);
});

test("pairs of a model that diverged are counted and not drawn, and do not move the axes", () => {
  const changes: [number, number][] = [
    [1, -1],
    [Number.NaN, -1],
    [0.5, Number.NEGATIVE_INFINITY],
    [-1, -2],
  ];
  const { text } = quadrantsHtml(record(5, { pair_changes: changes }), (path) => path);
  assert.doesNotMatch(text, /NaN"|Infinity"/);
  assert.deepEqual(
    [...text.matchAll(/data-pair="(\d)"/g)].map(([, at]) => at),
    ["0", "3"],
  );
  assert.match(text, /4 held-out pairs:.*Not drawn, as they moved by NaN or infinity: 2\./);
  const alone = quadrantsHtml(
    record(5, {
      pair_changes: [
        [1, -1],
        [-1, -2],
      ],
    }),
    (path) => path,
  ).text;
  const axisOf = (html: string): string[] => html.match(/<text x="\d[^<]*<\/text>/g) ?? [];
  assert.deepEqual(axisOf(text), axisOf(alone));
});
