/** Ten thousand optimiser steps in one process: as many tensors live at the end as at the beginning, and memory stays as it is. */
import assert from "node:assert/strict";
import { amount, figure, isNightly } from "./campaign.ts";
import { runFixture, type Values } from "./runs.ts";
import { growth, soak, tensorsLeft } from "./soak.ts";
import { writeRows } from "./tiny-model.ts";

/** How many samples are taken. */
const count = 50;

/**
 * Trains ten thousand steps.
 *
 * @param name - to follow "Training steps"
 * @param kind - configuration values
 * @param rows - of token ids; left out: the fixture's
 */
export async function soakSteps(
  name: string,
  kind: Values,
  rows: readonly Record<string, number[]>[] | null = null,
): Promise<void> {
  using fixture = runFixture({ rows: 64, held: 0, config: { hidden_size: 16, intermediate_size: 32 } });
  const steps = amount(50, 10_000);
  const data = rows === null ? {} : { train_data: writeRows(fixture.path("ids.jsonl"), rows) };
  const values = {
    ...{ ...fixture.values, ...data, ...kind, max_steps: steps, output_dir: fixture.path("run") },
    ...{ per_device_train_batch_size: 2, save_strategy: "no", learning_rate: 1e-4, logging_steps: 10 },
  };
  const samples = await soak(values, steps / count);
  assert.equal(samples.length, count);
  // the first fifth fills caches
  const settled = samples.slice(count / 5);
  const left = tensorsLeft(settled);
  const grown = 1000 * growth(settled);
  figure(
    15,
    `Training steps ${name}`,
    `${steps.toLocaleString("en")} steps, ${left} live tensors more or less, ${grown.toFixed(2)} MiB more in 1,000 steps`,
    "10,000 steps, 0 tensors, below 1 MiB in 1,000 steps",
    left === 0 && (!isNightly || grown < 1),
  );
}
