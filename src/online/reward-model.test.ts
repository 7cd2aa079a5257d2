/** Reward models that are no good for a run, and the message they get; scoring in parts. */
import assert from "node:assert/strict";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { assertClose, withoutLeaks } from "../../test/support/close.ts";
import { scratch } from "../../test/support/scratch.ts";
import { makeTinyModel } from "../../test/support/tiny-model.ts";
import { adaptPatterned, tinyAdapterConfig, writeCheckpoint } from "../../test/support/tiny-models.ts";
import { ConfigError, FormatError } from "../base/errors.ts";
import { loadModel } from "../models/load.ts";
import { loadRewardModel } from "../models/load-reward-model.ts";
import { tensorSource, writeAdapter, writeMergedModel } from "../models/save.ts";
import { loadTokenizer } from "../text/tokenizer.ts";
import { ops, scope } from "../torch/index.ts";
import { adapterParameters, modelParameters } from "../train/parameters.ts";
import { openRewardModel, scoreCompletions } from "./reward-model.ts";

const root = mkdtempSync(join(scratch(), "preftune-reward-"));
after(() => rmSync(root, { recursive: true, force: true }));

const base = makeTinyModel(join(root, "base"));
const tokenizer = loadTokenizer(base);
const cpu = { device: "cpu", dtype: "float32" } as const;
const numerics = { dtype: "float32", gradient_checkpointing: false, logits_chunk_size: null } as const;

/** A reward model's directory, made from the base, then changed. */
function rewardDirectory(name: string, change: (dir: string) => void = () => {}): string {
  const dir = join(root, name);
  cpSync(base, dir, { recursive: true });
  rmSync(join(dir, "model.safetensors"));
  using _ = scope();
  writeMergedModel(dir, loadRewardModel(base, { newScore: "normal", copy: true }), "float32");
  change(dir);
  return dir;
}

/** Writes the weights of the reward model in `dir` again, its score layer of another shape or name. */
function withScore(dir: string, shape: readonly number[], name = "score.weight"): void {
  using _ = scope();
  const model = loadRewardModel(dir, { copy: true });
  const others = modelParameters(model).filter((parameter) => parameter.name !== "score.weight");
  const config = JSON.parse(readFileSync(join(dir, "config.json"), "utf8"));
  rmSync(join(dir, "model.safetensors"));
  writeCheckpoint(dir, config, [
    ...others.map((parameter) => tensorSource(parameter.name, parameter.tensor)),
    tensorSource(name, ops.zeros(shape, { dtype: "float32" })),
  ]);
}

function edited(dir: string, file: string, edit: (json: Record<string, unknown>) => void): void {
  const json = JSON.parse(readFileSync(join(dir, file), "utf8"));
  edit(json);
  writeFileSync(join(dir, file), JSON.stringify(json));
}

type Kind = new (...given: never[]) => Error;

const refused: [name: string, dir: string, kind: Kind, message: RegExp][] = [
  [
    "a language model",
    base,
    FormatError,
    /expected a reward model, got a language model without "score.weight"/,
  ],
  [
    "two outputs",
    rewardDirectory("two", (dir) => withScore(dir, [2, 16])),
    FormatError,
    /"score.weight": expected one output, a reward, got 2/,
  ],
  [
    "two labels",
    rewardDirectory("labels", (dir) =>
      edited(dir, "config.json", (json) => Object.assign(json, { id2label: { 0: "bad", 1: "good" } })),
    ),
    FormatError,
    /id2label: expected one label/,
  ],
  [
    "no head, though it says so",
    rewardDirectory("headless", (dir) => withScore(dir, [1, 16], "v_head.weight")),
    FormatError,
    /expected a reward model, got one without "score.weight"/,
  ],
  [
    "a head of another width",
    rewardDirectory("narrow", (dir) => withScore(dir, [1, 3])),
    FormatError,
    /"score.weight" has shape \[1,3\], config.json asks for \[1,16\]/,
  ],
  [
    "a pickle",
    rewardDirectory("pickle", (dir) =>
      renameSync(join(dir, "model.safetensors"), join(dir, "pytorch_model.bin")),
    ),
    FormatError,
    /got the pickle pytorch_model.bin/,
  ],
  [
    "another tokenizer",
    rewardDirectory("tokenizer", (dir) =>
      edited(dir, "tokenizer.json", (json) => Object.assign(json, { version: "1.0 " })),
    ),
    ConfigError,
    /expected a reward model with the policy's tokenizer.*its tokenizer.json is another/,
  ],
  ["no directory", join(root, "nothing"), FormatError, /nothing, but the directory does not exist/],
];

for (const [name, dir, kind, message] of refused) {
  test(`${name} is refused`, () => {
    withoutLeaks(() => {
      assert.throws(
        () => openRewardModel(dir, tokenizer, cpu),
        (error: unknown) => {
          assert.ok(error instanceof kind, String(error));
          assert.match(error.message, message);
          return true;
        },
      );
    });
  });
}

test("a reward model is no language model, and says so", () => {
  const dir = rewardDirectory("reward");
  assert.throws(() => loadModel(dir), /expected a language model, got a reward model/);
});

test("an adapter of a reward model is opened with the base that it names, if that is here", () => {
  withoutLeaks(() => {
    using _ = scope();
    const write = (name: string, baseModel: string) => {
      const dir = join(root, name);
      const model = loadRewardModel(base, { newScore: "normal" });
      const settings = { taskType: "SEQ_CLS", modulesToSave: ["score"], baseModel } as const;
      const config = tinyAdapterConfig({ ...settings, modulesToSave: [...settings.modulesToSave] });
      adaptPatterned(model, config);
      mkdirSync(dir);
      writeAdapter(dir, config, adapterParameters(model).tensors);
      for (const file of tokenizer.files) cpSync(join(base, file), join(dir, file));
      return {
        dir,
        scores: scoreCompletions(model, [{ promptIds: [5], completions: [[7, 2]] }], { numerics }),
      };
    };
    const { dir, scores } = write("adapter", base);
    const opened = openRewardModel(dir, tokenizer, cpu);
    assertClose(
      scoreCompletions(opened, [{ promptIds: [5], completions: [[7, 2]] }], { numerics }),
      scores,
      {},
    );
    const lost = write("lost-adapter", join(root, "gone"));
    assert.throws(
      () => openRewardModel(lost.dir, tokenizer, cpu),
      /base model of this adapter.*gone.*preftune merge/,
    );
  });
});

test("scores do not depend on how completions are divided over batches", () => {
  withoutLeaks(() => {
    using _ = scope();
    const model = openRewardModel(rewardDirectory("good"), tokenizer, cpu);
    const groups = [
      { promptIds: [5, 9, 30, 7], completions: [[4, 4, 17, 2], [22], [7, 2], [9, 9, 9]] },
      { promptIds: [40], completions: [[100, 101, 102, 2]] },
      {
        promptIds: [41, 8],
        completions: [
          [6, 2],
          [6, 3],
        ],
      },
    ];
    const want = scoreCompletions(model, groups, { numerics });
    assert.equal(new Set(want).size, 7);
    for (const tokensAtOnce of [1, 7, 9, 12, 20]) {
      assertClose(scoreCompletions(model, groups, { numerics, tokensAtOnce }), want, { atol: 1e-6 });
    }
    const long = [{ promptIds: [1], completions: [new Array<number>(600).fill(3)] }];
    assert.throws(() => scoreCompletions(model, long, { numerics }), /context has 512 tokens.*has 601/);
  });
});
