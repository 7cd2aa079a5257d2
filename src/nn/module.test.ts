/** Paths of tensors and modules: they are checkpoint names, so they must come out exactly. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { withoutLeaks } from "../../test/support/close.ts";
import { tensor } from "../torch/index.ts";
import { Linear } from "./linear.ts";
import { namedModules, namedTensors } from "./module.ts";

function sample(): object {
  return {
    isModuleGroup: true,
    name: "not a module",
    layers: [new Linear(tensor([1], [1, 1])), new Linear(tensor([2], [1, 1]), tensor([3]))],
    settings: { weight: tensor([4]) },
  };
}

test("tensors have dotted paths in declaration order; null biases and plain objects are passed over", () => {
  withoutLeaks(() => {
    const paths = [...namedTensors(sample())].map(([path, t]) => [path, t.item()]);
    assert.deepEqual(paths, [
      ["layers.0.weight", 1],
      ["layers.1.weight", 2],
      ["layers.1.bias", 3],
    ]);
  });
});

test("a module can be replaced where it hangs", () => {
  withoutLeaks(() => {
    const root = sample();
    const place = [...namedModules(root)].find((p) => p.path === "layers.1");
    assert.ok(place !== undefined);
    place.owner[place.key] = new Linear(tensor([9], [1, 1]));
    assert.deepEqual(
      [...namedTensors(root)].map(([path, t]) => [path, t.item()]),
      [
        ["layers.0.weight", 1],
        ["layers.1.weight", 9],
      ],
    );
  });
});
