/** The text of a pair is read from the run's own data alone, and from nowhere outside of the given folders. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { loadConfig } from "../config/load-config.ts";
import { rowAt } from "./pair-text.ts";

const root = realpathSync(mkdtempSync(join(tmpdir(), "preftune-pairs-")));
after(() => rmSync(root, { recursive: true }));

test("a file outside is refused, whether a run names it, a pattern that finds it, or a link to it", async () => {
  const [given, outside] = ["given", "outside"].map((name) => {
    const dir = join(root, name);
    mkdirSync(dir);
    writeFileSync(join(dir, "rows.jsonl"), '{"prompt":"a","chosen":"b","rejected":"c"}\n');
    return dir;
  }) as [string, string];
  symlinkSync(join(outside, "rows.jsonl"), join(given, "link.jsonl"));
  const row = async (path: string, place: string) => {
    const values = { model_name_or_path: "m", train_data: path, output_dir: join(root, "run") };
    return await rowAt(place, loadConfig({ values }).config, [given]);
  };
  const inside = join(given, "rows.jsonl");
  assert.equal((await row(inside, `${inside}:1`)).row.origin.line, 1);
  const secret = join(outside, "rows.jsonl");
  const ways = [
    [secret, `${secret}:1`],
    [join(outside, "*.jsonl"), `${secret}:1`],
    [join(given, "link.jsonl"), `${join(given, "link.jsonl")}:1`],
  ] as const;
  for (const [path, place] of ways)
    await assert.rejects(row(path, place), /lies outside of the folders/, path);
  await assert.rejects(row(inside, `${secret}:1`), /not there any more/, "no file of the run's data");
});
