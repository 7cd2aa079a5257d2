/** NaN and infinite numbers put into loss, gradient, weight and log-probs: nothing changes, the row is named, five in a row end it. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { DataError, TrainingError } from "../../src/base/errors.ts";
import { Random } from "../../src/base/random.ts";
import { readSafetensorsHeader } from "../../src/formats/safetensors.ts";
import type { MicroBatch } from "../../src/forward/batch.ts";
import { dpo } from "../../src/methods/dpo/loss.ts";
import { type PairLogps, type PairObjective, pairLogps } from "../../src/methods/objective.ts";
import { simpo } from "../../src/methods/simpo/loss.ts";
import type { TrainEvent } from "../../src/runs/train-events.ts";
import { loadTokenizer } from "../../src/text/tokenizer.ts";
import { noGrad, ops, scope, type Tensor, tensor } from "../../src/torch/index.ts";
import { type Training, trainStep } from "../../src/train/step.ts";
import { amount, campaignSeed, figure, isNightly } from "../support/campaign.ts";
import { pairsOf, totalsOf } from "../support/completion-lists.ts";
import { microBatch } from "../support/fixtures.ts";
import { notesOf, runFixture, runTraining, type Values } from "../support/runs.ts";
import { pairRows, writeRows } from "../support/tiny-model.ts";
import { type TinyName, tinyConfig, tinyNames } from "../support/tiny-models.ts";
import {
  randomRows,
  scriptSlime,
  stateHash,
  tinyTraining,
  tinyVocabulary,
} from "../support/tiny-training.ts";

const random = new Random(campaignSeed);
const infinity = Number.POSITIVE_INFINITY;
const slimes = scriptSlime;
const pairObjectives: Record<string, PairObjective> = {
  slime: slimes,
  dpo: dpo({ beta: 0.1, label_smoothing: 0, loss_type: "sigmoid" }),
  "dpo, smoothed": dpo({ beta: 0.1, label_smoothing: 0.1, loss_type: "sigmoid" }),
  ipo: dpo({ beta: 0.1, label_smoothing: 0, loss_type: "ipo" }),
  simpo: simpo({ beta: 2, simpo_gamma: 1, label_smoothing: 0, cpo_alpha: 0 }),
};

/** Writes `bad` over the number `at` of a tensor; by default any of them. */
function spoil(values: Tensor, bad: number, at: number = random.below(values.numel)): number {
  noGrad(() => {
    const flat = ops.view(ops.detach(values), [values.numel]);
    ops.copy_(ops.slice(flat, 0, at, at + 1), tensor([bad]));
  });
  return at;
}

type Place = "loss" | "gradient" | "weight";

const embedding = "model.embed_tokens.weight";

/** Whether a step reads no number at `at` of a tensor: one in a row of an embedding, not the head too, whose token no batch has. */
function isUnread(
  { parameters: { tensors } }: Training,
  batches: readonly MicroBatch[],
  name: string,
  at: number,
): boolean {
  if (name !== embedding || !tensors.has("lm_head.weight")) return false;
  const row = Math.floor(at / (tensors.get(name)?.shape[1] ?? Number.NaN));
  return batches.every(({ packed }) => !packed.ids.includes(row));
}

/** How many numbers of the weights and the optimiser are not finite. */
function brokenNumbers({ parameters, optimizer }: Training): number {
  const tensors = [
    ...parameters.tensors.values(),
    ...Array.from(optimizer.stateTensors(), ([, state]) => state),
  ];
  return tensors.flatMap((each) => each.toNumbers().filter((x) => !Number.isFinite(x))).length;
}

/** A weight to spoil: of which tensor, and the first number of which token's row. */
interface Weight {
  name: string;
  token?: number;
}

/** Ends of a step with a number that is not finite: it changed no bit, did not read the number, or neither as it should. */
type End = "skipped" | "unread" | "wrong";

