import assert from "node:assert/strict";
import { test } from "node:test";
import { countedSignals, sameSignalMs } from "./stop-signals.ts";

test("signals that come within a second are one, later ones count", () => {
  const counts: number[] = [];
  let time = 0;
  const listener = countedSignals(
    (count) => counts.push(count),
    () => time,
  );
  for (const at of [0, 1, sameSignalMs - 1, sameSignalMs, sameSignalMs + 1, 5 * sameSignalMs]) {
    time = at;
    listener("SIGINT");
  }
  assert.deepEqual(counts, [1, 2, 3]);
});

test("a SIGHUP asks to stop, and is never the second signal that leaves at once", () => {
  const heard: number[][] = [];
  let time = 0;
  const listener = countedSignals(
    (...args) => heard.push(args),
    () => time,
  );
  for (const signal of ["SIGHUP", "SIGHUP", "SIGTERM", "SIGHUP"] as const) {
    time += 5 * sameSignalMs;
    listener(signal);
  }
  assert.deepEqual(heard, [
    [1, 129],
    [2, 143],
  ]);
});
