/** What is wrong on one rank or all of a run: the same named error on every rank, and nothing hangs. */
import assert from "node:assert/strict";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { allEnded, freePort, placesOf, startRanks, type Variables } from "../support/rank-processes.ts";
import { runFixture, runTraining, type Values } from "../support/runs.ts";
import { trainOnRanks } from "../support/train-on-ranks.ts";

const fixture = runFixture({ rows: 8, held: 0 });
after(() => fixture[Symbol.dispose]());

const recipe: Values = {
  ...fixture.values,
  objective: "simpo",
  use_peft: true,
  lora_r: 2,
  shard: "all",
  train_batch_size: 2,
  per_device_train_batch_size: 1,
  max_steps: 2,
  output_dir: fixture.path("run"),
};

let files = 0;

/** What two ranks print on standard error, which both end with an error. @param variables - of rank 1 besides */
async function errorsOf(values: Values, variables: Variables = {}): Promise<string[]> {
  const file = fixture.path(`${files++}.yaml`);
  writeFileSync(file, JSON.stringify({ ...recipe, output_dir: fixture.path(`out-${files}`), ...values }));
  const places = placesOf(2, await freePort()).map((place, rank) =>
    rank === 1 ? { ...place, ...variables } : place,
  );
  const ends = await allEnded(startRanks(["train", file], places));
  for (const { status, stderr } of ends)
    assert.ok([2, 3, 4, 5, 6, 8].includes(status ?? 0), `${status}: ${stderr}`);
  return ends.map(({ stderr }) => stderr);
}

const cases: [string, Values, Variables, RegExp][] = [
  [
    "more ranks than rows in a step",
    { train_batch_size: 1 },
    {},
    /a step of 1 row cannot be divided over 2 ranks\. Start at most 1/,
  ],
  [
    "one GPU by its number",
    { device: "cuda:3" },
    {},
    /device: "cuda:3" is one GPU, and this run has several ranks/,
  ],
  [
    "updates in the backward pass, with accumulation",
    { optimizer_in_backward: true, max_grad_norm: 0 },
    {},
    /optimizer_in_backward: a step of several micro-batches adds their gradients up/,
  ],
  [
    "layers cut across GPUs",
    { tensor_parallel_size: 2 },
    {},
    /tensor_parallel_size.* layers are not cut across GPUs/s,
  ],
  [
    "another preftune and another torch on a rank",
    {},
    { NODE_OPTIONS: `--import=${join(import.meta.dirname, "../support/changed-versions.mjs")}` },
    /the ranks of this run differ:\n {2}preftune: \S+ on rank 0 \(host \S+\), 0\.0\.1 on rank 1 \(host \S+\)\n {2}torch: \S+ on rank 0 \(host \S+\), 2\.9\.0 on rank 1 \(host \S+\)\nInstall the same version on all hosts/,
  ],
];

// they wait for processes most of the time
suite("ranks", { concurrency: 4 }, () => {
  for (const [what, values, variables, expected] of cases) {
    test(what, async () => {
      for (const stderr of await errorsOf(values, variables)) assert.match(stderr, expected);
    });
  }

  test("a checkpoint that is named and is damaged", async () => {
    await trainOnRanks(2, { ...recipe, save_steps: 1 });
    const dir = join(String(recipe["output_dir"]), "checkpoints", "checkpoint-1");
    const part = "rank-00001-of-00002.safetensors";
    const bytes = readFileSync(join(dir, part));
    const flipped = Buffer.from(bytes);
    flipped[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
    const damages: [string, string | Buffer | null, RegExp][] = [
      [part, null, /rank-00001-of-00002\.safetensors is missing/],
      [part, flipped, /rank-00001-of-00002\.safetensors has changed .*\(SHA-256\)/],
      [
        part,
        readFileSync(join(dir, "..", "checkpoint-2", part)),
        /rank-00001-of-00002\.safetensors is of step 2, not of step 1/,
      ],
      ["checkpoint.json", '{"version":2}', /version 1, got version 2\. A newer version has written it/],
    ];
    for (const [name, damaged, expected] of damages) {
      const good = readFileSync(join(dir, name));
      if (damaged === null) rmSync(join(dir, name));
      else writeFileSync(join(dir, name), damaged);
      const values = { resume_from_checkpoint: dir, output_dir: recipe["output_dir"], save_steps: 1 };
      // what reads it is the same on one rank
      if (damaged !== flipped) await assert.rejects(runTraining({ ...recipe, ...values }), expected);
      else for (const stderr of await errorsOf(values)) assert.match(stderr, expected);
      writeFileSync(join(dir, name), good);
    }
  });

  test("several ranks where the system is not Linux", async () => {
    const elsewhere = `Object.defineProperty(process, "platform", { value: "darwin" })`;
    const nodeOptions = `--import=data:text/javascript,${encodeURIComponent(elsewhere)}`;
    const file = fixture.path("elsewhere.yaml");
    writeFileSync(file, JSON.stringify(recipe));
    const rows = fixture.path("train.jsonl");
    const model = String(recipe["model_name_or_path"]);
    for (const words of [
      ["train", file],
      ["score", "--model", model, "--data", rows, "--output", fixture.path("scores")],
    ]) {
      const [place = {}] = placesOf(2, 29_500);
      const [ended] = await allEnded(startRanks(words, [{ ...place, NODE_OPTIONS: nodeOptions }]));
      assert.equal(ended?.status, 2, ended?.stderr);
      assert.match(
        ended.stderr,
        /^preftune: this is one of 2 ranks \(RANK and WORLD_SIZE are set\), and several work on Linux only\. Start one process here\.\n$/,
      );
    }
  });
});
