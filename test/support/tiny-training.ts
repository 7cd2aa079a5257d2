/** Steps on a tiny model without a run around them: a training, rows of random tokens, and all that a step may change. */
import { createHash } from "node:crypto";
import type { Random } from "../../src/base/random.ts";
import type { Example } from "../../src/data/example.ts";
import { needsReference, type Objective, type PairObjective } from "../../src/methods/objective.ts";
import { slime } from "../../src/methods/slime/loss.ts";
import type { SlimeOptions } from "../../src/methods/slime/settings.ts";
import type { Adapter } from "../../src/models/adapt.ts";
import type { CausalLM } from "../../src/models/causal-lm.ts";
import { AdamW } from "../../src/optim/adamw.ts";
import { adapterParameters, trainAll } from "../../src/train/parameters.ts";
import type { Training } from "../../src/train/step.ts";
import { adaptPatterned, type TinyName, tinyAdapterConfig, tinyModel } from "./tiny-models.ts";

/** Ids of the tiny models' vocabulary. */
export const tinyVocabulary = 32;

/** The values of SLIME's authors' script. */
export const scriptValues: SlimeOptions = {
  lambda_w: 0.1,
  lambda_l: 0.0005,
  delta: 1.25,
  margin_hard: 1.5,
  margin_soft: 1,
  kappa: 2.5,
  power: 2.5,
  lambda_d: 1,
};

/** SLIME with the values of its authors' script. */
export const scriptSlime: PairObjective = slime(scriptValues);

/** A training of a model: in full where there is no adapter. */
export function trainingOf(
  model: CausalLM,
  adapter: Adapter | null,
  { objective, weight_decay }: { objective: Objective; weight_decay: number },
): Training {
  const parameters = adapter === null ? trainAll(model) : adapterParameters(model);
  return {
    ...{ model, adapter, parameters, objective },
    optimizer: new AdamW(parameters, {
      adam_beta1: 0.9,
      adam_beta2: 0.999,
      adam_epsilon: 1e-8,
      weight_decay,
    }),
    numerics: { dtype: "float32", gradient_checkpointing: false, logits_chunk_size: null },
    max_grad_norm: 1,
    reference: null,
  };
}

/** A training of a tiny model, in full or of an adapter with dropout. */
export function tinyTraining(
  name: TinyName,
  kind: "full" | "lora",
  objective: Objective = scriptSlime,
): Training {
  const model = tinyModel(name);
  const adapter = kind === "full" ? null : adaptPatterned(model, tinyAdapterConfig({ dropout: 0.05 }));
  return {
    ...trainingOf(model, adapter, { objective, weight_decay: 0.01 }),
    reference: needsReference(objective)
      ? ({ packed }) => ({
          referenceLogps: packed.spans.map(() => -20),
          referenceTokenLogps: new Array<number>(packed.targets.length).fill(-2),
        })
      : null,
  };
}

/** Rows of random tokens: prompts of up to `longest` tokens, answers of up to a third of that. */
export function randomRows(random: Random, count: number, longest = 12, answers = 2): Example[] {
  const ids = (most: number) =>
    Array.from({ length: 1 + random.below(most) }, () => random.below(tinyVocabulary));
  return Array.from({ length: count }, (_, i) => ({
    origin: { file: "rows.jsonl", line: i + 1 },
    promptIds: ids(longest),
    completions: Array.from({ length: answers }, () => ({ ids: ids(Math.ceil(longest / 3)) })),
  }));
}

/** SHA-256 of every weight and every number of the optimiser, bit by bit. */
export function stateHash({ parameters, optimizer }: Training): string {
  const hash = createHash("sha256");
  for (const { tensor } of parameters) hash.update(tensor.data() as Float32Array);
  for (const [, tensor] of optimizer.stateTensors()) hash.update(tensor.data() as Float32Array);
  return hash.digest("hex");
}
