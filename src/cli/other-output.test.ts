import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { ConfigError } from "../base/errors.ts";
import { program } from "./program.ts";

const dir = mkdtempSync(join(tmpdir(), "preftune-same-"));
after(() => rmSync(dir, { recursive: true }));

test("every command refuses to write over the rows that it reads, and leaves them", async () => {
  const rows = join(dir, "rows.jsonl");
  const text = `${JSON.stringify({ prompt: "a", completion: "b", label: true })}\n`;
  writeFileSync(rows, text);
  const commands = [
    ["data", "pair", rows],
    ["score", "--model", dir, "--data", rows],
    ["generate", "--model", dir, "--prompts", rows],
    ["evaluate", "diversity", "--answers", rows],
    ["evaluate", "diversity", "--model", dir, "--prompts", rows],
  ];
  for (const words of commands) {
    const preftune = await program(words);
    await assert.rejects(
      preftune.parseAsync(["node", "preftune", ...words, "--output", join(dir, ".", "rows.jsonl")]),
      (error: Error) => {
        assert.ok(error instanceof ConfigError, `${words.join(" ")}: ${error.message}`);
        assert.match(error.message, /^--output: expected another file than those that are read/);
        return true;
      },
    );
    assert.equal(readFileSync(rows, "utf8"), text);
  }
});
