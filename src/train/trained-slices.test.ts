/**
 * A checkpoint read and written again by one number of ranks after another: every number of weights and optimiser comes back as it
 * was. The ranks take turns in one process: writing and reading takes no collective.
 */
import assert from "node:assert/strict";
import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { makeTinyModel } from "../../test/support/tiny-model.ts";
import { adaptPatterned, temporaryDirectory, tinyAdapterConfig } from "../../test/support/tiny-models.ts";
import { FormatError } from "../base/errors.ts";
import { Random } from "../base/random.ts";
import type { RankGroup } from "../distributed/rank-group.ts";
import type { Environment } from "../forward/environment.ts";
import { loadModel } from "../models/load.ts";
import { writeAdapter } from "../models/save.ts";
import { AdamW } from "../optim/adamw.ts";
import { noGrad, ops, scope, tensor } from "../torch/index.ts";
import { readTrained, readTrainedState, writeTrainedState } from "./checkpoint.ts";
import { adapterParameters } from "./parameters.ts";
import { prepareModel, type TrainedSelection } from "./prepare-model.ts";
import { prepareSharded } from "./prepare-sharded.ts";
import { ownSliceFile, writeOwnSlices } from "./trained-slices.ts";

type Kind = "full" | "adapter";
type Numbers = Record<string, number[]>;

const adamw = { adam_beta1: 0.9, adam_beta2: 0.999, adam_epsilon: 1e-8, weight_decay: 0.01 };
const float32: Environment = { device: "cpu", dtype: "float32", threads: 1, matmul: "torch" };

/** A model, and an adapter for it where one is trained. */
function selectionIn(dir: string, kind: Kind): TrainedSelection {
  const base = makeTinyModel(join(dir, "base"), { family: kind === "full" ? "llama_tied" : "qwen3" });
  const adapter = join(dir, "adapter");
  if (kind === "adapter") {
    mkdirSync(adapter);
    const model = loadModel(base);
    const { config } = adaptPatterned(
      model,
      tinyAdapterConfig({ useDora: true, modulesToSave: ["lm_head"] }),
    );
    writeAdapter(adapter, config, adapterParameters(model).tensors);
  }
  return {
    ...{ model_name_or_path: base, baseModel: base, use_peft: kind === "adapter" },
    ...{ adapter_name_or_path: kind === "adapter" ? adapter : null, disable_dropout: true },
    ...{ lora_r: 4, lora_alpha: 8, lora_dropout: 0, lora_target_modules: "all-linear" },
    ...{ lora_modules_to_save: [], use_rslora: false, use_dora: true },
  };
}

function complete(selection: TrainedSelection, environment: Environment) {
  const trained = prepareModel(selection, environment);
  return { ...trained, optimizer: new AdamW(trained.parameters, adamw), ranks: null };
}

function ofRank(selection: TrainedSelection, environment: Environment, rank: number, size: number) {
  // only the first two are used: nothing is gathered
  const group = { rank, size } as RankGroup;
  const { sharded, ...trained } = prepareSharded(selection, environment, { group, keep_gathered: false });
  return {
    ...trained,
    optimizer: new AdamW(trained.parameters, adamw),
    ranks: { group, sharded, replicas: null, sharers: [...Array(size).keys()] },
  };
}

/** Both hold what checkpoints are about; nothing else of a training is used. */
type Trained = ReturnType<typeof complete> | ReturnType<typeof ofRank>;
type Readable = Parameters<typeof readTrainedState>[1];

function read(dir: string, trained: Trained): void {
  readTrainedState(dir, trained as unknown as Readable);
}

function numbersOf({ parameters, optimizer }: Trained): Numbers {
  const states = [...optimizer.stateTensors()].map(([name, of]) => [name, of.toNumbers()] as const);
  return Object.fromEntries([
    ...[...parameters].map((p) => [p.name, p.tensor.toNumbers()] as const),
    ...states,
  ]);
}

/** Other weights than those of the files, and a state as after 17 updates. */
function randomise({ parameters, optimizer }: Trained): void {
  const random = new Random(3);
  const states = new Map(optimizer.stateTensors());
  noGrad(() => {
    for (const [name, of] of [...[...parameters].map((p) => [p.name, p.tensor] as const), ...states]) {
      const isCount = name.endsWith(".step");
      const numbers = Array.from({ length: of.numel }, () => (isCount ? 17 : random.next()));
      ops.copy_(ops.detach(of), tensor(numbers, of.shape));
    }
  });
}

/** What is trained, and in which type. */
interface Setting {
  selection: TrainedSelection;
  environment: Environment;
}

/** Has `size` ranks read the checkpoint in `from` and write theirs into `to`; with 1 a process that is alone does. */
function handOver(setting: Setting, from: string, to: string, size: number): void {
  const { selection, environment } = setting;
  mkdirSync(to);
  for (let rank = 0; rank < size; rank++) {
    using _ = scope();
    const trained =
      size === 1 ? complete(selection, environment) : ofRank(selection, environment, rank, size);
    read(from, trained);
    const file = ownSliceFile(trained);
    if (file === null) writeTrainedState(to, trained as unknown as Readable);
    else writeOwnSlices(to, file, trained as unknown as Readable, 20);
    trained.dispose();
  }
}

