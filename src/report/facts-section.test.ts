/** What reports say in words and tables of displacement, export and data check, and the numbers of axes. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { meanInterval } from "../stats/mean-interval.ts";
import { axisOver, tickTexts } from "./axis.ts";
import { displacementNote } from "./displacement-section.ts";
import { dataCheckSection, exportSection } from "./facts-section.ts";
import { tableHtml } from "./html.ts";
import { signed } from "./signed.ts";

test("numbers of an axis differ from one another, however close they lie", () => {
  assert.deepEqual(tickTexts([0, 0.5, 1]), ["0", "0.5", "1"]);
  assert.deepEqual(tickTexts([2.2111, 2.2112, 2.2113, 2.2114]), ["2.2111", "2.2112", "2.2113", "2.2114"]);
  assert.deepEqual(tickTexts([-1.00002, -1.00001]), ["−1.00002", "−1.00001"]);
});

test("a change keeps a digit however small it is, and noise is none", () => {
  const changes = [0.0294, -1.2624, 0.00008741, -0.00012, 0.0004999, -5e-8, 0, Number.NaN];
  assert.deepEqual(changes.map(signed), [
    ...["+0.029", "−1.262", "+8.7e−5", "−0.00012", "+0.0005", "0", "0", "NaN"],
  ]);
  assert.deepEqual(tickTexts([-5e-5, 0, 5e-5]), ["−5e−5", "0", "5e−5"]);
});

test("one value that is not finite, small or longer than a minute leaves a column of numbers to the right", () => {
  const classOf = (...cells: string[]): string | undefined =>
    /<td( class="(\w+)")?>/.exec(
      tableHtml({ columns: ["", "x"], rows: cells.map((cell) => ["a", cell]) }).text,
    )?.[2];
  assert.equal(classOf("+0.003", "NaN", "+8.7e−5", "−130"), "number");
  assert.equal(classOf("6.8 s", "1 min 07 s", "2 h 10 min"), "number");
  assert.equal(classOf("0.1 [0, 0.2]", "−8.7e−5 [−0.01, +0.01]", "NaN [NaN, NaN]"), "interval");
  assert.equal(classOf("0.1", "dpo"), undefined);
});

test("the axis of steps begins at 0 and has no step before it, whatever was logged", () => {
  assert.deepEqual(axisOver([0], true), { min: 0, max: 1, ticks: [0, 1] });
  assert.deepEqual(axisOver([10], true).min, 0);
  assert.deepEqual(axisOver([10], true).max, 10);
  assert.deepEqual(axisOver([0], false), { min: -1, max: 1, ticks: [-1, -0.5, 0, 0.5, 1] });
});

test("the interval of a mean is Student's", () => {
  // scipy.stats.t.interval(0.95, 17, loc=mean, scale=sem) of range(18): 5.8451, 11.1549
  const { mean, low, high } = meanInterval(Array.from({ length: 18 }, (_, i) => i));
  assert.equal(mean, 8.5);
  assert.ok(Math.abs(low - 5.8451) < 2e-3 && Math.abs(high - 11.1549) < 2e-3, `${low} ${high}`);
});

test("displacement is said with the margin's interval, and that it holds 0 where it does", () => {
  const rows = [
    { global_step: 5, "eval_logps/chosen_delta_init": -0.3, "eval_logps/rejected_delta_init": -0.4 },
  ];
  const record = (pairs: [number, number][]) => [
    { global_step: 5, rejected_logps: null, pair_changes: pairs, samples: [] },
  ];
  const sure =
    displacementNote(
      rows,
      record([
        [-0.3, -0.4],
        [-0.3, -0.41],
        [-0.3, -0.39],
      ]),
    ) ?? "";
  assert.match(
    sure,
    /The margin changed by \+0\.1 nats per token, 95 % interval \[\+0\.\d+, \+0\.\d+\] over 3 pairs\.$/,
  );
  const unsure =
    displacementNote(
      rows,
      record([
        [-0.3, -0.9],
        [-0.3, 0.1],
        [-0.3, -0.5],
      ]),
    ) ?? "";
  assert.match(unsure, /over 3 pairs, which holds 0: more pairs would tell whether it grew\.$/);
  const mixed =
    displacementNote(
      rows,
      record([
        [-0.9, -2],
        [0.3, -0.8],
        [-0.3, -1.4],
      ]),
    ) ?? "";
  assert.match(
    mixed,
    /over 3 pairs\. The chosen answers changed by −0\.3, 95 % interval \[−1\.\d+, \+1\.\d+\] over 3 pairs, which holds 0: more pairs would tell whether they fell\.$/,
  );
  assert.doesNotMatch(displacementNote(rows, []) ?? "", /interval/);
  const same = record([
    [-0.3, -0.9],
    [-0.3, 0.1],
  ]);
  assert.match(
    displacementNote(
      rows,
      same.map((one) => ({ ...one, pair_prompts: [3, 3] })),
    ) ?? "",
    /changed by \+0\.1 nats per token, over 2 pairs of one prompt, which has no interval\.$/,
  );
});

test("of an export in half precision the mean is what is judged; of a reward model completions are counted, without nats", () => {
  const exported = { path: "runs/x/model", answers: 32, tolerance: 1e-4 };
  const far = { maxDifference: 0.21, meanDifference: 0.004 };
  const half = exportSection(
    [{ ...exported, ...far, kind: "model", dtype: "bfloat16", tokens: 900 }],
    String,
  );
  // parity.ts: 200 times the tolerance, or three times what rounding the weights does by chance
  assert.match(
    half.text,
    /900 tokens of 32 completions .*0\.21 nats, mean 0\.004; a mean difference of 0\.02 nats, or what rounding to bfloat16 explains, is allowed\./,
  );
  const adapter = { ...exported, ...far, kind: "adapter", dtype: "float16", tokens: 32, of: "rewards" };
  const rewards = exportSection([adapter], String).text;
  assert.match(
    rewards,
    / 32 completions were scored again .* 0\.21, mean 0\.004; a mean difference of 0\.02 is allowed\./,
  );
  assert.doesNotMatch(rewards, /nats|tokens/);
});

test("export and data check are tables for people", () => {
  const kind = "adapter";
  const exported = { kind, path: "runs/x/adapter", dtype: "float32", answers: 9, tokens: 128 } as const;
  const measured = { maxDifference: 0, meanDifference: 0, tolerance: 1e-4 };
  const shown = exportSection([{ ...exported, ...measured }], String).text;
  assert.match(
    shown,
    /<h2>Export<\/h2><p>adapter\/: the adapter in float32\. 128 tokens of 9 completions were scored again with the exported files: largest difference to the trained model 0 nats, mean 0; a largest difference of 0\.0001 nats is allowed\./,
  );
  assert.doesNotMatch(shown, /0\.kind/);
  const finding = { severity: "warning", code: "too_long", count: 7, rows: ["a.jsonl:1", "a.jsonl:3"] };
  const checked = dataCheckSection(
    {
      findings: [{ ...finding, message: "longer <b>", remedy: "Raise max_length." }],
      counts: { read: 1200, train: 1193, evaluation: 0, dropped: { too_long: 7 }, notDrawn: 0 },
    },
    String,
  ).text;
  assert.match(checked, /rows read.*1,200.*rows trained on.*1,193.*left out: too_/s);
  assert.match(checked, /longer &#60;b&#62; \(too_long\).*a\.jsonl:1, a\.jsonl:3, ….*Raise max_length\./s);
  assert.doesNotMatch(checked, /findings\.0|notDrawn|rows held out/);
  assert.equal(exportSection(null, String).text, "");
});