/** A step of a new training with `bad` in one place, of a weight in the one given or any. */
function endOf(place: Place, bad: number, name: TinyName, weight?: Weight): End {
  using _ = scope();
  let isSpoiled = false;
  const objective: PairObjective = {
    ...slimes,
    evaluate(pairs, totals) {
      const result = slimes.evaluate(pairs, totals);
      return isSpoiled ? { ...result, loss: ops.add(result.loss, bad) } : result;
    },
  };
  const kind = weight === undefined && random.below(2) === 0 ? "lora" : "full";
  const training = tinyTraining(name, kind, objective);
  const drawn = () => [microBatch(randomRows(random, 2)), microBatch(randomRows(random, 1), true, 2)];
  const step = (seed: number, batches: MicroBatch[]) =>
    trainStep(training, batches, { learningRate: 1e-2, seed, log_entropy: false });
  assert.equal(step(0, drawn()).skipped, null);
  const batches = drawn();
  const { shards } = training.parameters;
  const chosen =
    weight === undefined ? random.pick(shards) : shards.find((each) => each.name === weight.name);
  assert.ok(chosen !== undefined);
  const { tensor: parameter } = chosen;
  isSpoiled = place === "loss";
  const first = weight?.token === undefined ? undefined : weight.token * (parameter.shape[1] as number);
  const at = place === "weight" ? spoil(parameter, bad, first) : 0;
  if (place === "gradient") {
    parameter.grad = noGrad(() => ops.zerosLike(ops.detach(parameter)));
    spoil(parameter.grad, bad);
  }
  const before = stateHash(training);
  const { skipped } = step(1, batches);
  assert.ok(training.parameters.shards.every(({ tensor: { grad } }) => grad === null));
  const isSame = stateHash(training) === before;
  const broken = brokenNumbers(training);
  for (const [, state] of training.optimizer.stateTensors()) state.dispose();
  // what is not read harms nothing: the step is taken, and the number stays the only one
  if (place === "weight" && isUnread(training, batches, chosen.name, at))
    return skipped === null && !isSame && broken === 1 ? "unread" : "wrong";
  return skipped === "not finite" && isSame ? "skipped" : "wrong";
}

test("NaN or infinity in the loss, a gradient or a weight: the step changes no bit of weights and optimiser", () => {
  const bads = [Number.NaN, infinity, -infinity];
  const places: Place[] = ["loss", "gradient", "weight"];
  const count = amount(24, 1000);
  const ends: Record<End, number> = { skipped: 0, unread: 0, wrong: 0 };
  for (let i = 0; i < count; i++) {
    const place = places[Math.floor(i / 3) % 3] as Place;
    // a fourth of the weights in embeddings, whose rows may be of no token in the step
    const weight = i % 36 < 9 ? { name: embedding } : undefined;
    ends[endOf(place, bads[i % 3] as number, random.pick(tinyNames), weight)] += 1;
    if (isNightly && i % 100 === 99) process.stdout.write(`${i + 1} of ${count} injections\n`);
  }
  figure(
    10,
    "NaN, ∞ and −∞ in a loss, one gradient or one weight",
    `${count} injections, ${ends.wrong} with a changed bit or an applied step, beside ${ends.unread} applied as they should: in embeddings of tokens that the step does not have`,
    "0",
    ends.wrong === 0,
  );
});

test("a number that is not finite in an embedding: of a token in the batch the step is skipped, of another it is applied", () => {
  const ends = { tied: new Set<End>(), untied: new Set<End>() };
  for (const name of tinyNames) {
    const kind = tinyConfig(name)["tie_word_embeddings"] === true ? "tied" : "untied";
    for (let token = 0; token < tinyVocabulary; token += 4)
      ends[kind].add(endOf("weight", Number.NaN, name, { name: embedding, token }));
  }
  assert.deepEqual(ends, { tied: new Set(["skipped"]), untied: new Set(["skipped", "unread"]) });
});

/** What an objective gives for one pair, with the gradient of each token. */
function lossOf(
  objective: PairObjective,
  {
    chosen = [-1, -2],
    rejected = [-1, -3],
    reference = [-3, -4],
  }: Partial<Record<"chosen" | "rejected" | "reference", number[]>>,
): number {
  using _ = scope();
  const answers = pairsOf([chosen], [rejected], reference);
  return objective.evaluate(pairLogps(answers), totalsOf([chosen], [rejected])).loss.item();
}

