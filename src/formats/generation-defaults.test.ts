import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { tellGenerationDefaults } from "./generation-defaults.ts";

const root = mkdtempSync(join(tmpdir(), "preftune-defaults-"));
after(() => rmSync(root, { recursive: true }));

/** The warning about a directory with this file; null: none. */
async function told(file: object | null, given: readonly string[] = []): Promise<string | null> {
  const dir = mkdtempSync(join(root, "model"));
  if (file !== null) writeFileSync(join(dir, "generation_config.json"), JSON.stringify(file));
  const warned = once(process, "warning") as Promise<[Error]>;
  tellGenerationDefaults(dir, new Set(given));
  process.emitWarning("nothing more");
  const [{ message }] = await warned;
  return message === "nothing more" ? null : message.replace(dir, "DIR");
}

/** Qwen3's, as it is published. */
const qwen3 = {
  bos_token_id: 151643,
  do_sample: true,
  eos_token_id: [151645, 151643],
  pad_token_id: 151643,
  temperature: 0.6,
  top_k: 20,
  top_p: 0.95,
  transformers_version: "4.51.0",
};

test("what generation_config.json sets and is not applied is told of by name", async () => {
  assert.equal(
    await told(qwen3),
    "DIR/generation_config.json: transformers takes its values as defaults, which are not applied here. " +
      "What you want of temperature 0.6, top_k 20, top_p 0.95, give as options or in requests.",
  );
  assert.match((await told(qwen3, ["temperature", "top_k"])) ?? "", /What you want of top_p 0\.95, give/);
  // GenerationMixin._prepare_generation_config fills what a sampling file lacks: top_k 50
  const llama3 = { do_sample: true, temperature: 0.6, top_p: 0.9 };
  assert.match((await told(llama3)) ?? "", /What you want of temperature 0\.6, top_k 50, top_p 0\.9, give/);
  const whisper = { suppress_tokens: [1, 2], begin_suppress_tokens: [220], no_repeat_ngram_size: 3 };
  assert.match(
    (await told(whisper)) ?? "",
    /applied here\. suppress_tokens \[1,2\], .* cannot be given here\.$/,
  );
});

test("values that change nothing in transformers, and a model without the file, are told of by nobody", async () => {
  // GenerationConfig._get_default_generation_params() of transformers 5.23
  const neutral = {
    ...{
      max_length: 20,
      min_length: 0,
      do_sample: false,
      num_beams: 1,
      temperature: 1.0,
      top_p: 1.0,
      typical_p: 1.0,
    },
    ...{
      repetition_penalty: 1.0,
      no_repeat_ngram_size: 0,
      epsilon_cutoff: 0.0,
      eta_cutoff: 0.0,
      suppress_tokens: [],
    },
  };
  assert.equal(await told(neutral), null);
  assert.equal(
    await told({ _from_model_config: true, eos_token_id: 2, transformers_version: "5.0.0" }),
    null,
  );
  assert.equal(await told(null), null);
  assert.equal(await told(qwen3, ["temperature", "top_k", "top_p"]), null);
});
