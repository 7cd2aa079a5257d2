/** Whole optimiser steps of SFT with an adapter against PEFT and `torch.optim.AdamW`: losses, norms and what was learnt. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Example } from "../../src/data/example.ts";
import { adapterParameters } from "../../src/train/parameters.ts";
import type { Training } from "../../src/train/step.ts";
import { assertClose, withoutLeaks } from "../support/close.ts";
import { microBatch } from "../support/fixtures.ts";
import { type GoldenRun, goldenSteps, goldenTraining } from "../support/golden-steps.ts";
import { float32, golden } from "../support/goldens.ts";
import { adaptPatterned, type TinyName, tinyAdapterConfig, tinyModel } from "../support/tiny-models.ts";

interface Steps extends GoldenRun {
  model: TinyName;
  rank: number;
  alpha: number;
  targets: string[];
  useRslora: boolean;
  useDora: boolean;
  after: Record<string, number[]>;
}

const { steps, rows } = golden<{ steps: Steps[]; rows: { promptIds: number[]; answer: number[] }[] }>(
  "models",
);

const examples: Example[] = rows.map(({ promptIds, answer }, i) => ({
  origin: { file: "goldens/models.json", line: i + 1 },
  promptIds,
  completions: [{ ids: answer }],
}));

function trainingOf(run: Steps, gradient_checkpointing: boolean): Training {
  const { rank, alpha, targets, useRslora, useDora } = run;
  const model = tinyModel(run.model);
  const config = tinyAdapterConfig({ rank, alpha, targetModules: targets, useRslora, useDora });
  const adapter = adaptPatterned(model, config);
  const parameters = adapterParameters(model);
  return goldenTraining(run, { model, adapter, parameters }, gradient_checkpointing);
}

const cuts = {
  "one batch": [microBatch(examples)],
  "a batch of each row": examples.map((example, i) => microBatch([example], true, i)),
};

for (const run of steps) {
  for (const [cut, batches] of Object.entries(cuts)) {
    const name = `${run.model}, ${run.useDora ? "DoRA" : "LoRA"}, ${cut}`;
    test(`${name}: three steps of SFT as PEFT and torch do them`, () => {
      withoutLeaks(() => {
        const training = trainingOf(run, cut !== "one batch");
        const results = goldenSteps(run, training, batches);
        assert.ok(results.every((result) => result.skipped === null));
        assertClose(
          results.map((r) => r.loss),
          run.losses,
          { rtol: 1e-5 },
        );
        assertClose(
          results.map((r) => r.gradNorm),
          run.gradNorms,
          { rtol: 1e-4 },
        );
        const got = training.parameters.tensors;
        assert.deepEqual([...got.keys()].sort(), Object.keys(run.after).sort());
        for (const [parameter, values] of Object.entries(run.after)) {
          // each of three steps moves an element by about the learning rate, 1e-2
          assertClose(got.get(parameter)?.toNumbers() ?? [], float32(values), { atol: 2e-5 });
        }
      });
    });
  }
}
