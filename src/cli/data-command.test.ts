/** `preftune data pair` as a user calls it. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { program } from "./program.ts";

const dir = mkdtempSync(join(tmpdir(), "preftune-pair-"));
after(() => rmSync(dir, { recursive: true }));

test("data pair takes answers that are JSON of messages as text where --plain-strings says so, and names it where not", async () => {
  const request = JSON.stringify({ messages: [{ role: "user", content: "hi" }] });
  const [rows, output] = [join(dir, "rows.jsonl"), join(dir, "pairs.jsonl")];
  const answers: [string, boolean][] = [
    [request, true],
    ["no", false],
  ];
  const lines = answers.map(([completion, label]) => JSON.stringify({ prompt: "p", completion, label }));
  writeFileSync(rows, `${lines.join("\n")}\n`);
  const pair = async (...options: string[]): Promise<unknown> => {
    const words = ["data", "pair", rows, "--output", output, ...options];
    return (await program(words)).parseAsync(["node", "preftune", ...words]);
  };
  await assert.rejects(pair(), /\(a command's --plain-strings text\)\.$/);
  await pair("--plain-strings", "text");
  assert.deepEqual(JSON.parse(readFileSync(output, "utf8")), {
    prompt: "p",
    chosen: request,
    rejected: "no",
  });
});
