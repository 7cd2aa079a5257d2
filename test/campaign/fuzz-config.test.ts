/** Mutated config.json, generation_config.json and adapter_config.json: read, or refused by name. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { PreftuneError } from "../../src/base/errors.ts";
import { readJsonFile } from "../../src/base/files.ts";
import { settingsLimits } from "../../src/base/json-limits.ts";
import type { Random } from "../../src/base/random.ts";
import { loraScale, parseAdapterConfig } from "../../src/formats/adapter-config.ts";
import { matchTargets } from "../../src/formats/adapter-names.ts";
import { readModelConfig } from "../../src/formats/hf-config.ts";
import { amount, figure } from "../support/campaign.ts";
import { fuzz, isUnharmed, mutatedJson, reached } from "../support/fuzz.ts";
import { llama32 } from "../support/sample-configs.ts";
import { scratch } from "../support/scratch.ts";
import { tinyConfig } from "../support/tiny-models.ts";

const dir = mkdtempSync(join(scratch(), "fuzz-config-"));
after(() => rmSync(dir, { recursive: true, force: true }));

const models = [llama32, ...(["llama_tied", "qwen3", "gemma3"] as const).map((name) => tinyConfig(name))];
const generation = { eos_token_id: [1, 2], pad_token_id: 0, temperature: 0.6, top_p: 0.9, do_sample: true };
const adapter = {
  peft_type: "LORA",
  task_type: "CAUSAL_LM",
  r: 8,
  lora_alpha: 16,
  lora_dropout: 0.05,
  target_modules: ["q_proj", "v_proj"],
  modules_to_save: null,
  rank_pattern: { "layers.1.self_attn.q_proj": 4, "mlp.(up|down)_proj": 2 },
  alpha_pattern: { v_proj: 32 },
  use_rslora: false,
};
const modules = [
  "model.layers.0.self_attn.q_proj",
  "model.layers.1.self_attn.v_proj",
  "model.layers.1.mlp.up_proj",
];

type Kind = "config" | "generation" | "adapter";

function make(random: Random, kind: Kind): string {
  const seeds = { config: random.pick(models), generation, adapter };
  return mutatedJson(random, seeds[kind]);
}

const sound = JSON.stringify(models[0]);
const paths = { config: "config.json", generation: "generation_config.json", adapter: "adapter_config.json" };

function feed(json: string, kind: Kind): void {
  const path = join(dir, paths[kind]);
  writeFileSync(path, json);
  try {
    if (kind === "adapter") readAdapter(path);
    else {
      if (kind === "generation") writeFileSync(join(dir, "config.json"), sound);
      readModelConfig(dir);
    }
  } finally {
    rmSync(path);
  }
}

function readAdapter(path: string): void {
  const { config, targets } = parseAdapterConfig(readJsonFile(path, settingsLimits), path);
  for (const module of matchTargets(targets, modules, config.modulesToSave)) loraScale(config, module);
}

const counts: Record<Kind, number> = {
  config: amount(2000, 1_000_000),
  generation: amount(500, 250_000),
  adapter: amount(500, 250_000),
};

for (const kind of ["config", "generation", "adapter"] as const) {
  test(paths[kind], () => {
    const outcome = fuzz(paths[kind], counts[kind], {
      make: (random) => make(random, kind),
      feed: (json) => feed(json, kind),
      isRefusal: (error) => error instanceof PreftuneError,
      show: (json) => json,
    });
    assert.deepEqual(outcome.faults, []);
    assert.ok(outcome.accepted > outcome.inputs / 20, `only ${outcome.accepted} were sound`);
    const goal = `0 crashes, 0 above 1 s in ${counts[kind].toLocaleString("en")}`;
    figure(18, `mutated ${paths[kind]}`, reached(outcome), goal, isUnharmed(outcome));
  });
}
