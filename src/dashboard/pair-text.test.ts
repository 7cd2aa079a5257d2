/** The text of a pair is read from the run's own data alone, and from nowhere outside of the given folders. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { loadConfig } from "../config/load-config.ts";
import { dataFilesOf } from "../runs/data-files.ts";
import { pairOf, rowAt } from "./pair-text.ts";

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
    const { config } = loadConfig({ values });
    return await rowAt(place, { config, data: await dataFilesOf(config) }, [given]);
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

test("of files of one name each is shown as long as it is what the run read", async () => {
  const place = (folder: string) => join(root, "versions", folder, "rows.jsonl");
  for (const folder of ["one", "two"]) {
    mkdirSync(join(root, "versions", folder), { recursive: true });
    writeFileSync(place(folder), '{"prompt":"a","chosen":"b","rejected":"c"}\n');
  }
  const values = { model_name_or_path: "m", train_data: place("*"), output_dir: join(root, "run") };
  const { config } = loadConfig({ values });
  const data = await dataFilesOf(config);
  const row = async (folder: string, known = data) =>
    (await rowAt(`${place(folder)}:1`, { config, data: known }, [root])).row.value["chosen"];
  assert.equal(await row("one"), "b");
  writeFileSync(place("two"), '{"prompt":"a","chosen":"other","rejected":"c"}\n');
  assert.equal(await row("one"), "b");
  await assert.rejects(row("two"), /not there any more/);
  await assert.rejects(
    row("one", { rows: "0" }),
    /The run does not say which version of train_data\[0\]\/one\/rows/,
  );
});

test("a row of a hub data set comes from the commit that the run read, and nobody is asked for it", async (t) => {
  const before = process.env["HF_HUB_CACHE"];
  process.env["HF_HUB_CACHE"] = join(root, "hub");
  t.after(() => {
    if (before === undefined) delete process.env["HF_HUB_CACHE"];
    else process.env["HF_HUB_CACHE"] = before;
  });
  const asked = t.mock.method(globalThis, "fetch", () => Promise.reject(new Error("asked")));
  const repo = join(root, "hub", "datasets--o--n");
  const commits = ["a", "b"].map((digit) => digit.repeat(40)) as [string, string];
  for (const commit of commits) {
    mkdirSync(join(repo, "snapshots", commit, "data"), { recursive: true });
    const text = JSON.stringify({ prompt: "a", chosen: commit, rejected: "c" });
    writeFileSync(join(repo, "snapshots", commit, "data", "train.jsonl"), text);
  }
  writeFileSync(join(root, "hub", "secret.jsonl"), '{"prompt":"a","chosen":"b","rejected":"c"}\n');
  mkdirSync(join(repo, "refs"));
  writeFileSync(join(repo, "refs", "main"), commits[0]);
  const values = { model_name_or_path: "m", train_data: "o/n", output_dir: join(root, "run") };
  const { config } = loadConfig({ values });
  const data = await dataFilesOf(config);
  assert.deepEqual(data, { "hub:o/n": commits[0] });
  // the branch moves on
  writeFileSync(join(repo, "refs", "main"), commits[1]);
  const row = async (place: string, known: Record<string, string>) =>
    (await rowAt(place, { config, data: known }, [])).row.value["chosen"];
  assert.equal(await row("hub:o/n/data/train.jsonl:1", data), commits[0]);
  for (const [place, known] of [
    ["hub:o/n/data/test.jsonl:1", data],
    ["hub:o/other/data/train.jsonl:1", data],
    ["hub:o/n/../../../secret.jsonl:1", data],
    ["hub:o/n/secret.jsonl:1", { "hub:o/n": "../.." }],
  ] as const)
    await assert.rejects(row(place, known), /not there any more/, place);
  await assert.rejects(
    row("hub:o/n/data/train.jsonl:1", {}),
    /^ConfigError: The run does not say which version of hub:o\/n it read/,
  );
  assert.equal(asked.mock.callCount(), 0);
});

test("the tools of a row stand before its prompt", async () => {
  const path = join(root, "given", "tools.jsonl");
  const turn = (role: string, content: string) => [{ role, content }];
  const pair = {
    prompt: turn("user", "a"),
    chosen: turn("assistant", "b"),
    rejected: turn("assistant", "c"),
  };
  writeFileSync(path, `${JSON.stringify({ ...pair, tools: [{ name: "look", description: "Looks." }] })}\n`);
  const values = { model_name_or_path: "m", train_data: path, output_dir: join(root, "run") };
  const { config } = loadConfig({ values });
  const { row, spec } = await rowAt(`${path}:1`, { config, data: await dataFilesOf(config) }, [root]);
  assert.deepEqual(pairOf(row, spec, config).prompt, [
    { role: "tools", text: "look: Looks." },
    { role: "user", text: "a" },
  ]);
});
