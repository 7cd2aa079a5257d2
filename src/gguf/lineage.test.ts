import assert from "node:assert/strict";
import { test } from "node:test";
import { lineageKeys, noLineage } from "./lineage.ts";
import { string, uint32 } from "./values.ts";

test("keys of base models and data sets as gguf-py's constants name them; none for what is not known", () => {
  assert.deepEqual(lineageKeys(noLineage), []);
  assert.deepEqual(lineageKeys({ baseModels: ["owner/base"], datasets: ["a/one", "b/two"] }), [
    ["general.base_model.count", uint32(1)],
    ["general.base_model.0.name", string("base")],
    ["general.base_model.0.organization", string("owner")],
    ["general.base_model.0.repo_url", string("https://huggingface.co/owner/base")],
    ["general.dataset.count", uint32(2)],
    ["general.dataset.0.name", string("one")],
    ["general.dataset.0.organization", string("a")],
    ["general.dataset.0.repo_url", string("https://huggingface.co/datasets/a/one")],
    ["general.dataset.1.name", string("two")],
    ["general.dataset.1.organization", string("b")],
    ["general.dataset.1.repo_url", string("https://huggingface.co/datasets/b/two")],
  ]);
});
