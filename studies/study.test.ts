/** Each study on a tiny model, end to end. */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { readJsonLines } from "../src/runs/json-lines.ts";
import { runFixture } from "../test/support/runs.ts";
import { tinyStudy } from "../test/support/study.ts";
import { STUDY_NAMES } from "./names.ts";
import { STUDIES } from "./studies.ts";
import { study } from "./study.ts";

test("an unknown key of a configuration is refused before any run begins", async () => {
  using place = runFixture({ rows: 12, held: 4 });
  const options = tinyStudy(place, "anchoring", { lamda_w: 1 });
  await assert.rejects(study(options), /unknown key "lamda_w"\. Did you mean "lambda_w"/);
  assert.ok(!existsSync(join(options.output, "runs")));
});

test("a word of the command line that is wrong in every run is refused before models are made", async () => {
  using place = runFixture({ rows: 12, held: 4 });
  for (const [words, message] of [
    [{ dry_run: true }, /^ConfigError: --dry_run: unknown key "dry_run"/],
    [{ learning_rate: "nan" }, /^ConfigError: --learning_rate: expected a number at least 0/],
    [{ seed: 7 }, /^ConfigError: --seed: each run has its own seed: take it out\. .*--seeds N/],
    [{ output_dir: "x" }, /^ConfigError: --output_dir: each run has its own output_dir: .*--output names/],
    [{ objective: "dpo" }, /^ConfigError: anchoring decides objective itself, .*take --objective out/],
    // LoRA's values, which the fixture gives, where a model is trained in full
    [{}, /^ConfigError: run slime-script-s1: --lora_r: lora_r has no effect here/],
  ] as const) {
    const options = tinyStudy(place, "anchoring", words);
    const generated = { ...options, config: null, model: null, data: null, evalData: null };
    await assert.rejects(study(generated), message);
    await assert.rejects(study({ ...generated, evalData: "e.jsonl" }), /^ConfigError: /);
    assert.ok(!existsSync(join(options.output, "setup")));
  }
});

test("the runs of every study on generated data are accepted before the first model is made", async () => {
  using place = runFixture({ rows: 6, held: 4 });
  for (const name of STUDY_NAMES) {
    const options = { ...tinyStudy(place, name), overrides: [], seeds: null, signal: AbortSignal.abort() };
    const generated = { ...options, config: null, model: null, data: null, evalData: null };
    await assert.rejects(
      study({ ...generated, otherData: null, otherEvalData: null }),
      /^StudyStoppedError: stopped while SFT models were made/,
      name,
    );
  }
});

for (const name of STUDY_NAMES) {
  test(`study ${name}, end to end on a tiny model`, async () => {
    using place = runFixture({ rows: 6, held: 4 });
    const watched = STUDIES[name].needsAnswers
      ? { watch_rows: 2, watch_samples: 2, watch_max_new_tokens: 4 }
      : {};
    const { report, results, runs, summary } = await study(tinyStudy(place, name, watched));
    assert.doesNotMatch(summary, /Failed/);
    const rows = readJsonLines(results).map(
      ({ value }) =>
        value as { metric: string; value: number; low: number; high: number; seeds: number; pairs: number },
    );
    assert.ok(rows.length > 0);
    for (const { metric, value, low, high, seeds, pairs } of rows) {
      // a figure of a run says nothing of its spread, nor does that of the one answer that is long enough for it
      const hasNone = seeds < 2 && ["tail", "other_text"].includes(metric);
      const mayHaveNone = seeds < 2 && ["distinct_2", "repetition"].includes(metric);
      const isNone = Number.isNaN(low) && Number.isNaN(high);
      const isRight = hasNone || (mayHaveNone && isNone) ? isNone : low <= high && pairs > 0;
      assert.ok(
        Number.isNaN(value) || isRight,
        `${metric} ${value} [${low}, ${high}] of ${seeds} × ${pairs}`,
      );
    }
    assert.ok(readJsonLines(runs).every(({ value }) => (value as { status: string }).status === "done"));
    const page = readFileSync(report, "utf8");
    assert.ok(page.includes(`<h1>${STUDIES[name].title.split(":")[0]}`));
    assert.doesNotMatch(page, /NaN|undefined|\[object/);
    assert.doesNotMatch(
      page,
      /<(script|link|img|iframe)|(src|href)=|@import|url\(|https?:/,
      "nothing is loaded",
    );
    assert.ok(readdirSync(place.path(name, "runs")).length > 0);
  });
}
