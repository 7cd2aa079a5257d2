/** `preftune generate` on several ranks: the completions of one process, byte for byte, whether each has the model or all share it. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { start } from "../support/command.ts";
import { allEnded, freePort, placesOf, startRanks, startRanksIn } from "../support/rank-processes.ts";
import { runFixture, runTraining } from "../support/runs.ts";
import { until } from "../support/signalled.ts";
import { makeTinyModel, writeRows } from "../support/tiny-model.ts";

const fixture = runFixture({ family: "llama_untied", rows: 6, held: 0 });
after(() => fixture[Symbol.dispose]());

// on 2 ranks one has a prompt more, and completions of different lengths
const prompts = writeRows(
  fixture.path("prompts.jsonl"),
  ["red", "a longer prompt of some words", "blue", "x", "one two three"].map((prompt) => ({ prompt })),
);

function common(adapters: readonly string[]): string[] {
  return [
    ...["generate", "--model", fixture.path("base"), ...adapters.flatMap((dir) => ["--adapter", dir])],
    ...["--prompts", prompts, "--samples", "2", "--max-new-tokens", "12", "--seed", "7", "--stop", "e"],
    ...["--device", "cpu", "--dtype", "float32", "--threads", "1"],
  ];
}

/** Generates on two ranks, which must end well; gives what rank 0 prints and the output. */
async function onRanks(args: readonly string[], name: string): Promise<{ said: string; output: string }> {
  const output = fixture.path(`${name}.jsonl`);
  const ends = await allEnded(startRanks([...args, "--output", output], placesOf(2, await freePort())));
  for (const { status, stderr } of ends) assert.equal(status, 0, stderr);
  assert.equal(ends[1]?.stdout, "");
  return { said: ends[0]?.stdout ?? "", output: readFileSync(output, "utf8") };
}

/** Starts two ranks, which must end with a message each. */
async function allRefuse(args: readonly string[], message: RegExp): Promise<void> {
  for (const { status, stderr } of await allEnded(startRanks(args, placesOf(2, await freePort())))) {
    assert.notEqual(status, 0);
    assert.match(stderr, message);
  }
}

test("two ranks, with an adapter: the file of one process", async () => {
  const dir = fixture.path("run");
  const lora = { use_peft: true, lora_r: 4, learning_rate: 0.05, max_steps: 2, save_strategy: "no" };
  await runTraining({ ...fixture.values, ...lora, output_dir: dir });
  const adapter = `${dir}/adapter`;
  for (const adapters of [[adapter], ["base", adapter]]) {
    const name = `${adapters.length} adapters`;
    const alone = fixture.path(`alone ${name}.jsonl`);
    const { status, stderr } = await start([...common(adapters), "--output", alone]).ended;
    assert.equal(status, 0, stderr);
    const expected = readFileSync(alone, "utf8");
    assert.equal(expected.trim().split("\n").length, 5 * adapters.length);
    const whole = await onRanks(common(adapters), `whole ${name}`);
    assert.match(whole.said, /^each rank has the whole model: whole it takes .* a rank\.\n/);
    assert.match(whole.said, new RegExp(`${5 * adapters.length} prompts answered`));
    assert.equal(whole.output, expected);
    if (adapters.length > 1) {
      const refused = fixture.path("refused.jsonl");
      await allRefuse(
        [...common(adapters), "--shard", "all", "--output", refused],
        /--adapter: expected one where ranks share the model \(as asked\), got base, adapter\. Generate with one after another/,
      );
      assert.equal(existsSync(refused), false);
      continue;
    }
    const shared = await onRanks([...common(adapters), "--shard", "all"], `shared ${name}`);
    assert.match(shared.said, /^ranks share the model, and generate in lockstep: as asked\.\n/);
    assert.equal(shared.output, expected);
  }
  // what all ranks would note is said once
  const stranger = makeTinyModel(fixture.path("stranger"), { family: "llama_untied", seed: 9 });
  const args = [...common([adapter]), "--model", stranger, "--output", fixture.path("noted.jsonl")];
  const [first, second] = await allEnded(startRanks(args, placesOf(2, await freePort())));
  assert.match(first?.stderr ?? "", /note: .*it was trained from .*base, and .*stranger is another model/);
  assert.deepEqual([first?.status, second?.status, second?.stderr], [0, 0, ""]);
  assert.deepEqual(
    readdirSync(fixture.dir).filter((file) => file.includes(".partial")),
    [],
  );
});

