/** The checksum of event files, and a file that cannot be written. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { armFault } from "../../test/support/faults.ts";
import { listenToWarnings } from "../../test/support/warnings.ts";
import { crc32c } from "./event-records.ts";
import { TensorboardWriter } from "./tensorboard.ts";

test("CRC-32C as RFC 3720 has it", () => {
  assert.equal(crc32c(Buffer.from("123456789")), 0xe306_9283);
  assert.equal(crc32c(new Uint8Array(32)), 0x8a91_36aa);
});

test("a full disk ends the file and not the run; it is reported once, with what is not in it", async (t) => {
  const dir = mkdtempSync(join(tmpdir(), "preftune-tensorboard-"));
  t.after(() => rmSync(dir, { recursive: true }));
  const warnings = listenToWarnings(t);
  const row = { global_step: 1, loss: 1 };
  for (const at of [1, 2, 3, 4, 5]) {
    using faults = armFault({ code: "ENOSPC", at, on: /tfevents/, stays: true });
    const writer = new TensorboardWriter(join(dir, String(at)), { rows: [row], texts: { text: "x" } });
    writer.write(row);
    writer.write(row);
    writer.close();
    assert.ok(faults.failed.length > 0);
  }
  const reported = await warnings("TensorBoard: its file cannot be written");
  assert.equal(reported.length, 5);
  assert.match(reported[0] ?? "", /ENOSPC.*metrics\.jsonl has every row/);
  assert.ok((await warnings("TensorBoard: 3 rows are not in its file")).length > 0);
});