test("a log-prob of −∞ gives each objective's limit, and NaN only where there is none", () => {
  const cases: [what: string, given: Parameters<typeof lossOf>[1], limits: Record<string, number>][] = [
    [
      "chosen",
      { chosen: [-1, -infinity] },
      { slime: infinity, dpo: infinity, "dpo, smoothed": infinity, ipo: infinity, simpo: infinity },
    ],
    [
      "rejected",
      { rejected: [-infinity, -1] },
      { slime: infinity, dpo: 0, "dpo, smoothed": infinity, ipo: infinity, simpo: 0 },
    ],
    [
      "the reference's chosen",
      { reference: [-infinity, -4] },
      { dpo: 0, "dpo, smoothed": infinity, ipo: infinity },
    ],
    [
      "the reference's rejected",
      { reference: [-3, -infinity] },
      { dpo: infinity, "dpo, smoothed": infinity, ipo: infinity },
    ],
  ];
  for (const [what, given, limits] of cases) {
    for (const [name, want] of Object.entries(limits)) {
      const got = lossOf(pairObjectives[name] as PairObjective, given);
      assert.equal(Math.abs(got), want, `${name}, ${what}: ${got}`);
    }
  }
  const none = { chosen: [-infinity], rejected: [-infinity] };
  for (const name of ["dpo", "simpo"])
    assert.ok(Number.isNaN(lossOf(pairObjectives[name] as PairObjective, none)));
});

const markedLine = 3;
const markedTokens = 60;

/** The objective, told that the marked row's chosen or rejected answer has a log-prob of −∞. */
function masking(sound: PairObjective, side: "chosen" | "rejected"): PairObjective {
  return {
    ...sound,
    evaluate(pairs, totals) {
      const marked = ops.gt(pairs.chosenLengths, markedTokens);
      const mask = (values: Tensor) => ops.maskedFill(values, marked, -infinity);
      const changed: Partial<PairLogps> =
        side === "chosen"
          ? { chosenLogps: mask(pairs.chosenLogps), chosenMeanLogps: mask(pairs.chosenMeanLogps) }
          : { rejectedLogps: mask(pairs.rejectedLogps), rejectedMeanLogps: mask(pairs.rejectedMeanLogps) };
      return sound.evaluate({ ...pairs, ...changed }, totals);
    },
  };
}

function namesIn(events: readonly TrainEvent[]): string[] {
  return events.flatMap((event) => (event.type === "skipped" ? event.rows : []));
}

test("runs with an answer of log-prob −∞ skip its steps and name its row; five in a row end with status 6", async () => {
  using fixture = runFixture({ rows: 6, held: 2 });
  const rows = pairRows(6);
  (rows[markedLine - 1] as (typeof rows)[number]).chosen = "a".repeat(markedTokens + 10);
  const path = writeRows(fixture.path("marked.jsonl"), rows);
  const base: Values = {
    ...fixture.values,
    train_data: path,
    eval_data: null,
    per_device_train_batch_size: 2,
    gradient_accumulation_steps: 1,
    max_steps: 3,
    save_strategy: "no",
    logging_steps: 1,
    use_peft: true,
    lora_r: 2,
  };
  const origin = `${path}:${markedLine}`;
  const named: string[] = [];
  for (const [name, keys] of [
    ["slime", { objective: "slime" }],
    ["dpo", { objective: "dpo" }],
    ["simpo", { objective: "simpo" }],
  ] as const) {
    const objective = masking(pairObjectives[name] as PairObjective, "chosen");
    const values = { ...base, ...keys, output_dir: fixture.path(`run-${name}`) };
    const { events, summary } = await runTraining(values, { objective });
    assert.deepEqual(namesIn(events), [origin], name);
    assert.equal(summary.skippedSteps, 1);
    const text = readFileSync(fixture.path(`run-${name}`, "metrics.jsonl"), "utf8");
    assert.match(text, /"loss":(NaN|Infinity)/, "neither 0 nor null");
    named.push(name);
  }
  const broken: PairObjective = {
    ...slimes,
    evaluate(pairs, totals) {
      const result = slimes.evaluate(pairs, totals);
      return { ...result, loss: ops.mul(result.loss, Number.NaN) };
    },
  };
  const ending = runTraining(
    { ...base, objective: "slime", max_steps: 9, output_dir: fixture.path("ends") },
    { objective: broken },
  );
  await assert.rejects(ending, (error: unknown) => error instanceof TrainingError && error.exitCode === 6);
  figure(
    10,
    "runs with an answer of log-prob −∞",
    `${named.length} of 3 objectives name its row`,
    "all",
    named.length === 3,
  );
});

