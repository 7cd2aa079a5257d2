/** What is said of steps that cannot be cut as they would have to be: the keys that were given are named. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ConfigError } from "../base/errors.ts";
import { loadConfig } from "./load-config.ts";

function messageOf(values: Record<string, unknown>): string {
  try {
    loadConfig({ values: { model_name_or_path: "m", output_dir: "o", train_data: "a.jsonl", ...values } });
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error));
    return error.message;
  }
  return assert.fail("accepted");
}

test("a step that cuts a prompt's completions: train_batch_size where it is given, else the keys that make it", () => {
  const grpo = { objective: "grpo", reward_funcs: ["length"], num_generations: 8 };
  const given = messageOf({ ...grpo, train_batch_size: 12 });
  assert.match(
    given,
    /train_batch_size: an optimiser step has 12 completions, no multiple of num_generations 8\. Change one of the two\./,
  );
  assert.doesNotMatch(given, /gradient_accumulation_steps/);
  assert.match(
    messageOf({ ...grpo, per_device_train_batch_size: 3, gradient_accumulation_steps: 2 }),
    /has 6 completions \(with gradient_accumulation_steps 2\), no multiple .* Change one of the three/,
  );
});

test("an optimiser in the backward pass, and a KL of one row, likewise", () => {
  const early = { optimizer_in_backward: true, max_grad_norm: 0 };
  assert.match(
    messageOf({ ...early, train_batch_size: 16 }),
    /adds their gradients up\. Set per_device_train_batch_size to train_batch_size, 16, or more\./,
  );
  assert.match(messageOf({ ...early, tokens_per_step: 512 }), /and tokens_per_step out\./);
  assert.match(messageOf({ objective: "kto", train_batch_size: 1 }), /better 8 \(train_batch_size\), or/);
});
