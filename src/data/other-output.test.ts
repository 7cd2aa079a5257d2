import assert from "node:assert/strict";
import { linkSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { ConfigError } from "../base/errors.ts";
import { requireOtherOutput } from "./other-output.ts";

const dir = mkdtempSync(join(tmpdir(), "preftune-other-"));
after(() => rmSync(dir, { recursive: true }));
const rows = join(dir, "rows", "a.jsonl");
mkdirSync(join(dir, "rows"));
writeFileSync(rows, "{}\n");
writeFileSync(join(dir, "prompts.txt"), "a\n");
linkSync(rows, join(dir, "hard.jsonl"));
symlinkSync(rows, join(dir, "soft.jsonl"));

test("an output that is read, by any path or link, is refused by its option", async () => {
  const cases: [output: string, input: string][] = [
    [rows, rows],
    [join(dir, "rows", "..", "rows", "a.jsonl"), rows],
    [join(dir, "hard.jsonl"), rows],
    [join(dir, "soft.jsonl"), rows],
    [rows, join(dir, "soft.jsonl")],
    [rows, join(dir, "rows")],
    [rows, join(dir, "r*", "*.jsonl")],
    [join(dir, "prompts.txt"), join(dir, "prompts.txt")],
  ];
  for (const [output, input] of cases) {
    await assert.rejects(requireOtherOutput({ "--output": output }, [input]), (error: Error) => {
      assert.ok(error instanceof ConfigError);
      assert.match(error.message, /^--output: expected another file than those that are read, got /);
      assert.ok(error.message.includes(output));
      return true;
    });
  }
});

test("other outputs, and none, are not", async () => {
  const inputs = [rows, join(dir, "rows"), "-", "owner/name", join(dir, "missing.jsonl")];
  await requireOtherOutput({ a: join(dir, "prompts.txt"), b: null, c: join(dir, "new.jsonl") }, inputs);
});
