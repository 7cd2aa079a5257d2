/** The cache on file systems without links. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fakeModelHub } from "../../test/support/fake-hub.ts";
import { armFault, type Fault } from "../../test/support/faults.ts";
import { FileError } from "../base/errors.ts";
import { resolveModelDirectory } from "./hub-model.ts";

const root = mkdtempSync(join(tmpdir(), "preftune-hub-cache-"));
after(() => rmSync(root, { recursive: true }));
const files = { "config.json": "{}", "model.safetensors": "weights" };
const hub = fakeModelHub("o/n", { ["a".repeat(40)]: files });
const fetched = () =>
  resolveModelDirectory("o/n", {
    fetch: hub.fetch,
    hubUrl: "http://hub.invalid",
    cacheDirectory: mkdtempSync(join(root, "cache-")),
  });
const noLinks: Fault = { code: "EPERM", at: 1, names: ["symlinkSync"], stays: true };

test("where there are no links the file itself is there", async () => {
  using faults = armFault(noLinks);
  const directory = await fetched();
  assert.equal(faults.failed.length, 2);
  for (const [name, text] of Object.entries(files))
    assert.equal(readFileSync(join(directory, name), "utf8"), text);
});

test("a file that cannot be moved there is an error with the path", async () => {
  // the first rename is that of the download
  using _ = armFault({ ...noLinks, at: 2, names: ["symlinkSync", "renameSync"] });
  await assert.rejects(
    fetched(),
    (error) =>
      error instanceof FileError && /^Cannot write .*snapshots.*permission denied/.test(error.message),
  );
});
