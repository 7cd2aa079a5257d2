/** Where the weights of rollouts ahead lie: what fails there is an error with the path, and hides no other. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { armFault, type Fault } from "../../test/support/faults.ts";
import { FileError } from "../base/errors.ts";
import { type AheadParts, RolloutsAhead } from "./rollouts-ahead.ts";

const root = mkdtempSync(join(tmpdir(), "preftune-ahead-"));
after(() => rmSync(root, { recursive: true }));
const dir = join(root, "sampler");
const checkpoint = join(root, "checkpoint-2");
mkdirSync(checkpoint);
writeFileSync(join(checkpoint, "sampler-weights-1.safetensors"), "weights");

const opened = () => new RolloutsAhead({ dir, max_staleness: 1 } as AheadParts);

for (const [what, fault] of Object.entries<Fault>({
  "what is left of a former start": { code: "EROFS", at: 1, names: ["rmSync"] },
  "the folder": { code: "ENOSPC", at: 1, names: ["mkdirSync"] },
  "weights of a checkpoint": { code: "EMFILE", at: 1, names: ["openSync"], on: /sampler-weights/ },
})) {
  test(`a disk that refuses ${what} is an error with the path`, () => {
    using _ = armFault(fault);
    assert.throws(
      () => opened().resumeFrom(checkpoint),
      (error) => error instanceof FileError && error.message.includes(dir),
    );
  });
}

test("a folder that cannot be removed at the end is removed by the next start", () => {
  const ahead = opened();
  ahead.resumeFrom(checkpoint);
  {
    using _ = armFault({ code: "EROFS", at: 1, names: ["rmSync"] });
    ahead[Symbol.dispose]();
  }
  const weights = join(dir, "sampler-weights-1.safetensors");
  assert.ok(existsSync(weights));
  opened();
  assert.ok(!existsSync(weights));
});
