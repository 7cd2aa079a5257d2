/**
 * Rows from anywhere, here a table of votes in a SQLite data base: they are written as JSON lines, checked, and trained on.
 * Run: npm run ts -- examples/custom-data-source.ts VOTES.db MODEL_DIR OUTPUT_DIR
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { train } from "preftune";
import { readRows } from "preftune/data";

/** The pairs of which one answer got more votes, in a form that preftune recognises. */
function* pairs(
  path: string,
): Generator<{ prompt: string; chosen: string; rejected: string; margin: number }> {
  using votes = new DatabaseSync(path, { readOnly: true });
  for (const row of votes
    .prepare("SELECT prompt, first, second, first_votes, second_votes FROM votes")
    .iterate()) {
    const [first, second] = [Number(row["first_votes"]), Number(row["second_votes"])];
    const [chosen, rejected] = first > second ? [row["first"], row["second"]] : [row["second"], row["first"]];
    if (first !== second) {
      const texts = { prompt: String(row["prompt"]), chosen: String(chosen), rejected: String(rejected) };
      yield { ...texts, margin: Math.abs(first - second) };
    }
  }
}

const [database = "", model_name_or_path = "", output = ""] = process.argv.slice(2);
mkdirSync(output, { recursive: true });
const train_data = join(output, "votes.jsonl");
writeFileSync(train_data, [...pairs(database)].map((row) => `${JSON.stringify(row)}\n`).join(""));
let count = 0;
for await (const { value } of readRows({ path: train_data })) count += "chosen" in value ? 1 : 0;
console.log(`${count} pairs in ${train_data}`);

const config = {
  model_name_or_path,
  train_data,
  plain_strings: "chat",
  output_dir: join(output, "run"),
} as const;
for await (const event of train({ ...config, learning_rate: 1e-3, logging_steps: 1 })) {
  if (event.type === "preflight") console.log(`${event.report.findings.length} findings`);
  if (event.type === "end") console.log(`${event.summary.reason} after ${event.summary.step} steps`);
}
