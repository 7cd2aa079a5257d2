/** Scoring with an objective that compares: where the reference comes from. */
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { after, test } from "node:test";
import { assertClose } from "../../test/support/close.ts";
import { runFixture } from "../../test/support/runs.ts";
import { tinyModel } from "../../test/support/tiny-models.ts";
import { loadMethod } from "../config/load-config.ts";
import { objectiveOf } from "../methods/losses.ts";
import { writeMergedModel } from "../models/save.ts";
import { type ScoreOptions, score } from "./score.ts";

const fixture = runFixture({ rows: 2, held: 4 });
after(() => fixture[Symbol.dispose]());
const model = String(fixture.values["model_name_or_path"]);
const data = fixture.path("held.jsonl");
const machine = { device: "cpu", dtype: "float32", threads: 1 } as const;

function scored(options: Partial<ScoreOptions>, objective = "dpo"): ReturnType<typeof score> {
  return score({ ...machine, model, data, objective: objectiveOf(loadMethod({ objective })), ...options });
}

/** The rows with sums of a reference. */
function rowsWithSums(): string {
  const path = fixture.path("sums.jsonl");
  const rows = readFileSync(data, "utf8").trim().split("\n");
  const sums = { ref_chosen_logps: -1, ref_rejected_logps: -2 };
  writeFileSync(path, rows.map((row) => JSON.stringify({ ...JSON.parse(row), ...sums })).join("\n"));
  return path;
}

test("the reference that is named counts, whatever sums the rows bring; these count else", async () => {
  const sums = rowsWithSums();
  const named = await scored({ data: sums, reference: model });
  // a model beside itself
  assertClose(named.objective?.metrics["rewards/chosen"] ?? Number.NaN, 0, { atol: 1e-6 });
  const given = await scored({ data: sums });
  const mean = given.rows.reduce((sum, row) => sum + row["logps/chosen"] + 1, 0) / given.rows.length;
  assertClose(given.objective?.metrics["rewards/chosen"] ?? Number.NaN, 0.1 * mean, { rtol: 1e-6 });
});

test("without a reference, or with one of other tokens, nothing is loaded, and the ways to one are those that the rows can go", async () => {
  const phases: string[] = [];
  const onPhase = (phase: string) => phases.push(phase);
  await assert.rejects(
    scored({ onPhase }),
    /dpo needs reference log-probs: name .* --reference DIR, or score an adapter, or give rows with ref_chosen_logps/,
  );
  const labelled = fixture.path("labelled.jsonl");
  writeFileSync(
    labelled,
    [true, false]
      .map((label) => JSON.stringify({ prompt: "a b", completion: label ? " c" : " d", label }))
      .join("\n"),
  );
  await assert.rejects(
    scored({ data: labelled, onPhase }, "kto"),
    /kto needs reference log-probs: name the model trained from with --reference DIR, or score an adapter\.$/,
  );
  // fewer tokens than the rows have
  const reference = fixture.path("few-tokens");
  mkdirSync(reference);
  writeMergedModel(reference, tinyModel("llama_tied"), "float32");
  await assert.rejects(
    scored({ onPhase, reference }),
    /few-tokens: expected a reference of the same tokens as the model, it has \d+, and .*held\.jsonl:1 has the token \d+/,
  );
  assert.ok(!phases.includes("models loaded"), phases.join());
});
