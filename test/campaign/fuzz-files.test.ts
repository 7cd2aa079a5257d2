/**
 * Mutated files that are read less often: a weight index, the YAML of a sweep and a round, a checkpoint's manifest, a judge's
 * replies. Each is read, or refused by name.
 */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { FormatError, PreftuneError } from "../../src/base/errors.ts";
import { sealed } from "../../src/base/sealed.ts";
import { JudgmentStore } from "../../src/evaluate/judge/judgment-store.ts";
import { writeSafetensors } from "../../src/formats/safetensors-write.ts";
import { indexFileName, openWeights } from "../../src/formats/weight-index.ts";
import { checkpointPath, faultOf, latestCheckpoint, writeCheckpoint } from "../../src/runs/checkpoints.ts";
import { parseSweep } from "../../src/sweep/sweep-file.ts";
import { parseRound } from "../../src/workbench/rounds/round-file.ts";
import { amount, figure } from "../support/campaign.ts";
import {
  type FuzzTarget,
  fuzz,
  isUnharmed,
  jsonWords,
  mutatedJson,
  mutateText,
  reached,
  yamlWords,
} from "../support/fuzz.ts";
import { scratch } from "../support/scratch.ts";

const dir = mkdtempSync(join(scratch(), "fuzz-files-"));
after(() => rmSync(dir, { recursive: true, force: true }));

const isRefusal = (error: unknown): boolean => error instanceof PreftuneError;

/** Feeds `count` inputs and gives the figure; `least` of them are to be sound. */
function fuzzed<T>(
  what: string,
  count: number,
  target: Omit<FuzzTarget<T>, "isRefusal">,
  least: number,
): void {
  const outcome = fuzz(what, count, { isRefusal, ...target });
  assert.deepEqual(outcome.faults, []);
  assert.ok(outcome.accepted >= least, `only ${outcome.accepted} were sound`);
  const goal = `0 crashes, 0 above 1 s in ${count.toLocaleString("en")}`;
  figure(18, `mutated ${what}`, reached(outcome), goal, isUnharmed(outcome));
}

/** Feeds mutants of `sound` files. */
function fuzzedYaml(what: string, sound: readonly string[], feed: (yaml: string) => void): void {
  const target = { feed, show: (yaml: string) => yaml };
  fuzzed(
    what,
    amount(500, 100_000),
    { ...target, make: (random) => mutateText(random, random.pick(sound), yamlWords) },
    1,
  );
}

test("model.safetensors.index.json", () => {
  const model = join(dir, "model");
  mkdirSync(model);
  const shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"] as const;
  const weightMap: Record<string, string> = {};
  for (const [i, shard] of shards.entries()) {
    const names = [`model.layers.${i}.weight`, `model.layers.${i}.bias`];
    const tensor = { dtype: "F32", shape: [2], bytes: () => new Uint8Array(8) } as const;
    writeSafetensors(
      join(model, shard),
      names.map((name) => ({ name, ...tensor })),
    );
    for (const name of names) weightMap[name] = shard;
  }
  const index = { metadata: { total_size: 32 }, weight_map: weightMap };
  fuzzed(
    indexFileName,
    amount(500, 200_000),
    {
      make: (random) => mutatedJson(random, index),
      feed: (json) => {
        writeFileSync(join(model, indexFileName), json);
        const { tensors } = openWeights(model);
        // the shards are as they were: what is accepted says where they have their tensors
        for (const [name, { file }] of tensors)
          assert.equal(file.path, join(model, weightMap[name] as string));
      },
      show: (json) => json,
    },
    amount(20, 8000),
  );
});

const sweeps = [
  "values: {model_name_or_path: m, train_data: rows.jsonl}\nparameters:\n  learning_rate: [1e-6, 5e-6]\n  beta: [0.1]\nmetric: accuracy\nseeds: 2\n",
  "config: run.yaml\nmethod: random\nruns: 5\nseed: 3\nparameters:\n  learning_rate: {min: 1e-7, max: 1e-4, scale: log}\n  lora_r: [4, 8]\n",
  "config: run.yaml\nmethod: halving\nfactor: 3\nresource: max_steps\nleast: 10\nmost: 90\nparameters:\n  lambda_w: {min: 0.1, max: 5}\n",
];

