/** `preftune score` on several ranks: each row is scored once, in the order of the file, and the values are those of one process. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { type Ended, start } from "../support/command.ts";
import { skipWithoutNames, startOnNamed } from "../support/named-hosts.ts";
import { allEnded, freePort, placesOf, startRanks, startRanksIn } from "../support/rank-processes.ts";
import { runFixture, runTraining } from "../support/runs.ts";
import { makeTinyModel } from "../support/tiny-model.ts";

// no number of ranks below divides the 19 rows, or their 7 batches
const fixture = runFixture({ family: "qwen3", rows: 19, held: 0 });
after(() => fixture[Symbol.dispose]());

const common = [
  ...["score", "--model", fixture.path("base"), "--data", fixture.path("train.jsonl"), "--device", "cpu"],
  ...["--dtype", "float32", "--threads", "1", "--batch-size", "3", "--per-token", "--objective", "simpo"],
];

function rowsOf(path: string): Record<string, unknown>[] {
  return readFileSync(path, "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
}

function assertClose(got: unknown, expected: unknown, where: string): void {
  if (Array.isArray(expected)) {
    assert.equal((got as unknown[]).length, expected.length, where);
    for (const [i, value] of expected.entries()) assertClose((got as unknown[])[i], value, `${where}[${i}]`);
  } else if (typeof expected === "number") {
    const by = Math.abs(Number(got) - expected);
    assert.ok(by <= 1e-6 * Math.max(1, Math.abs(expected)), `${where}: ${got}, one process ${expected}`);
  } else assert.equal(got, expected, where);
}

test("two and three ranks give the lines of one process", async () => {
  const alone = fixture.path("alone.jsonl");
  const { status, stderr } = await start([...common, "--output", alone]).ended;
  assert.equal(status, 0, stderr);
  const expected = rowsOf(alone);
  assert.equal(expected.length, 20);
  for (const size of [2, 3]) {
    const output = fixture.path(`${size}.jsonl`);
    const ranks = startRanks([...common, "--output", output], placesOf(size, await freePort()));
    const ends = await allEnded(ranks);
    for (const [rank, end] of ends.entries()) {
      assert.equal(end.status, 0, end.stderr);
      assert.equal(end.stdout.includes("rows scored"), rank === 0);
    }
    const got = rowsOf(output);
    assert.equal(got.length, expected.length);
    for (const [i, row] of expected.entries()) {
      assert.deepEqual(Object.keys(got[i] ?? {}).sort(), Object.keys(row).sort());
      for (const [key, value] of Object.entries(row))
        assertClose(got[i]?.[key], value, `${key} of line ${i + 1}`);
    }
  }
});

test("two ranks give the rewards of one process, as a reward model has them", async () => {
  const dir = fixture.path("reward");
  const recipe = { objective: "reward", use_peft: false, max_steps: 1, save_strategy: "no", output_dir: dir };
  await runTraining({ ...fixture.values, ...recipe });
  const options = [
    ...["score", "--model", `${dir}/model`, "--data", fixture.path("train.jsonl"), "--device", "cpu"],
    ...["--dtype", "float32", "--threads", "1", "--batch-size", "3"],
  ];
  const [one, two] = ["rewards 1.jsonl", "rewards 2.jsonl"].map((name) => fixture.path(name)) as [
    string,
    string,
  ];
  const places = placesOf(2, await freePort());
  const ends = await allEnded([
    ...startRanks([...options, "--output", one], [{}]),
    ...startRanks([...options, "--output", two], places),
  ]);
  for (const { status, stderr } of ends) assert.equal(status, 0, stderr);
  assert.deepEqual(
    ends.map(({ stdout }) => /19 rows scored/.test(stdout)),
    [true, true, false],
  );
  const [expected, got] = [rowsOf(one), rowsOf(two)];
  assert.equal(expected.length, 20);
  assert.ok(new Set(expected.map((row) => row["reward/chosen"])).size > 5);
  assertClose(
    got.map((row) => Object.entries(row).flat()),
    expected.map((row) => Object.entries(row).flat()),
    "rewards",
  );
});

/** Two ranks end with the same words, which are about `what`. */
function assertDiffer([first, second]: readonly Ended[], what: string): void {
  const words = `the ranks of this run differ:\n  ${what}: \\w+ on rank 0 .*, \\w+ on rank 1 .*\nCopy the same files`;
  // rank 0 says how far it has come
  const [said, alike] = [first, second].map((end) => end?.stderr.replace(/^\{"phase".*\n/gm, ""));
  assert.match(said ?? "", new RegExp(words));
  assert.equal(alike, said);
  assert.deepEqual([first?.status, second?.status], [2, 2]);
}

const other = {
  model: makeTinyModel(fixture.path("other"), { family: "qwen3", seed: 9 }),
  "rows.jsonl": fixture.path("fewer.jsonl"),
};
const [, ...fewer] = readFileSync(fixture.path("train.jsonl"), "utf8").split("\n");
writeFileSync(other["rows.jsonl"], fewer.join("\n"));

/** A folder a host, in which `model` or `rows.jsonl` is another. */
function foldersWith(what: keyof typeof other): string[] {
  const same = { model: fixture.path("base"), "rows.jsonl": fixture.path("train.jsonl") };
  return [0, 1].map((host) => {
    const dir = fixture.path(`${what} of host ${host}`);
    mkdirSync(dir);
    const own = host === 0 ? same : { ...same, [what]: other[what] };
    for (const [name, path] of Object.entries(own)) symlinkSync(path, join(dir, name));
    return dir;
  });
}

const relative = (output: string) => [
  ...common,
  "--model",
  "model",
  "--data",
  "rows.jsonl",
  "--output",
  output,
];

test("ranks whose models differ end with the same words", async () => {
  const output = fixture.path("models.jsonl");
  const folders = foldersWith("model");
  const ends = await allEnded(startRanksIn(folders, relative(output), placesOf(2, await freePort())));
  assertDiffer(ends, "model, adapter and tokenizer");
  assert.equal(existsSync(output), false);
});

test("hosts whose rows differ end with the same words", { skip: skipWithoutNames() }, async () => {
  const output = fixture.path("rows of two.jsonl");
  const folders = foldersWith("rows.jsonl");
  const args = ["../../src/cli/main.ts", ...relative(output)];
  const cache = (host: number) => ({ PREFTUNE_ROW_CACHE: fixture.path(`cache ${host}`) });
  const ranks = await startOnNamed([1, 1], args, cache, (host) => folders[host] ?? "");
  assertDiffer(await allEnded(ranks), "rows");
  assert.equal(existsSync(output), false);
});

test("a rank with other options is named, and nothing is written", async () => {
  const output = fixture.path("none.jsonl");
  const places = placesOf(2, await freePort());
  const ranks = places.flatMap((place, rank) =>
    startRanks([...common, "--output", output, ...(rank === 1 ? ["--limit", "3"] : [])], [place]),
  );
  for (const { status, stderr } of await allEnded(ranks)) {
    assert.equal(status, 2);
    assert.match(
      stderr,
      /the ranks of this run differ:\n {2}options of score: .*Give all ranks the same options/s,
    );
  }
  assert.equal(existsSync(output), false);
});
