/** Mutated configurations in YAML: resolved, or refused by name. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { PreftuneError } from "../../src/base/errors.ts";
import type { Random } from "../../src/base/random.ts";
import { loadConfig } from "../../src/config/load-config.ts";
import { amount, figure } from "../support/campaign.ts";
import { fuzz, isUnharmed, mutateText, reached, yamlWords } from "../support/fuzz.ts";

const base = "model_name_or_path: m\ntrain_data: rows.jsonl\noutput_dir: out\n";
const lines = [
  "objective: dpo\nbeta: 0.1\n",
  "learning_rate: 5e-6\nlr_scheduler_type: cosine\nwarmup_ratio: 0.1\n",
  "train_data:\n  - path: a.jsonl\n    weight: 2\n    columns: {prompt: q, chosen: w}\n",
  "use_peft: true\nlora_r: 8\nlora_target_modules: [q_proj, v_proj]\n",
  "max_length: 512 # longest\nmax_steps: 10\n",
  "chat_template: |\n  {% for m in messages %}{{ m.content }}{% endfor %}\n",
  "eval_data: &e held.jsonl\neval_steps: 5\n",
  "device: cpu\ndtype: float32\nseed: 0x10\n",
];

function make(random: Random): string {
  const sound =
    (random.below(3) === 0 ? "" : base) +
    random.pick(lines) +
    (random.below(2) === 0 ? random.pick(lines) : "");
  return mutateText(random, sound, yamlWords);
}

test("run.yaml", () => {
  const outcome = fuzz("run.yaml", amount(500, 1_000_000), {
    make,
    feed: (yaml) => {
      loadConfig({ yaml, file: "run.yaml" });
    },
    isRefusal: (error) => error instanceof PreftuneError,
    show: (yaml) => yaml,
  });
  assert.deepEqual(outcome.faults, []);
  assert.ok(outcome.accepted > 0);
  figure(
    18,
    "mutated configurations in YAML",
    reached(outcome),
    "0 crashes, 0 above 1 s in 1,000,000",
    isUnharmed(outcome),
  );
});