test("the file of a sweep", () =>
  fuzzedYaml("files of sweeps, in YAML", sweeps, (yaml) => void parseSweep(yaml, "sweep.yaml")));

const round =
  "model: m\nprompts: prompts.jsonl\neval_prompts: fixed.jsonl\noutput_dir: round-1\nvalues: {objective: dpo, max_steps: 2}\n";
const rounds = [
  `${round}judge: http://127.0.0.1:8000/v1#m\njudge_mode: pairs\njudge_extra: {seed: 1}\nconcurrency: 4\n`,
  `${round}judge: people\nlabels: 20\nworkbench: bench\n`,
  `${round}reward_funcs: ["rewards.mjs#even", "math"]\nreward_weights: [1, 0.5]\npairs: best_worst\nreward_gap: 0.2\nnum_generations: 4\n`,
];

test("the file of a round", () =>
  fuzzedYaml("files of rounds, in YAML", rounds, (yaml) => void parseRound(yaml, "round.yaml")));

test("checkpoint.json", async () => {
  const checkpoints = join(dir, "checkpoints");
  await writeCheckpoint(checkpoints, 3, (place) => {
    writeFileSync(join(place, "state.json"), '{"step": 3}');
    mkdirSync(join(place, "adapter"));
    writeFileSync(join(place, "adapter", "weights"), "w".repeat(100));
  });
  const path = checkpointPath(checkpoints, 3);
  const manifest = join(path, "checkpoint.json");
  const good = readFileSync(manifest, "utf8");
  const { sha256: _, ...seed } = JSON.parse(good) as Record<string, unknown>;
  fuzzed(
    "checkpoint.json",
    amount(500, 200_000),
    {
      // with another digest than its own, with its own, or without one
      make: (random) => {
        if (random.below(3) === 0) return mutateText(random, good, jsonWords);
        const json = mutatedJson(random, seed);
        return random.below(2) === 0 && /^\{.+\}$/.test(json) ? sealed(json) : json;
      },
      feed: (json) => {
        writeFileSync(manifest, json);
        const fault = faultOf(path);
        const latest = latestCheckpoint(checkpoints);
        if (fault === null && latest.checkpoint !== null) return;
        // what is damaged is passed over, with a reason
        assert.equal(latest.checkpoint, null);
        assert.ok(latest.rejected.length === 1 && latest.rejected[0]?.reason !== "", fault ?? "");
        throw new FormatError(fault ?? "");
      },
      show: (json) => json,
    },
    amount(5, 2000),
  );
});

test("judgments.sqlite", () => {
  const path = join(dir, "judgments.sqlite");
  const replies = Array.from({ length: 20 }, (_, i) => ({
    text: `${i} `.repeat(200),
    finishReason: "stop",
    usage: null,
  }));
  {
    using store = new JudgmentStore(path);
    for (const [i, reply] of replies.entries()) store.put(`key ${i}`, { model: "m", messages: "[]" }, reply);
  }
  const good = readFileSync(path);
  fuzzed(
    "judgments.sqlite",
    amount(100, 20_000),
    {
      make: (random) => {
        const bytes = Buffer.from(good);
        for (let left = 1 + random.below(4); left > 0; left--) {
          const [at, from] = [random.below(bytes.length), random.below(bytes.length)];
          const length = random.pick([1, 1, 2, 8, 64, 4096]);
          if (random.below(2) === 0) bytes.fill(random.below(256), at, Math.min(bytes.length, at + length));
          else bytes.copyWithin(at, from, from + length);
        }
        return random.below(20) === 0 ? bytes.subarray(0, random.below(bytes.length)) : bytes;
      },
      feed: (bytes) => {
        for (const other of ["-wal", "-shm", "-journal"]) rmSync(path + other, { force: true });
        writeFileSync(path, bytes);
        using store = new JudgmentStore(path);
        // as it was, or null: asked for again
        for (const [i, reply] of replies.entries()) {
          const got = store.get(`key ${i}`);
          if (got !== null) assert.deepEqual(got, reply);
        }
      },
      show: (bytes) => `${bytes.length} bytes`,
    },
    amount(5, 1000),
  );
});
