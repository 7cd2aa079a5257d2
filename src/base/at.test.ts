/** Tests of at.ts. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { at } from "./at.ts";

test("an item of an array, of a typed array, of a text", () => {
  assert.equal(at(["a", "b"], 1), "b");
  assert.equal(at(Float32Array.of(0.5, 2), 0), 0.5);
  assert.equal(at("ab", 1), "b");
  assert.equal(at([undefined], 0), undefined);
});

test("an index past the end, before the beginning or between two items is named with the length", () => {
  for (const index of [2, -1, 0.5, Number.NaN]) {
    const message = `expected an index below 2, the length of the list, got ${index}`;
    assert.throws(() => at([1, 2], index), { name: "RangeError", message });
    assert.throws(() => at(Int32Array.of(1, 2), index), { name: "RangeError", message });
  }
});
