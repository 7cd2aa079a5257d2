/** Many rollouts in one process, with their memory. */
import assert from "node:assert/strict";
import { amount, figure, isNightly } from "./campaign.ts";
import { onlineFixture } from "./online-run.ts";
import type { Values } from "./runs.ts";
import { growth, soak, tensorsLeft } from "./soak.ts";
import { writeRows } from "./tiny-model.ts";

/** How many rollouts there are at night, and until when caches fill, which is not judged. */
const usual = { count: 1000, warmUp: 50 };

/**
 * Trains on many rollouts; short form: a hundred, the first 50 of which are not judged.
 *
 * @param name - to follow "Rollouts of an on-policy run"
 * @param kind - configuration values
 * @param rows - prompts; left out: the fixture's
 * @param atNight - how many
 */
export async function soakRollouts(
  name: string = "",
  kind: Values = {},
  rows: readonly { prompt: string }[] | null = null,
  atNight: typeof usual = usual,
): Promise<void> {
  using fixture = onlineFixture({ rows: 16, config: { hidden_size: 16, intermediate_size: 32 } });
  const rollouts = amount(100, atNight.count);
  const warmUp = amount(usual.warmUp, atNight.warmUp);
  const { save_steps: _, ...online } = fixture.online;
  const data = rows === null ? {} : { train_data: writeRows(fixture.path("other-prompts.jsonl"), rows) };
  const values = {
    ...{ ...online, ...data, ...kind },
    ...{ max_steps: rollouts, output_dir: fixture.path("run"), save_strategy: "no", logging_steps: 10 },
  };
  const samples = (await soak(values, 10)).filter(({ step }) => step >= warmUp);
  const left = tensorsLeft(samples);
  const grown = 100 * growth(samples);
  assert.equal(left, 0, "live tensors");
  figure(
    15,
    `Rollouts of an on-policy run${name}`,
    `${rollouts.toLocaleString("en")} rollouts, ${left} live tensors more or less, ${grown.toFixed(2)} MiB more in 100 after the first ${warmUp}`,
    `${rollouts.toLocaleString("en")} rollouts, 0 tensors, below 1 MiB in 100`,
    !isNightly || grown < 1,
  );
}
