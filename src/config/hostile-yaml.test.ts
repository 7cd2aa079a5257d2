/** YAML made to cost time or memory. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ConfigError } from "../base/errors.ts";
import { loadConfig } from "./load-config.ts";

test("hostile YAML is refused in time that does not grow with it: keys, depth, aliases inside of themselves", () => {
  const refused = (yaml: string, message: RegExp): void => {
    const told = (error: unknown): boolean =>
      error instanceof ConfigError && message.test(error.message) && error.message.length < 5000;
    assert.throws(() => loadConfig({ yaml, file: "run.yaml" }), told);
  };
  refused(`{${"a,".repeat(500_000)}}`, /at most 20000 words and signs/);
  refused("x: 1\n".repeat(200_000), /at most 20000 words and signs/);
  refused(`train_data: ${"[".repeat(100_000)}`, /nested at most 64 deep/);
  refused(`train_data:\n${"- ".repeat(100)}x\n`, /nested at most 64 deep/);
  refused("objective: &a [*a]\n", /an alias \(\*\) stands inside of what it stands for/);
  refused("columns: &a {prompt: *a}\n", /an alias \(\*\) stands inside/);
  refused("*a", /^run\.yaml:1: expected `key: value` lines, got an alias \(\*\)\.$/);
  refused("[*a, 1]", /^run\.yaml:1: expected `key: value` lines, got the list\.$/);
  const keys = Array.from({ length: 300 }, (_, i) => `k${i}: 1\n`).join("");
  refused(keys, /^30\d problems in run\.yaml:\n.*unknown key "k0"[\s\S]*and 28\d more$/);
});