for (const kind of ["full", "adapter"] as const) {
  for (const dtype of ["float32", "bfloat16"] as const) {
    test(`${kind} in ${dtype}: 1, 2, 3, 1, 4, 7 and 2 ranks hand a checkpoint on`, () => {
      using dir = temporaryDirectory();
      using _ = scope();
      const environment = { ...float32, dtype };
      const selection = selectionIn(dir.path, kind);
      const place = (i: number): string => join(dir.path, `checkpoint-${i}`);
      const first = complete(selection, environment);
      randomise(first);
      const want = numbersOf(first);
      mkdirSync(place(0));
      writeTrainedState(place(0), first as unknown as Readable);
      for (const [i, size] of [2, 3, 1, 4, 7, 2].entries()) {
        handOver({ selection, environment }, place(i), place(i + 1), size);
        const second = complete(selection, environment);
        read(place(i + 1), second);
        assert.deepEqual(numbersOf(second), want);
        second.dispose();
      }
      assert.deepEqual(
        readdirSync(place(5)).sort(),
        [1, 2, 3, 4, 5, 6, 7].map((n) => `rank-0000${n - 1}-of-00007.safetensors`),
      );
    });
  }
}

test("weights alone are read without the optimiser's state", () => {
  using dir = temporaryDirectory();
  using _ = scope();
  const selection = selectionIn(dir.path, "full");
  const first = complete(selection, float32);
  randomise(first);
  const [one, two] = [join(dir.path, "one"), join(dir.path, "two")];
  mkdirSync(one);
  writeTrainedState(one, first as unknown as Readable);
  handOver({ selection, environment: float32 }, one, two, 2);
  rmSync(join(one, "optimizer.safetensors"));
  for (const from of [one, two]) {
    const second = ofRank(selection, float32, 1, 3);
    readTrained(from, second as unknown as Readable);
    const states = [...second.optimizer.stateTensors()];
    assert.ok(states.every(([, state]) => state.toNumbers().every((number) => number === 0)));
    const numbers = [...second.parameters].flatMap((p) => p.tensor.toNumbers());
    assert.ok(numbers.length > 0 && new Set(first.parameters.tensors.keys()).size > 0);
    const all = new Set(Object.values(numbersOf(first)).flat());
    assert.ok(numbers.every((number) => number === 0 || all.has(number)));
  }
});

test("a rank's file that is not there, or of another step, is refused by name", () => {
  using dir = temporaryDirectory();
  using _ = scope();
  const selection = selectionIn(dir.path, "full");
  const first = complete(selection, float32);
  randomise(first);
  const [one, two] = [join(dir.path, "one"), join(dir.path, "two")];
  mkdirSync(one);
  writeTrainedState(one, first as unknown as Readable);
  handOver({ selection, environment: float32 }, one, two, 2);
  rmSync(join(two, "rank-00001-of-00002.safetensors"));
  const refused = (message: RegExp): void => {
    const second = ofRank(selection, float32, 0, 2);
    assert.throws(
      () => read(two, second),
      (error: Error) => error instanceof FormatError && message.test(error.message),
    );
  };
  refused(/two: model tensor "model\..*" is missing|this model asks for/);
  const other = ofRank(selection, float32, 1, 2);
  read(one, other);
  for (const [name, count] of other.optimizer.stateTensors())
    if (name.endsWith(".step")) noGrad(() => ops.add_(count, tensor([1], [])));
  writeOwnSlices(two, "rank-00001-of-00002.safetensors", other as unknown as Readable, 21);
  refused(/expected files of one step, got 17 and 18 updates/);
});

test("a checkpoint of one process whose tensors had different numbers of updates is refused on ranks, with what reads it", () => {
  using dir = temporaryDirectory();
  using _ = scope();
  const selection = selectionIn(dir.path, "full");
  const first = complete(selection, float32);
  randomise(first);
  const [count] = [...first.optimizer.stateTensors()].filter(([name]) => name.endsWith(".step"));
  noGrad(() => ops.add_(count?.[1] ?? tensor([0], []), tensor([1], [])));
  writeTrainedState(dir.path, first as unknown as Readable);
  const second = ofRank(selection, float32, 0, 2);
  assert.throws(
    () => read(dir.path, second),
    (error: Error) =>
      error instanceof FormatError &&
      /optimizer.safetensors: expected as many updates of each tensor, .* got 1[78] and 1[78]: .* in one process, or on ranks with shard: none/.test(
        error.message,
      ),
  );
  const alone = complete(selection, float32);
  read(dir.path, alone);
  assert.deepEqual(numbersOf(alone), numbersOf(first));
});

test("of hosts that hold the same parts, the first one's ranks write them", () => {
  const files = [0, 1, 2, 3].map((rank) => {
    const sharded = { group: { rank: rank % 2, size: 2 } };
    const ranks = { group: { rank, size: 4 }, sharded, replicas: null, sharers: [0, 1] };
    return ownSliceFile({ ranks } as unknown as Parameters<typeof ownSliceFile>[0]);
  });
  const written = ["rank-00000-of-00002.safetensors", "rank-00001-of-00002.safetensors"];
  assert.deepEqual(files, [...written, null, null]);
});
