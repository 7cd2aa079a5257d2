/** Long computations on little memory: a hundred million numbers, and rollout after rollout. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { sampleAnswers } from "../../src/generate/sample.ts";
import { clipGradNorm } from "../../src/optim/clip.ts";
import { manualSeed, ops, scope, setThreads, type Tensor } from "../../src/torch/index.ts";
import { tinyModel } from "../support/tiny-models.ts";

// what the garbage collector has not come to yet is not held
setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

test("the norm of 10^8 numbers is that of float64, in no memory of its own", () => {
  using _ = scope();
  manualSeed(1);
  const grad = ops.normal_(ops.zeros([100_000_000], { dtype: "float32" }), 0.1, 1);
  let sum = 0;
  for (let from = 0; from < grad.numel; from += 100_000) {
    const part = ops.narrow(grad, 0, from, 100_000);
    sum += (part.data() as Float32Array).reduce((total, x) => total + x * x, 0);
    part.dispose();
  }
  const before = process.resourceUsage().maxRSS;
  const norm = (clipGradNorm([grad], 0) as Tensor).item();
  const grown = (process.resourceUsage().maxRSS - before) / 1024;
  assert.ok(Math.abs(norm / Math.sqrt(sum) - 1) < 1e-12, `${norm}, in float64 ${Math.sqrt(sum)}`);
  assert.ok(grown < 8, `${grown} MiB`);
});

// the event loop turns between rollouts in one, and never in the other, as in the collapse watch
for (const turns of [true, false]) {
  test(`200 rollouts, the event loop ${turns ? "turning between them" : "never turning"}: within 2 MiB`, async () => {
    setThreads(1);
    const model = tinyModel("qwen3", { vocab_size: 8000, hidden_size: 32 });
    const prompts = [[3, 1, 4], [1, 5, 9, 2, 6], [5]];
    const options = { temperature: 1, maxNewTokens: 24, stopIds: new Set<number>(), answersPerPrompt: 8 };
    const resident: number[] = [];
    for (let round = 0; round < 260; round++) {
      sampleAnswers(model, prompts, { ...options, seed: round });
      if (turns) await turn();
      collect();
      resident.push(process.memoryUsage.rss() / 2 ** 20);
    }
    // the first sixty fill caches
    const grown = (resident.at(-1) as number) - (resident[59] as number);
    console.log(
      `${resident[59]?.toFixed(1)} MiB after 60 rollouts, ${grown.toFixed(2)} MiB more after 200 further`,
    );
    assert.ok(grown < 2, `${grown} MiB`);
  });
}
