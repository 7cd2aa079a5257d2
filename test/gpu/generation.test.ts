/** Generation on a GPU, or on what stands in for it: the CPU's tokens, prompts whole, pages begun copied, nothing kept. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { Engine } from "../../src/generate/engine.ts";
import { loadModel } from "../../src/models/load.ts";
import { pageTokens } from "../../src/nn/kv-cache.ts";
import { generateRequest } from "../support/generate-request.ts";
import { openGpu } from "../support/gpu.ts";
import {
  checkpointTensors,
  temporaryDirectory,
  tinyConfig,
  tinyModel,
  writeCheckpoint,
} from "../support/tiny-models.ts";

const { device, skip, rehearsal } = await openGpu();
after(() => assert.deepEqual(rehearsal?.faults() ?? [], []));

/** Greedy answers to a prompt of a page and more, two each, and to a short one beside it; and again. */
function answers(dir: string, on: string): number[][] {
  const model = loadModel(dir, { device: on, dtype: "float32" });
  using engine = new Engine({ model, tokenizer: null });
  const prompts = [pageTokens + 9, 5, pageTokens + 9];
  const given = prompts.map((length, i) => {
    const promptIds = Array.from({ length }, (_, t) => (7 * t + 3) % 32);
    const ids: number[] = [];
    engine.submit(`${i}`, generateRequest({ promptIds, n: 2, temperature: 0, maxNewTokens: 30 }), (event) => {
      if (event.type === "error") throw new Error(event.message);
      if (event.type === "token") ids.push(event.answer, event.id);
    });
    return ids;
  });
  while (engine.step());
  const { cacheBytesUsed, cacheBytesKept } = engine.stats;
  assert.equal(cacheBytesUsed, 0);
  assert.equal(cacheBytesKept > 0, on === "cpu");
  return given;
}

for (const name of ["qwen3", "gemma3"] as const) {
  test(`${name}: greedy answers are the CPU's`, { skip }, () => {
    using dir = temporaryDirectory();
    writeCheckpoint(dir.path, tinyConfig(name), checkpointTensors(tinyModel(name)));
    assert.deepEqual(answers(dir.path, device), answers(dir.path, "cpu"));
  });
}
