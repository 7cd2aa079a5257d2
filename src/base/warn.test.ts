/** Tests of warn.ts. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { warn } from "./warn.ts";

test("the same words are told once, as warnings that a program can listen to", async (t) => {
  const told: string[] = [];
  const listen = ({ name, message }: Error) => told.push(`${name}: ${message}`);
  process.on("warning", listen);
  t.after(() => process.off("warning", listen));
  for (const text of ["first", "second", "first"]) warn(text);
  await setImmediate();
  assert.deepEqual(told, ["PreftuneWarning: first", "PreftuneWarning: second"]);
});
