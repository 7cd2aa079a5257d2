/** Reports: complete, escaped, self-contained, and truthful about displacement and NaN. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { loadConfig } from "../config/load-config.ts";
import { type MetricRow, MetricsWriter } from "../runs/metrics.ts";
import { createRun } from "../runs/run-directory.ts";
import { chartHtml } from "./line-chart.ts";
import { withDisplacement } from "./metric-series.ts";
import { writeReport } from "./run-report.ts";
import { pathShortener } from "./shared-text.ts";

const root = mkdtempSync(join(tmpdir(), "preftune-report-"));
after(() => rmSync(root, { recursive: true }));

function reportOf(name: string, rows: readonly MetricRow[]): string {
  const dir = join(root, String(Math.random()));
  const values = { model_name_or_path: "m<b>", train_data: "a.jsonl", output_dir: dir, run_name: name };
  const run = createRun(loadConfig({ values }));
  const metrics = new MetricsWriter(run.paths.metrics);
  for (const row of rows) metrics.write(row);
  metrics.close();
  run.log("start", { note: "<img src=x>" });
  run.saveJson(run.paths.preflight, { rows: 12, "</td>": { identical_pairs: 1 } });
  run.release();
  return readFileSync(writeReport(dir), "utf8");
}

const FALLING: MetricRow[] = [0, 1, 2, 3].map((i) => ({
  global_step: 10 * (i + 1),
  loss: 2 - i / 4,
  "logps/chosen_mean": -1 - 0.1 * i,
  "logps/rejected_mean": -1 - 0.5 * i,
  "rewards/margins": 0.4 * i,
}));

test("everything from a run is escaped and nothing is loaded from elsewhere", () => {
  const page = reportOf('<script>alert("x")</script>', FALLING);
  assert.ok(!/<script|<img|<link|m<b>/.test(page));
  assert.match(page, /&#60;script&#62;alert\(&#34;x&#34;\)/);
  assert.ok(
    !/(src|href)=|https?:|url\(|@import/.test(page.replace(/<td>.*?<\/td>/gs, "")),
    "no address anywhere",
  );
  assert.match(page, /prefers-color-scheme: dark/);
  assert.match(page, /&#60;\/<wbr>td&#62;\.<wbr>identical_<wbr>pairs/);
});

/** The same falls measured on held-out rows. */
const HELD_OUT = FALLING.map((row) => ({
  global_step: row.global_step,
  "eval_logps/chosen_mean": row["logps/chosen_mean"] as number,
  "eval_logps/rejected_mean": row["logps/rejected_mean"] as number,
}));

test("likelihood displacement is said with its figures, and only where it happened", () => {
  const page = reportOf("run", HELD_OUT);
  assert.match(
    page,
    /Likelihood displacement: on held-out rows .*chosen −0\.3, rejected −1\.5 since the start/,
  );
  assert.match(page, /aria-label="Chosen answers since the start in nats\/token: .* from 0 to -0\.3"/);
  assert.match(page, /aria-label="Rejected answers since the start in nats\/token: .* from 0 to -1\.5"/);
  const rising = HELD_OUT.map((row) => ({ ...row, "eval_logps/chosen_mean": -1 + row.global_step / 100 }));
  assert.ok(!reportOf("run", rising).includes("Likelihood displacement"));
  // two windows of training rows are different answers: nothing can be said
  assert.ok(!reportOf("run", FALLING).includes("Likelihood displacement"));
});

test("NaN is a gap with a mark, not a zero", () => {
  const rows = FALLING.map((row) => (row.global_step === 20 ? { ...row, loss: Number.NaN } : row));
  const page = reportOf("run", rows);
  assert.match(page, /1 row of metrics holds NaN or infinity, at step 20\./);
  assert.match(page, /<title>loss, step 20: NaN<\/title>/);
  const loss = page.slice(page.indexOf(">Loss"));
  const path = /class="line" d="([^"]+)"/.exec(loss.slice(loss.indexOf('class="chart"')))?.[1] ?? "";
  assert.equal(path.match(/M/g)?.length, 2);
  assert.ok(!path.includes("NaN"));
});

