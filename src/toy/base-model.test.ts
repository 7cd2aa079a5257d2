import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { peersPython, skipWithoutPeers } from "../../test/support/peers.ts";
import { logitsOf, temporaryDirectory } from "../../test/support/tiny-models.ts";
import { loadModel } from "../models/load.ts";
import { loadTokenizer } from "../text/tokenizer.ts";
import { modelParameters } from "../train/parameters.ts";
import { writeBaseModel } from "./base-model.ts";
import { fullSize } from "./sizes.ts";

const shape = { hiddenSize: 16, intermediateSize: 32, layers: 2, heads: 4, keyValueHeads: 2 };
const text =
  "user\nOrder Mira and Dorn from small to large.\nassistant\n1. Dorn\n2. Mira\nEnd of list.\n".repeat(3);

test("the seed decides the weights, and the directory loads", async () => {
  using dir = temporaryDirectory();
  const logits = async (seed: number): Promise<number[]> => {
    await writeBaseModel(dir.path, { shape, text, seed });
    return logitsOf(loadModel(dir.path), [1, 5, 9]);
  };
  const once = await logits(1);
  assert.ok(once.every(Number.isFinite));
  assert.deepEqual(await logits(1), once);
  assert.notDeepEqual(await logits(2), once);
});

test("the full size is the half million weights that the documents speak of", async () => {
  using dir = temporaryDirectory();
  await writeBaseModel(dir.path, { shape: fullSize.shape, text, seed: 1 });
  const weights = modelParameters(loadModel(dir.path)).reduce((sum, { tensor }) => sum + tensor.numel, 0);
  assert.ok(weights > 400_000 && weights < 600_000, `${weights}`);
});

const script = `
import json, sys, torch
from transformers import AutoModelForCausalLM, AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
model = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.float32)
messages = [{"role": "user", "content": "Order Mira and Dorn, grüße 1."}]
written = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
ids = tokenizer(written, add_special_tokens=False)["input_ids"]
logits = model(torch.tensor([ids])).logits[0].flatten().tolist()
print(json.dumps({"written": written, "ids": ids, "logits": logits, "decoded": tokenizer.decode(ids)}))
`;

test("transformers loads tokenizer and model and computes the same", {
  skip: skipWithoutPeers(),
}, async () => {
  using dir = temporaryDirectory();
  await writeBaseModel(dir.path, { shape, text, seed: 1 });
  const run = spawnSync(peersPython() ?? "", ["-c", script, dir.path], {
    encoding: "utf8",
    timeout: 600_000,
  });
  assert.equal(run.status, 0, run.stderr);
  const peer = JSON.parse(run.stdout) as {
    written: string;
    ids: number[];
    logits: number[];
    decoded: string;
  };
  const ids = loadTokenizer(dir.path).encode(peer.written, { addSpecialTokens: false });
  assert.deepEqual(ids, peer.ids);
  assert.equal(peer.decoded, peer.written);
  const own = logitsOf(loadModel(dir.path), ids);
  const worst = Math.max(...own.map((logit, i) => Math.abs(logit - (peer.logits[i] ?? Number.NaN))));
  assert.ok(worst < 2e-5, `largest difference ${worst}`);
});
