/**
 * The embedding's row of `pad_token_id`, a token of the texts: steps of SFT as transformers, PEFT and `torch.optim.AdamW` take them. No
 * gradient comes to it from below, as from `nn.Embedding` with a `padding_idx`; a tied head trains it, and weight decay shrinks it.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { CausalLM } from "../../src/models/causal-lm.ts";
import { adapterParameters, trainAll } from "../../src/train/parameters.ts";
import type { StepResult, Training } from "../../src/train/step.ts";
import { assertClose, withoutLeaks } from "../support/close.ts";
import { microBatch } from "../support/fixtures.ts";
import { type GoldenRun, goldenSteps, goldenTraining } from "../support/golden-steps.ts";
import { float32, golden } from "../support/goldens.ts";
import { adaptPatterned, type TinyName, tinyAdapterConfig, tinyModel } from "../support/tiny-models.ts";

interface Case extends GoldenRun {
  model: TinyName;
  /** Whether the embedding is saved whole beside an adapter; else everything is trained. */
  isSaved: boolean;
  pad: number;
  /** The embedding's first rows, those up to one beyond `pad`. */
  rows: number[];
}

const { cases } = golden<{ cases: Case[] }>("padding-row");
const { rows } = golden<{ rows: { promptIds: number[]; answer: number[] }[] }>("models");

const batches = rows.map(({ promptIds, answer }, i) => {
  const origin = { file: "goldens/models.json", line: i + 1 };
  return microBatch([{ origin, promptIds, completions: [{ ids: answer }] }], true, i);
});

function trainingOf(run: Case, model: CausalLM): Training {
  const config = tinyAdapterConfig({ modulesToSave: ["embed_tokens"] });
  const adapter = run.isSaved ? adaptPatterned(model, config) : null;
  const parameters = run.isSaved ? adapterParameters(model) : trainAll(model);
  return goldenTraining(run, { model, adapter, parameters });
}

for (const run of cases) {
  test(`${run.model}, ${run.isSaved ? "the embedding beside an adapter" : "full tuning"}`, () => {
    withoutLeaks(() => {
      const model = tinyModel(run.model, { pad_token_id: run.pad });
      const training = trainingOf(run, model);
      const results = goldenSteps(run, training, batches);
      const seen = (of: (result: StepResult) => number) => results.map(of);
      assertClose(
        seen(({ loss }) => loss),
        run.losses,
        { rtol: 1e-5 },
      );
      assertClose(
        seen(({ gradNorm }) => gradNorm),
        run.gradNorms,
        { rtol: 1e-4 },
      );
      const table = model.model.embed_tokens.table.toNumbers().slice(0, run.rows.length);
      // each of three steps moves an element by about the learning rate, 1e-2
      assertClose(table, float32(run.rows), { atol: 2e-5 });
      assert.equal(model.config.paddingRow, run.pad);
    });
  });
}
