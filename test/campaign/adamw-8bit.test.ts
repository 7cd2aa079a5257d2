/** `optim: adamw_8bit` and `adamw_bf16` train as float32 averages do: held-out loss after 200 steps, against the spread of float32's seeds. */
import { test } from "node:test";
import { amount, figure, isNightly } from "../support/campaign.ts";
import { evaluationsOf, runFixture, runTraining, type Values } from "../support/runs.ts";
import type { TinyModelOptions } from "../support/tiny-model.ts";

// matrices of more than 4,096 weights, so that their averages are in 8 bits
const models: Record<string, TinyModelOptions> = {
  "Llama, 4 layers of 64": {
    family: "llama_tied",
    config: {
      ...{ hidden_size: 64, intermediate_size: 192, num_hidden_layers: 4 },
      ...{ num_attention_heads: 4, num_key_value_heads: 2, head_dim: 16 },
    },
  },
  "Qwen3, 2 layers of 96, vocabulary 2,000": {
    family: "qwen3",
    config: {
      ...{ hidden_size: 96, intermediate_size: 256, num_hidden_layers: 2, vocab_size: 2000 },
      ...{ num_attention_heads: 4, num_key_value_heads: 2, head_dim: 32 },
    },
  },
};
const steps = amount(100, 200);
const seeds = Array.from({ length: amount(2, 5) }, (_, i) => i + 1);

const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;

for (const [name, options] of Object.entries(models).slice(0, amount(1, 2))) {
  test(`${name}: ${steps} steps in fewer bits end within the spread of float32's seeds`, async () => {
    using fixture = runFixture({ rows: 64, held: 32, ...options });
    const run: Values = {
      ...{ ...fixture.values, objective: "slime", learning_rate: 3e-4, weight_decay: 0.01 },
      ...{
        per_device_train_batch_size: amount(2, 4),
        max_steps: steps,
        save_strategy: "no",
        eval_on_start: false,
      },
      ...{ eval_strategy: "steps", eval_steps: steps },
    };
    const endOf = async (optim: string, seed: number): Promise<number> => {
      const record = await runTraining({ ...run, optim, seed, output_dir: fixture.path(`${optim}-${seed}`) });
      return Number(evaluationsOf(record).at(-1)?.["eval_loss"]);
    };
    const endsOf = async (optim: string): Promise<number[]> => {
      const ends: number[] = [];
      for (const seed of seeds) ends.push(await endOf(optim, seed));
      return ends;
    };
    const float = await endsOf("adamw_torch_fused");
    const spread = Math.max(...float) - Math.min(...float);
    const of = `${seeds.length} seeds, ${steps} steps${isNightly ? "" : " (short)"}`;
    for (const optim of ["adamw_8bit", "adamw_bf16"].slice(0, amount(1, 2))) {
      const apart = mean(await endsOf(optim)) - mean(float);
      const reached = `${apart.toFixed(4)} of mean held-out loss ${mean(float).toFixed(4)}, spread ${spread.toFixed(4)}`;
      figure(26, `${optim}, ${name}, ${of}`, reached, "within the spread", Math.abs(apart) <= spread);
    }
  });
}
