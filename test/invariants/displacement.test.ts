/** Drift and tail of a run are those of its export, recomputed from `score --per-token`; what its evaluations say besides. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { sha256File } from "../../src/base/files.ts";
import { readSealed, sealed } from "../../src/base/sealed.ts";
import { score } from "../../src/recipes/score.ts";
import { readEvaluations } from "../../src/runs/evaluation-records.ts";
import { readPairTokens } from "../../src/runs/pair-tokens.ts";
import { readFingerprints } from "../../src/runs/run-directory.ts";
import { evaluationsOf, notesOf, runFixture, runTraining, type Values } from "../support/runs.ts";
import { pairRows, writeRows } from "../support/tiny-model.ts";

const fixture = runFixture({ rows: 16, held: 6 });
after(() => fixture[Symbol.dispose]());

const common: Values = {
  ...fixture.values,
  use_peft: true,
  lora_r: 4,
  learning_rate: 2e-2,
  per_device_train_batch_size: 8,
  max_steps: 4,
  eval_strategy: "steps",
  eval_steps: 2,
  save_strategy: "no",
};
const dir = fixture.path("run");
// two of these four rows are training rows
const other = writeRows(fixture.path("other.jsonl"), pairRows(18).slice(14));
const finished = runTraining({ ...common, drift_data: other, output_dir: dir });

async function tokensOf(data: string, adapter: string | null) {
  const base = { model: fixture.path("base"), device: "cpu", dtype: "float32", threads: 1 } as const;
  const { rows } = await score({ ...base, adapter, data, perToken: true });
  return rows;
}

/** As numpy.quantile has it. */
function quantile(values: number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const place = share * (sorted.length - 1);
  const [low = 0, high = low] = sorted.slice(Math.floor(place));
  return low + (place - Math.floor(place)) * (high - low);
}

test("drift, tail and the change of other text are those of a plain recomputation from score --per-token", async () => {
  const rows = evaluationsOf(await finished);
  const [start, last] = [rows[0], rows.at(-1)];
  const held = fixture.path("held.jsonl");
  const [before, now] = [await tokensOf(held, null), await tokensOf(held, join(dir, "adapter"))];
  for (const [role, name] of [
    ["chosen", "token_change"],
    ["rejected", "rejected_token_change"],
  ] as const) {
    const key = `token_logps/${role}` as const;
    const changes = now.flatMap((row, i) =>
      (row[key] ?? []).map((logp, t) => logp - (before[i]?.[key]?.[t] ?? Number.NaN)),
    );
    const drift = changes.reduce((sum, change) => sum + Math.abs(change), 0) / changes.length;
    const [drifted, tailed] = [`eval_displacement/${name}_mean_abs`, `eval_displacement/${name}_p01`];
    assert.ok(drift > 0.01, `${drift}`);
    assert.ok(Math.abs(Number(last?.[drifted]) - drift) < 1e-6, `${last?.[drifted]}, ${drift}`);
    assert.ok(Math.abs(Number(last?.[tailed]) - quantile(changes, 0.01)) < 1e-6);
    assert.deepEqual([start?.[drifted], start?.[tailed]], [0, 0]);
  }
  const meanOf = (scored: Awaited<ReturnType<typeof tokensOf>>) => {
    const all = scored.flatMap((row) => row["token_logps/chosen"] ?? []);
    return all.reduce((sum, logp) => sum + logp, 0) / all.length;
  };
  const change = meanOf(await tokensOf(other, join(dir, "adapter"))) - meanOf(await tokensOf(other, null));
  assert.ok(Math.abs(Number(last?.["eval_displacement/other_text_change"]) - change) < 1e-5);
});

test("the tokens that lost most are recorded and reported in their answers; drift_data that is trained on is warned of", async () => {
  const { events, summary } = await finished;
  assert.deepEqual(
    notesOf({ events }).filter((note) => note.startsWith("drift_data")),
    [
      "drift_data: 2 of its 4 rows are training rows too: what training does to them says nothing about other text. Take them out.",
    ],
  );
  const record = readEvaluations(join(dir, "evaluations.jsonl")).at(-1);
  const fallen = record?.fallen_tokens ?? [];
  assert.ok(fallen.length >= 1 && fallen.length <= 5);
  const changes = fallen.map(({ change }) => change);
  assert.deepEqual(
    changes,
    changes.toSorted((a, b) => a - b),
  );
  assert.ok(changes.every((change) => change < 0));
  assert.equal(new Set(fallen.map(({ row }) => row)).size, fallen.length);
  assert.equal(record?.other_text, "4 rows of drift_data");
  const report = readFileSync(summary.report, "utf8");
  assert.match(report, /Tokens of chosen answers that lost most/);
  assert.match(report, /Drift of single tokens/);
  assert.match(report, /Other text: 4 rows of drift_data/);
});

test("bounds on drift and tail stop a run without sampled answers, and go back to the checkpoint before", async () => {
  const bounds = { ...common, watch_thresholds: { drift: 0.01, tail: 0.01 }, watch_action: "stop" };
  const { summary } = await runTraining({ ...bounds, output_dir: fixture.path("bounded") });
  assert.equal(summary.reason, "collapsed");
  assert.match(
    summary.collapse?.breaches.join("; ") ?? "",
    /token_change_mean_abs rose by more than 0\.01 since step 0: .*token_change_p01 fell by more than 0\.01/,
  );
});