test("NaN that says that nothing was measured is no finding, infinity always is", () => {
  const withOne = (more: Record<string, number>): string =>
    reportOf("run", [...FALLING, { global_step: 50, loss: 1, ...more }]);
  for (const key of ["rewards/a/mean", "eval_rewards/my/own/std", "val/explained_variance"]) {
    assert.doesNotMatch(withOne({ [key]: Number.NaN }), /NaN or infinity/, key);
    assert.match(withOne({ [key]: Number.POSITIVE_INFINITY }), /1 row of metrics holds NaN or infinity/, key);
  }
  assert.match(withOne({ "rewards/margins": Number.NaN }), /1 row of metrics holds NaN or infinity/);
});

test("a run without metrics has a report that says so", () => {
  assert.match(reportOf("empty", []), /No metrics yet \(logged every 10 steps\)/);
});

test("changes since the start come from the run where it logs them", () => {
  const own = [{ global_step: 1, "logps/chosen_delta_init": 5, "logps/chosen_mean": -1 }];
  assert.equal(withDisplacement(own)[0]?.["logps/chosen_delta_init"], 5);
  const sums = [-100, -90].map((sum, i) => ({ global_step: i, "eval_logps/chosen": sum }));
  assert.equal(withDisplacement(sums)[1]?.["eval_logps/chosen_delta_init"], 10);
});

test("points lie where their values are", () => {
  const chart = {
    title: "t",
    unit: "",
    xLabel: "step",
    series: [
      {
        name: "a",
        colour: 1,
        isEval: false,
        points: [
          [0, 0],
          [50, 5],
          [100, 10],
        ] as [number, number][],
      },
    ],
  };
  const path = /class="line" d="([^"]+)"/.exec(chartHtml(chart).text)?.[1] ?? "";
  const [first, middle, last] = path
    .split(/[ML]/)
    .slice(1)
    .map((point) => point.split(" ").map(Number));
  assert.ok(first !== undefined && middle !== undefined && last !== undefined);
  assert.equal(middle[0], ((first[0] ?? 0) + (last[0] ?? 0)) / 2);
  assert.ok(Math.abs((middle[1] ?? 0) - ((first[1] ?? 0) + (last[1] ?? 0)) / 2) <= 0.1);
  assert.ok((last[1] ?? 0) < (first[1] ?? 0), "up is greater");
});

test("an axis of shares has no figure that a share cannot have, whatever a line that is flat at 1 or 0 leaves around it", () => {
  const heightsOf = (unit: string, value: number): string[] => {
    const points = [0, 10].map((step): [number, number] => [step, value]);
    const series = [{ name: "a", colour: 1, isEval: false, points } as const];
    const page = chartHtml({ title: "t", unit, xLabel: "step", series }).text;
    return [...page.matchAll(/text-anchor="end">([^<]*)</g)].map(([, text]) => String(text));
  };
  assert.deepEqual(heightsOf("share", 1), ["0.9", "0.95", "1"]);
  assert.deepEqual(heightsOf("nats", 1), ["0.9", "0.95", "1", "1.05", "1.1"]);
  assert.deepEqual(heightsOf("share", 0), ["0", "0.5", "1"]);
});

test("thinning keeps spikes", () => {
  const points = Array.from({ length: 20_000 }, (_, i): [number, number] => [
    i,
    i === 7777 ? 99 : Math.sin(i),
  ]);
  const page = chartHtml({
    title: "t",
    unit: "",
    xLabel: "step",
    series: [{ name: "a", colour: 1, isEval: false, points }],
  }).text;
  const path = /class="line" d="([^"]+)"/.exec(page)?.[1] ?? "";
  const heights = path
    .split(/[ML]/)
    .slice(1)
    .map((point) => Number(point.split(" ")[1]));
  assert.ok(heights.length <= 420, `${heights.length} points`);
  assert.ok(Math.min(...heights) < 30, "the spike reaches the top");
});

