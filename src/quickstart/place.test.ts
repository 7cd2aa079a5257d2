import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { temporaryDirectory } from "../../test/support/tiny-models.ts";
import { ConfigError } from "../base/errors.ts";
import { RunLockedError } from "../runs/run-lock.ts";
import { takePlace } from "./place.ts";

test("a new directory is made, marked and locked", () => {
  using parent = temporaryDirectory();
  const dir = join(parent.path, "a", "b");
  const { lock } = takePlace(dir, { seed: 3 });
  assert.deepEqual(readdirSync(dir).sort(), ["data", "quickstart.json", "quickstart.lock"]);
  assert.throws(() => takePlace(dir, {}), RunLockedError);
  lock.release();
  takePlace(dir, {}).lock.release();
});

test("a former quick start is removed, and nothing else in its directory", () => {
  using parent = temporaryDirectory();
  const dir = parent.path;
  takePlace(dir, {}).lock.release();
  mkdirSync(join(dir, "slime", "model"), { recursive: true });
  writeFileSync(join(dir, "report.html"), "old");
  writeFileSync(join(dir, "my-notes.txt"), "mine");
  const { paths, lock } = takePlace(dir, {});
  lock.release();
  assert.ok(!existsSync(paths.run("slime")) && !existsSync(paths.report));
  assert.ok(existsSync(join(dir, "my-notes.txt")));
});

test("a foreign directory is refused and left as it is", () => {
  using parent = temporaryDirectory();
  const dir = parent.path;
  mkdirSync(join(dir, "data"));
  writeFileSync(join(dir, "data", "mine.jsonl"), "{}");
  const refused = {
    name: ConfigError.name,
    message: /holds data and no quickstart\.json .* give another with --output/,
  };
  assert.throws(() => takePlace(dir, {}), refused);
  assert.deepEqual(readdirSync(dir), ["data"]);
  writeFileSync(join(dir, "quickstart.json"), '{"format":"something else"}');
  assert.throws(() => takePlace(dir, {}), { name: ConfigError.name });
  assert.ok(existsSync(join(dir, "data", "mine.jsonl")));
});