test("what is left of ranks that were killed is continued from, by one process too", async () => {
  const many = writeRows(
    fixture.path("many.jsonl"),
    Array.from({ length: 80 }, (_, i) => ({ prompt: `prompt ${i}` })),
  );
  const output = fixture.path("killed.jsonl");
  const args = [
    ...[
      "generate",
      "--model",
      fixture.path("base"),
      "--prompts",
      many,
      "--max-new-tokens",
      "200",
      "--seed",
      "3",
    ],
    ...["--device", "cpu", "--dtype", "float32", "--threads", "1", "--output"],
  ];
  const partials = [`${output}.partial`, `${output}.partial-1`];
  const begun = () =>
    partials.map((path) => (existsSync(path) ? readFileSync(path, "utf8").trim().split("\n").length : 0));
  const ranks = startRanks([...args, output], placesOf(2, await freePort()));
  await until(() => !begun().includes(0) || existsSync(output), "lines of both ranks");
  for (const { child } of ranks) child.kill("SIGKILL");
  await allEnded(ranks);
  const kept = begun().reduce((sum, lines) => sum + lines);
  assert.ok(kept >= 2 && kept < 80, `${kept} of 80 lines were kept`);
  const again = await start([...args, output]).ended;
  assert.equal(again.status, 0, again.stderr);
  const alone = await start([...args, fixture.path("unkilled.jsonl")]).ended;
  assert.equal(alone.status, 0, alone.stderr);
  assert.equal(readFileSync(output, "utf8"), readFileSync(fixture.path("unkilled.jsonl"), "utf8"));
  assert.ok(tokensOf(again.stdout) < tokensOf(alone.stdout));
  assert.deepEqual(partials.filter(existsSync), []);
});

/** How many tokens a command says that it has sampled. */
function tokensOf(said: string): number {
  return Number(/\((\d+) tokens/.exec(said)?.[1]);
}

test("ranks whose files of prompts differ end with the same words, and nothing is written", async () => {
  const folders = [0, 1].map((rank) => fixture.path(`host ${rank}`));
  for (const [rank, dir] of folders.entries()) {
    mkdirSync(dir);
    writeRows(
      join(dir, "mine.jsonl"),
      ["red", "blue", "green"].slice(rank).map((prompt) => ({ prompt })),
    );
  }
  const output = fixture.path("differing.jsonl");
  const args = [...common([]), "--prompts", "mine.jsonl", "--output", output];
  const [first, second] = await allEnded(startRanksIn(folders, args, placesOf(2, await freePort())));
  assert.match(
    first?.stderr ?? "",
    /the ranks of this run differ:\n {2}model, adapters, template and prompts: \w+ on rank 0 .*, \w+ on rank 1 .*\nCopy the same files/,
  );
  assert.equal(second?.stderr, first?.stderr);
  assert.deepEqual([first?.status, second?.status, existsSync(output)], [2, 2, false]);
});

test("what ranks cannot do together is refused on each, with what to do", async () => {
  const output = fixture.path("none.jsonl");
  const cases: [string[], RegExp][] = [
    [
      ["generate", "--model", fixture.path("base"), "--prompt", "a"],
      /generate on 2 ranks .* takes --prompts FILE, got --prompt\. Start it by itself/,
    ],
    [
      [...common(["base", `other=${fixture.path("base")}`]), "--shard", "all", "--output", output],
      /expected a PEFT adapter directory with adapter_config\.json/,
    ],
  ];
  for (const [args, message] of cases) await allRefuse(args, message);
  const { status, stderr } = await start([...common([]), "--shard", "all", "--output", output]).ended;
  assert.equal(status, 2);
  assert.match(stderr, /--shard is for several ranks, and this is one process/);
  assert.equal(existsSync(output), false);
});
