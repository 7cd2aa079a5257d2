/** How sources are named to the data layer. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { DataError } from "../base/errors.ts";
import { type DatasetSpec, datasets, sourcePath } from "./datasets.ts";

function named(value: unknown): string {
  const [spec] = datasets.parse(value);
  return sourcePath(spec as DatasetSpec);
}

test("split and name become parts of a hub id", () => {
  assert.equal(named("owner/name:test"), "owner/name:test");
  assert.equal(named({ path: "owner/name", split: "test" }), "owner/name:test");
  assert.equal(named({ path: "owner/name", name: "main", split: "test" }), "hub:owner/name/main:test");
  assert.equal(named({ path: "hub:src/config", name: "main" }), "hub:src/config/main");
});

test("a name inside of a folder on the disk is refused", () => {
  assert.throws(
    () => named({ path: "src/config", name: "main" }),
    (error: unknown) =>
      error instanceof DataError &&
      /^src\/config: name is .* on this machine\. .*\(path: src\/config\/main\), or write path: hub:src\/config\.$/.test(
        error.message,
      ),
  );
});

test("a given weight counts, 1 as well; where none is given there is none", () => {
  const weights = (value: unknown) => datasets.parse(value).map(({ weight }) => weight);
  assert.deepEqual(weights(["a", { path: "b" }, { path: "c", weight: null }]), [null, null, null]);
  assert.deepEqual(
    weights([
      { path: "a", weight: 1 },
      { path: "b", weight: 1 },
    ]),
    [1, 1],
  );
  assert.deepEqual(weights(["a", { path: "b", weight: 2 }]), [1, 2]);
});
