/** `preftune score` on several ranks: each row is scored once, in the order of the file, and the values are those of one process. */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { after, test } from "node:test";
import { start } from "../support/command.ts";
import { allEnded, freePort, placesOf, startRanks } from "../support/rank-processes.ts";
import { runFixture, runTraining } from "../support/runs.ts";

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
