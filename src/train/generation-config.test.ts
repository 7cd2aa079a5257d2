/** The tokens at which other programs stop, beside a model that was taught to stop. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { runFixture, runTraining } from "../../test/support/runs.ts";
import { chatRows, writeRows } from "../../test/support/tiny-model.ts";
import { readModelConfig } from "../formats/hf-config.ts";
import { merge } from "../recipes/merge.ts";
import { loadTokenizer } from "../text/tokenizer.ts";
import { addStopTokens } from "./generation-config.ts";

const fixture = runFixture({ rows: 1, held: 0 });
after(() => fixture[Symbol.dispose]());
const model = String(fixture.values["model_name_or_path"]);

const stopsIn = (dir: string) => readJson(join(dir, "generation_config.json"))["eos_token_id"];
function readJson(path: string): Record<string, unknown> {
  return JSON.parse(readFileSync(path, "utf8")) as Record<string, unknown>;
}

test("tokens that the file lacks are added behind its own, others and a whole file stay", () => {
  const config = { ...readModelConfig(model), eosTokenIds: [3], bosTokenId: 1, padTokenId: 0, vocabSize: 10 };
  const written = (name: string, given: unknown, stopIds: number[]) => {
    const dir = fixture.path(name);
    mkdirSync(dir);
    const path = join(dir, "generation_config.json");
    if (given !== null) writeFileSync(path, JSON.stringify(given));
    addStopTokens(dir, stopIds, config);
    return existsSync(path) ? readJson(path) : null;
  };
  const own = { _from_model_config: true, eos_token_id: 4, temperature: 0.5 };
  assert.deepEqual(written("one", own, [4, 5]), { eos_token_id: [4, 5], temperature: 0.5 });
  assert.deepEqual(written("list", { eos_token_id: [4, 3] }, [5, 3]), { eos_token_id: [4, 3, 5] });
  assert.deepEqual(written("whole", own, [4]), own);
  // a tokenizer may have more tokens than the model
  assert.deepEqual(written("beyond", own, [10]), own);
  assert.deepEqual(written("none", { do_sample: true }, [5]), { do_sample: true, eos_token_id: [5] });
  const made = { bos_token_id: 1, pad_token_id: 0, eos_token_id: [3, 5] };
  assert.deepEqual(written("no file", null, [5]), made);
  assert.equal(written("no file needed", null, [3]), null);
});

test("a base model that is taught to chat stops at the end of its turns, exported and merged", async () => {
  const settings = join(model, "tokenizer_config.json");
  writeFileSync(settings, JSON.stringify({ ...readJson(settings), eos_token: "</s>" }));
  const [eos = -1, end = -1] = ["</s>", "<|im_end|>"].map(
    (token) => loadTokenizer(model).tokenId(token) ?? -1,
  );
  writeFileSync(join(model, "generation_config.json"), JSON.stringify({ eos_token_id: eos }));
  const config = join(model, "config.json");
  writeFileSync(config, JSON.stringify({ ...readJson(config), eos_token_id: eos }));
  const values = { ...fixture.values, train_data: writeRows(fixture.path("chat.jsonl"), chatRows(4)) };
  const recipe = { ...values, objective: "sft", max_steps: 1 };
  const [tuned, adapted] = [fixture.path("tuned"), fixture.path("adapted")];
  await runTraining({ ...recipe, output_dir: tuned });
  await runTraining({ ...recipe, use_peft: true, output_dir: adapted });
  const output = fixture.path("merged");
  await merge({ model, adapter: join(adapted, "adapter"), output, device: "cpu", threads: 1 });
  assert.deepEqual(
    [stopsIn(join(tuned, "model")), stopsIn(output)],
    [
      [eos, end],
      [eos, end],
    ],
  );
});
