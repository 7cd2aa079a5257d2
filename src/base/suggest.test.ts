import assert from "node:assert/strict";
import { test } from "node:test";
import { closest } from "./suggest.ts";

test("of names at one distance the one of the same letters is suggested: two letters were swapped", () => {
  const known = ["top_p", "top_k", "min_p"];
  assert.equal(closest("to_pk", known), "top_k");
  assert.equal(closest("Tpo_p", known), "top_p");
});

test("a name that is near none has no suggestion", () => {
  assert.equal(closest("packing", ["top_p", "top_k"]), null);
  assert.equal(closest("p".repeat(101), ["p".repeat(100)]), null);
});
