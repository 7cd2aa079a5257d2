/** Reports: complete, escaped, self-contained, and truthful about displacement and NaN. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { loadConfig } from "../config/load-config.ts";
import { type MetricRow, MetricsWriter } from "../runs/metrics.ts";
import { createRun } from "../runs/run-directory.ts";
import { chartHtml } from "./line-chart.ts";
import { withDisplacement } from "./metric-series.ts";
import { writeComparison, writeReport } from "./run-report.ts";

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
  assert.match(
    page,
    /aria-label="Log-likelihood since the start in nats\/token: .*chosen.* from 0 to -0\.3; .*rejected.* from 0 to -1\.5"/,
  );
  const rising = HELD_OUT.map((row) => ({ ...row, "eval_logps/chosen_mean": -1 + row.global_step / 100 }));
  assert.ok(!reportOf("run", rising).includes("Likelihood displacement"));
  // two windows of training rows are different answers: nothing can be said
  assert.ok(!reportOf("run", FALLING).includes("Likelihood displacement"));
});

test("NaN is a gap with a mark, not a zero", () => {
  const rows = FALLING.map((row) => (row.global_step === 20 ? { ...row, loss: Number.NaN } : row));
  const page = reportOf("run", rows);
  assert.match(page, /1 row holds NaN or infinity \(marked ×\), at step 20\./);
  assert.match(page, /<title>loss, step 20: NaN<\/title>/);
  const loss = page.slice(page.indexOf(">Loss"));
  const path = /class="line" d="([^"]+)"/.exec(loss.slice(loss.indexOf('class="chart"')))?.[1] ?? "";
  assert.equal(path.match(/M/g)?.length, 2);
  assert.ok(!path.includes("NaN"));
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

test("a comparison has the table and a line per run", () => {
  const path = join(root, "compare.html");
  const table = {
    columns: ["objective", "accuracy", "time"],
    rows: [
      ["DPO", 0.5, "3 s"],
      ["<SLIME>", null, "4 s"],
    ],
  };
  writeComparison(
    [
      { name: "DPO", metrics: [...FALLING, ...HELD_OUT] },
      { name: "<SLIME>", metrics: [...FALLING, ...HELD_OUT] },
    ],
    { title: "Quick start", intro: ["What happened."], table },
    path,
  );
  const page = readFileSync(path, "utf8");
  assert.match(
    page,
    /<th scope="row">&#60;SLIME&#62;<\/th>\n<td class="number">–<\/td>\n<td class="number">4 s<\/td>/,
  );
  assert.match(page, /aria-label="Loss in nats: DPO from 2 to 1\.25; &#60;SLIME&#62; from 2 to 1\.25"/);
  assert.ok(page.includes("Log-likelihood since the start: rejected"));
});