test("chosen fills at least half of its panel where rejected moves a hundred times as far", () => {
  const rows = Array.from({ length: 20 }, (_, i) => ({
    global_step: i,
    "eval_logps/chosen_delta_init": 0.01 * Math.sin(i / 3),
    "eval_logps/rejected_delta_init": -i / 19,
  }));
  const page = reportOf("run", rows);
  const panel = page.slice(page.indexOf('aria-label="Chosen answers since the start'));
  const path = /class="line eval" d="([^"]+)"/.exec(panel)?.[1] ?? "";
  const heights = [...path.matchAll(/[ML][\d.]+ ([\d.]+)/g)].map((match) => Number(match[1]));
  assert.equal(heights.length, 20);
  // the plot reaches from 10 to 200
  assert.ok(Math.max(...heights) - Math.min(...heights) >= 95, `${heights}`);
});

test("no absolute path of the machine is in the page", () => {
  const dir = join(root, "blank names", "of a run");
  const data = join(root, "blank names", "my data.jsonl");
  const resolved = loadConfig({
    values: { model_name_or_path: join(root, "base"), train_data: data, output_dir: dir },
  });
  const run = createRun(resolved);
  run.log("failed", { message: `${data}:3: no row. See ${join(root, "elsewhere", "x.txt")}.` });
  const finding = {
    severity: "warning",
    code: "x",
    count: 1,
    rows: [`${data}:1`],
    message: `in ${data}`,
    remedy: "Mend it.",
  };
  run.saveJson(run.paths.preflight, { findings: [finding], counts: { read: 1 } });
  run.saveJson(run.paths.exportJson, [
    {
      kind: "model",
      path: join(dir, "model"),
      dtype: "float32",
      tokens: 1,
      answers: 1,
      maxDifference: 0,
      meanDifference: 0,
      tolerance: 1,
    },
  ]);
  run.release();
  const page = readFileSync(writeReport(dir), "utf8");
  assert.ok(
    !page.includes(root) && !page.includes(tmpdir()),
    page.slice(page.indexOf(tmpdir()) - 80, page.indexOf(tmpdir()) + 80),
  );
  assert.match(page, /Failed at step 0/);
  assert.match(page, /blank names\/my data\.jsonl:3: no row/);
});

test("a known path is shortened where it is a whole one, not in the middle of another", () => {
  const home = process.env["HOME"];
  process.env["HOME"] = "/data";
  const shorten = pathShortener([]);
  process.env["HOME"] = home ?? "";
  const kept = [
    "org/data.jsonl",
    "train_data: org/data-v2",
    "https://h/data/x",
    "sets/data/a.jsonl",
    "/database",
  ];
  for (const text of kept) assert.equal(shorten(text), text);
  for (const [text, short] of [
    ["/data/a.jsonl:3: no row", "…/data/a.jsonl:3: no row"],
    ["it is in /data.", "it is in …/data."],
    ["- path: /data/my rows/a.jsonl", "- path: …/data/my rows/a.jsonl"],
    ["see file:///data/a and at:/data", "see file://…/data/a and at:…/data"],
  ] as const)
    assert.equal(shorten(text), short);
});

test("a run tells what it is at: left by a killed process, running, broken off", () => {
  const dir = join(root, "states");
  const run = createRun(
    loadConfig({ values: { model_name_or_path: "m", train_data: "a", output_dir: dir } }),
  );
  run.log("start", { step: 0, total_steps: 9 });
  const page = (): string => readFileSync(writeReport(dir), "utf8");
  assert.match(page(), /Running at step 0 of 9/);
  assert.match(page(), /no figures yet: training reads .* after 10 steps \(logging_steps\)/);
  const own = readFileSync(run.paths.lock, "utf8");
  writeFileSync(run.paths.lock, JSON.stringify({ ...JSON.parse(own), pid: 2 ** 22 + 5, thread: null }));
  assert.match(
    page(),
    /class="error">The run was killed at step 0 or after.*no figures yet: it ended before.*preftune train states\/config\.yaml --resume/s,
  );
  writeFileSync(run.paths.lock, own);
  run.release();
  assert.match(page(), /ended at step 0 or after without saying so/);
});
