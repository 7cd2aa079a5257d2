/** Paths one folder off: every hint names a path that is right when it is pasted. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { FileError } from "../base/errors.ts";
import { resolveModelDirectory } from "../hub/hub-model.ts";
import type { PlaceKind } from "./model-place.ts";

const root = mkdtempSync(join(tmpdir(), "preftune-places-"));
after(() => rmSync(root, { recursive: true, force: true }));

function put(path: string, content = "{}"): void {
  mkdirSync(join(root, path, ".."), { recursive: true });
  writeFileSync(join(root, path), content);
}

// a LoRA run, a full run, a run that has only checkpoints, a base model with a folder in it, and an empty folder
put("lora/config.yaml", "");
put("lora/adapter/adapter_config.json", JSON.stringify({ base_model_name_or_path: "models/base" }));
put("lora/checkpoints/checkpoint-5/adapter_config.json");
put("full/model/config.json");
put("begun/checkpoints/checkpoint-5/adapter_config.json");
put("begun/checkpoints/checkpoint-20/adapter_config.json");
put("base/config.json");
put("base/onnx/model.onnx", "");
put("empty/readme.md", "");
put("ranks/checkpoints/checkpoint-5/rank-00001-of-00002.safetensors", "");

const cases: [kind: PlaceKind, given: string, says: RegExp, right: string | null][] = [
  [
    "adapter",
    "lora",
    /expected a PEFT adapter directory with adapter_config\.json, there is none/,
    "lora/adapter",
  ],
  ["adapter", "begun", /there is none/, "begun/checkpoints/checkpoint-20"],
  ["adapter", "lora/checkpoints", /there is none/, "lora/checkpoints/checkpoint-5"],
  ["adapter", "lora/adapter/adapter_config.json", /got a file/, "lora/adapter"],
  ["adapter", "lora/config.yaml", /got a file/, "lora/adapter"],
  ["adapter", "lora/adaptr", /no such directory/, "lora/adapter"],
  ["adapter", "lora/model", /no such directory/, "lora/adapter"],
  [
    "adapter",
    "full/model",
    /got a model directory\. Give \S+full\/model as the model, or a part of it as an adapter: \S+full\/model@scale=0\.4\.$/,
    null,
  ],
  [
    "adapter",
    "full",
    /got a directory with a model directory in it, \S+full\/model\. Give \S+full\/model as the model/,
    null,
  ],
  ["adapter", "empty", /there is none\. Check the path\.$/, null],
  ["model", "full", /expected a model directory with config\.json, there is none/, "full/model"],
  ["model", "full/adapter", /no such directory/, "full/model"],
  ["model", "base/onnx", /there is none/, "base"],
  ["model", "base/config.json", /got a file/, "base"],
  ["model", "bsae", /no such directory/, "base"],
  [
    "model",
    "lora/adapter",
    /got a PEFT adapter directory\. Give \S+lora\/adapter as the adapter, and its base model, models\/base, as the model\.$/,
    null,
  ],
  [
    "model",
    "lora",
    /got a directory with a PEFT adapter directory in it, \S+lora\/adapter\. Give .* models\/base, as the model/,
    null,
  ],
  [
    "model",
    "begun",
    /checkpoint-20\. Give \S+checkpoint-20 as the adapter, and its base model as the model/,
    null,
  ],
];

for (const kind of ["model", "adapter"] as const) {
  const given = "ranks/checkpoints/checkpoint-5";
  cases.push([kind, given, /that several ranks wrote in parts.*Resume its run .*--resume\)/, null]);
}

for (const [kind, given, says, right] of cases) {
  test(`${given} as ${kind}: ${right ?? "no such place"}`, async () => {
    await assert.rejects(resolveModelDirectory(join(root, given), { kind }), (error: unknown) => {
      assert.ok(error instanceof FileError, String(error));
      assert.match(error.message, says);
      assert.ok(error.message.startsWith(`${join(root, given)}: expected`));
      const hint = /Did you mean "(.+?)"\?/.exec(error.message)?.[1] ?? null;
      assert.equal(hint, right === null ? null : join(root, right), error.message);
      return true;
    });
    if (right === null) return;
    const found = await resolveModelDirectory(join(root, right), { kind });
    assert.equal(found, join(root, right));
  });
}
