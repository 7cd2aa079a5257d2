/** Reasons of failed runs, as tables and progress show them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { reasonLine } from "./trial.ts";

test("a reason is shown by its first line, and by what that announces", () => {
  assert.equal(reasonLine("no such file\nmore of it"), "no such file");
  assert.equal(
    reasonLine("The data has one kind of error:\n  no rows that can be used.\n  more"),
    "The data has one kind of error: no rows that can be used.",
  );
  assert.equal(reasonLine("it ends:"), "it ends:");
});