/** Changes numbers of a model's only weight file: those from `from` on of each tensor named. */
function overwrite(dir: string, changes: Record<string, { from: number; values: readonly number[] }>): void {
  const path = join(dir, "model.safetensors");
  const { tensors, dataStart } = readSafetensorsHeader(path);
  const bytes = readFileSync(path);
  for (const [name, { from, values }] of Object.entries(changes)) {
    const entry = tensors.get(name);
    assert.ok(entry !== undefined, name);
    for (const [i, value] of values.entries())
      bytes.writeFloatLE(value, dataStart + entry.begin + 4 * (from + i));
  }
  writeFileSync(path, bytes);
}

test("numbers that grow too large on the way: an evaluation names its rows, DPO's reference pass refuses one", async () => {
  using fixture = runFixture({ family: "llama_untied", rows: 4, held: 2 });
  // a large norm and a large row of the head, each of which might serve alone
  overwrite(fixture.values["model_name_or_path"] as string, {
    "model.norm.weight": { from: 0, values: [1e4] },
    "lm_head.weight": { from: 0, values: [1e36] },
  });
  const base = { ...fixture.values, use_peft: true, max_steps: 1, eval_strategy: "steps", eval_steps: 1 };
  const seen: TrainEvent[] = [];
  const values = { ...base, objective: "slime", eval_on_start: true, output_dir: fixture.path("slime") };
  // what comes of such a model is not exported
  await assert.rejects(runTraining(values, { onEvent: (event) => seen.push(event) }));
  const notes = notesOf({ events: seen });
  assert.match(notes.join("\n"), /evaluation at step 0: log-probs that are not finite in \S*held\.jsonl:\d/);
  const dpoRun = runTraining({ ...base, objective: "dpo", output_dir: fixture.path("dpo") });
  await assert.rejects(
    dpoRun,
    /\.jsonl:\d, reference log-probs: the log-prob of the (chosen|rejected) completion is (NaN|-?Infinity)/,
  );
});

test("a token that the head masks out: its rows are refused before training, by name", async () => {
  using fixture = runFixture({ family: "llama_untied", rows: 6, held: 2 });
  // the row of "z", which one row of the data has
  const tokenizer = loadTokenizer(fixture.values["model_name_or_path"] as string);
  const [id = 0] = tokenizer.encode("z", { addSpecialTokens: false });
  const rows = pairRows(6);
  (rows[4] as (typeof rows)[number]).rejected = "zzz";
  const width = tinyConfig("llama_untied")["hidden_size"] as number;
  overwrite(fixture.values["model_name_or_path"] as string, {
    "lm_head.weight": { from: id * width, values: [-3e38] },
  });
  const data = writeRows(fixture.path("masked.jsonl"), rows);
  const run = runTraining({
    ...fixture.values,
    train_data: data,
    eval_data: null,
    objective: "slime",
    use_peft: true,
    max_steps: 1,
    output_dir: fixture.path("run"),
  });
  await assert.rejects(run, (error: unknown) => {
    assert.ok(error instanceof DataError);
    assert.match(error.message, /masks out, .*masked\.jsonl:5 \(token \d+\)\. Remove the rows/);
    return true;
  });
});
