/** Tests of shapes.ts. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { countParameters } from "../../src/planner/parameter-counts.ts";
import { everything } from "../../src/planner/trained-parts.ts";
import { modelConfigOf, shapes } from "./shapes.ts";

test("the benchmark's models have the parameters they are named for", () => {
  const total = (name: string) => {
    const shape = shapes[name];
    assert.ok(shape !== undefined);
    return countParameters(modelConfigOf(shape), everything).total;
  };
  assert.equal(Math.round(total("bench") / 1e5), 295);
  assert.equal(Math.round(total("bigvocab") / 1e5), 420);
  assert.equal(Math.round(total("llama-1b") / 1e6), 1236);
  for (const name of ["bench-llama", "bench-gemma3", "bench-qwen2", "bench-mistral"])
    assert.equal(Math.round(total(name) / 1e5), 295, name);
});
