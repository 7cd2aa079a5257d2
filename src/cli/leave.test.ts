import assert from "node:assert/strict";
import { test } from "node:test";
import { finishFirst } from "./leave.ts";

test("files that are finished first, several times in a process, are waited for by one listener of each signal", () => {
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
  const before = signals.map((signal) => process.listenerCount(signal));
  for (let time = 0; time < 3; time++) finishFirst();
  assert.deepEqual(
    signals.map((signal) => process.listenerCount(signal)),
    before.map((count) => count + 1),
  );
});
