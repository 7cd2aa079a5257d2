/** Long computations on little memory: a hundred million numbers, and rollout after rollout. */
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { Engine } from "../../src/generate/engine.ts";
import { clipGradNorm } from "../../src/optim/clip.ts";
import { manualSeed, ops, scope, setThreads, type Tensor } from "../../src/torch/index.ts";
import { amount, figure, isNightly } from "../support/campaign.ts";
import { generateRequest } from "../support/generate-request.ts";
import { residentMiB } from "../support/memory.ts";
import { tinyModel } from "../support/tiny-models.ts";

// what the garbage collector has not come to yet is not held
test("the norm of very many numbers is that of float64, in no memory of its own", () => {
  using _ = scope();
  manualSeed(1);
  const count = amount(2_000_000, 100_000_000);
  const grad = ops.normal_(ops.zeros([count], { dtype: "float32" }), 0.1, 1);
  let sum = 0;
  for (let from = 0; from < grad.numel; from += 100_000) {
    const part = ops.narrow(grad, 0, from, 100_000);
    sum += (part.data() as Float32Array).reduce((total, x) => total + x * x, 0);
    part.dispose();
  }
  const before = process.resourceUsage().maxRSS;
  const norm = (clipGradNorm([grad], 0) as Tensor).item();
  const grown = (process.resourceUsage().maxRSS - before) / 1024;
  const off = Math.abs(norm / Math.sqrt(sum) - 1);
  figure(
    15,
    "Norm of a gradient of very many numbers",
    `${count.toLocaleString("en")} numbers, ${off.toExponential(0)} off, ${grown.toFixed(1)} MiB more at its peak`,
    "1e-12 of float64, below 8 MiB",
    off < 1e-12 && (!isNightly || grown < 8),
  );
});

// the event loop turns between rollouts in one, and never in the other
for (const turns of [true, false]) {
  test(`rollout after rollout, the event loop ${turns ? "turning between them" : "never turning"}, holds no more memory`, async () => {
    setThreads(1);
    const model = tinyModel("qwen3", { vocab_size: 8000, hidden_size: 32 });
    const prompts = [[3, 1, 4], [1, 5, 9, 2, 6], [5]];
    const resident: number[] = [];
    const warmUp = amount(1, 500);
    const rounds = amount(5, 1000);
    for (let round = 0; round < rounds; round++) {
      using engine = new Engine({ model, tokenizer: null });
      for (const [i, promptIds] of prompts.entries()) {
        engine.submit(`${i}`, generateRequest({ promptIds, n: 8, maxNewTokens: 24, seed: round }), () => {});
      }
      while (engine.step());
      if (turns) await turn();
      resident.push(residentMiB());
    }
    const grown = (resident.at(-1) as number) - (resident[warmUp - 1] as number);
    const inHundred = (100 * grown) / (rounds - warmUp);
    figure(
      15,
      `Rollouts, the event loop ${turns ? "turning between them" : "never turning"}`,
      `${rounds} rollouts, ${inHundred.toFixed(2)} MiB more in 100 after the first ${warmUp}`,
      "below 1 MiB in 100",
      !isNightly || inHundred < 1,
      "judged from the 500th rollout on (first goal: from the 60th), until when the allocator's arenas of the process's threads grow",
    );
  });
}