test("a bound on chosen answers alone is judged without sampled ones", async () => {
  const bounds = { ...common, watch_thresholds: { chosen_down: 0.01 }, watch_action: "stop" };
  const simpo = { objective: "simpo", simpo_gamma: 5, max_steps: 8 };
  const { summary } = await runTraining({ ...bounds, ...simpo, output_dir: fixture.path("fallen") });
  assert.equal(summary.reason, "collapsed");
  assert.match(String(summary.collapse?.breaches), /frac_chosen_down rose by more than 0\.01 since step 0/);
});

test("drift_data without rows, and where nothing is evaluated, is refused", async () => {
  const empty = writeRows(fixture.path("empty.jsonl"), []);
  await assert.rejects(
    runTraining({ ...common, drift_data: empty, output_dir: fixture.path("refused") }),
    /empty\.jsonl: expected rows, found none/,
  );
  await assert.rejects(
    runTraining({ ...common, drift_data: other, eval_strategy: "no", eval_steps: null, output_dir: "none" }),
    /drift_data has no effect here: eval_strategy is no, so nothing is measured/,
  );
});

test("drift_data that was edited between is noticed by its file, and compared with nothing of before", async () => {
  const run = fixture.path("edited");
  const often = { save_strategy: "steps", save_steps: 1, eval_steps: 1, lr_scheduler_type: "constant" };
  const own = writeRows(fixture.path("own.jsonl"), pairRows(40).slice(30));
  const values = { ...common, ...often, drift_data: own, output_dir: run };
  await runTraining({ ...values, max_steps: 2 });
  const fingerprint = () => readFingerprints(join(run, "fingerprints.json")).data["drift_data[0]/own.jsonl"];
  const before = sha256File(own);
  assert.equal(fingerprint(), before);
  writeRows(own, pairRows(60).slice(50));
  const resumed = await runTraining({ ...values, resume_from_checkpoint: "latest", max_steps: 3 });
  assert.deepEqual(
    notesOf(resumed).filter((note) => /other text|drift_data/.test(note)),
    [
      `changed since the run began: data drift_data[0]/own.jsonl: ${before}, now ${sha256File(own)}`,
      "other text is another than before: its change is measured from step 3 on",
    ],
  );
  assert.equal(evaluationsOf(resumed).at(-1)?.["eval_displacement/other_text_change"], 0);
});

test("resumed with other text, or with none of the start's tokens, it says since when they are compared", async () => {
  const run = fixture.path("rebased");
  const often = { save_strategy: "steps", save_steps: 1, eval_steps: 1, lr_scheduler_type: "constant" };
  const values = { ...common, ...often, output_dir: run };
  await runTraining({ ...values, max_steps: 2, drift_data: other });
  const another = writeRows(fixture.path("another.jsonl"), pairRows(40).slice(30));
  const further = { ...values, drift_data: another, resume_from_checkpoint: "latest" };
  const notes = notesOf(await runTraining({ ...further, max_steps: 3 })).join("\n");
  assert.match(notes, /^other text is another than before: its change is measured from step 3 on$/m);
  const records = readEvaluations(join(run, "evaluations.jsonl"));
  assert.deepEqual(
    records.map(({ other_text_start: since }) => since),
    [0, 0, 0, 3],
  );
  const report = () => readFileSync(join(run, "report.html"), "utf8");
  assert.match(report(), /Other text: 10 rows of drift_data, measured from step 3 on/);
  // as earlier versions left it
  const path = join(run, "evaluation-start.json");
  const { tokens: _, ...rest } = readSealed(path);
  writeFileSync(path, sealed(JSON.stringify(rest)));
  const bounded = { ...further, max_steps: 5, watch_thresholds: { drift: 1e-4 } };
  const record = await runTraining(bounded);
  const said = notesOf(record).join("\n");
  assert.match(
    said,
    /0 log-probs of held-out tokens are kept, not \d+: drift and tail are measured from step 4 on/,
  );
  assert.deepEqual(
    evaluationsOf(record).map((row) => row["eval_displacement/token_change_mean_abs"] === 0),
    [true, false],
  );
  const breaches = record.events.flatMap((event) => (event.type === "collapse" ? event.breaches : []));
  assert.match(breaches.join(), /token_change_mean_abs rose by more than 0\.0001 since step 4/);
});

test("the tokens of the pairs are kept with their log-probs at the start and at the last evaluation, as score gives them", async () => {
  await finished;
  const kept = readPairTokens(join(dir, "pair-tokens.json"));
  const records = readEvaluations(join(dir, "evaluations.jsonl"));
  assert.deepEqual([kept?.start, kept?.step], [records[0]?.global_step, records.at(-1)?.global_step]);
  const rows = records.at(-1)?.pair_rows ?? [];
  assert.deepEqual(
    Object.keys(kept?.pairs ?? {}),
    rows.map(([, key]) => key),
  );
  const held = fixture.path("held.jsonl");
  const scored = [await tokensOf(held, null), await tokensOf(held, join(dir, "adapter"))];
  for (const [place, key] of rows) {
    const tokens = kept?.pairs[key];
    for (const role of ["chosen", "rejected"] as const) {
      assert.equal(tokens?.[role].texts.length, tokens?.[role].now.length);
      const [before, now] = scored.map(
        (file) => file.find(({ line }) => place.endsWith(`:${line}`))?.[`token_logps/${role}`] ?? [],
      );
      for (const [name, wanted] of Object.entries({ before, now })) {
        const got = tokens?.[role][name as "before" | "now"] ?? [];
        assert.equal(got.length, wanted?.length);
        for (const [t, logp] of got.entries())
          assert.ok(Math.abs(logp - (wanted?.[t] ?? Number.NaN)) < 2e-3, `${place} ${role} ${name} ${t}`);
      }
    }
  }
});
