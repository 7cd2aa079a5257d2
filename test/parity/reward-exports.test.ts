/**
 * Reward models that are written here give the same scores in transformers and PEFT, in a padded batch, and theirs do here. One
 * Python process does all cases; without one the tests are skipped.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import type { Example } from "../../src/data/example.ts";
import { packExamples } from "../../src/data/packing.ts";
import { parseModelConfig } from "../../src/formats/hf-config.ts";
import { reward } from "../../src/methods/reward/loss.ts";
import type { Adapter } from "../../src/models/adapt.ts";
import { buildRewardModel } from "../../src/models/build.ts";
import { loadRewardModel } from "../../src/models/load-reward-model.ts";
import type { RewardModel } from "../../src/models/reward-model.ts";
import { writeAdapter, writeMergedModel } from "../../src/models/save.ts";
import { scoreCompletions } from "../../src/online/reward-model.ts";
import { AdamW } from "../../src/optim/adamw.ts";
import { scope } from "../../src/torch/index.ts";
import { adapterParameters } from "../../src/train/parameters.ts";
import { trainStep } from "../../src/train/step.ts";
import { assertClose, withoutLeaks } from "../support/close.ts";
import { neutralNorm, patternedWeights } from "../support/patterned.ts";
import { peersPython, skipWithoutPeers } from "../support/peers.ts";
import {
  adaptPatterned,
  type TinyName,
  temporaryDirectory,
  tinyAdapterConfig,
  tinyConfig,
  tinyModel,
  tinyNames,
} from "../support/tiny-models.ts";

interface CheckCase {
  name: string;
  model: string;
  adapter: string | null;
  pad: number;
  texts: number[][];
  /** What it gives here. */
  scores: number[];
  /** Of an adapter: norms of its gradients for the first two texts as a pair with this margin. */
  gradients: Record<string, number>;
  margin: number;
  /** Class in transformers; null: PEFT's. */
  kind: string | null;
}

interface Checked extends Pick<CheckCase, "name" | "scores" | "gradients"> {
  class: string;
  problem_type: string | null;
  labels: number;
  missing: string[];
  unexpected: string[];
  warnings: string[];
}

interface WriteCase extends Pick<CheckCase, "name" | "model" | "pad" | "texts"> {
  seed: number;
  savedModel: string;
  savedAdapter: string;
  lora: Record<string, unknown>;
}

interface Answer {
  checked: Checked[];
  written: { name: string; plain: number[]; adapted: number[] }[];
}

const skip = skipWithoutPeers();
const scratch = skip === false ? temporaryDirectory() : null;
after(() => scratch?.[Symbol.dispose]());

/** Pads texts; inside a text it may stand. */
const pad = 3;
const groups = [
  { promptIds: [1, 9, 30, 4], completions: [[4, 17, 22, 0, 11, 2], [31, 2], [5]] },
  {
    promptIds: [7, 3, 28],
    completions: [
      [19, 13, 3, 6, 6, 6, 14, 2],
      [20, 2],
    ],
  },
];
const texts = groups.flatMap(({ promptIds, completions }) =>
  completions.map((ids) => [...promptIds, ...ids]),
);
const numerics = { dtype: "float32", gradient_checkpointing: false, logits_chunk_size: null } as const;

const kinds: Record<TinyName, string> = {
  llama_tied: "LlamaForSequenceClassification",
  llama_untied: "LlamaForSequenceClassification",
  qwen3: "Qwen3ForSequenceClassification",
  gemma3: "Gemma3TextForSequenceClassification",
};

function newDirectory(name: string): string {
  const path = join(scratch?.path ?? "", name.replaceAll(/[^\w]+/g, "-"));
  mkdirSync(path);
  return path;
}

function scoresOf(model: RewardModel): number[] {
  return scoreCompletions(model, groups, { numerics });
}

function tinyRewardModel(name: TinyName): RewardModel {
  const config = parseModelConfig(tinyConfig(name), `${name}/config.json`);
  const weights = patternedWeights(neutralNorm(config));
  return buildRewardModel({ ...config, isRewardModel: true, padTokenId: pad }, weights);
}

/** Norms of the adapter's gradients for the first group's first two completions as a pair. */
function gradientNorms(model: RewardModel, adapter: Adapter, margin: number): Record<string, number> {
  using _ = scope();
  const parameters = adapterParameters(model);
  const optimizer = new AdamW(parameters, {
    adam_beta1: 0.9,
    adam_beta2: 0.999,
    adam_epsilon: 1e-8,
    weight_decay: 0,
  });
  const norms: Record<string, number> = {};
  // in place of the update, which would clear them
  optimizer.step = () => {
    for (const { name, tensor } of parameters) norms[name] = Math.hypot(...(tensor.grad?.toNumbers() ?? []));
  };
  const [group] = groups;
  const completions = (group?.completions ?? []).slice(0, 2).map((ids) => ({ ids }));
  const example: Example = {
    origin: { file: "pair", line: 1 },
    promptIds: group?.promptIds ?? [],
    completions,
    margin,
  };
  const packed = packExamples([example], { scores: true });
  const batch = { packed, indices: [0], columns: { margin: [margin, margin] } };
  const objective = reward({ center_rewards_coefficient: 0 });
  const training = {
    model,
    adapter,
    parameters,
    objective,
    optimizer,
    numerics,
    max_grad_norm: 0,
    reference: null,
  };
  trainStep(training, [batch], { learningRate: 1, seed: 1, log_entropy: false });
  return norms;
}

/** The whole model, an adapter over its base, and both merged. */
function casesOf(name: TinyName, base: string): CheckCase[] {
  using _ = scope();
  const common = { pad, texts, gradients: {}, margin: 0.5 };
  const whole = tinyRewardModel(name);
  const directory = newDirectory(`${name} whole`);
  writeMergedModel(directory, whole, "float32");
  const model = tinyRewardModel(name);
  const config = tinyAdapterConfig({ taskType: "SEQ_CLS", modulesToSave: ["score"] });
  const gradients = gradientNorms(model, adaptPatterned(model, config), common.margin);
  const adapter = newDirectory(`${name} adapter`);
  writeAdapter(adapter, config, adapterParameters(model).tensors);
  const merged = newDirectory(`${name} merged`);
  writeMergedModel(merged, model, "float32");
  const scores = scoresOf(model);
  const kind = kinds[name];
  return [
    { ...common, name: `${name}: whole`, model: directory, adapter: null, scores: scoresOf(whole), kind },
    { ...common, name: `${name}: adapter`, model: base, adapter, scores, gradients, kind: null },
    { ...common, name: `${name}: merged`, model: merged, adapter: null, scores, kind },
  ];
}

function askPython(check: readonly CheckCase[], write: readonly WriteCase[]): Answer {
  const run = spawnSync(peersPython() ?? "", [join(import.meta.dirname, "check_reward_models.py")], {
    input: JSON.stringify({ check, write }),
    encoding: "utf8",
    maxBuffer: 2 ** 28,
    env: { ...process.env, HF_HUB_OFFLINE: "1", OMP_NUM_THREADS: "1" },
  });
  assert.equal(run.status, 0, `${run.error ?? ""}${run.stderr.slice(-4000)}`);
  return JSON.parse(run.stdout) as Answer;
}

test("reward models go to transformers and PEFT and come from them", { skip }, async (t) => {
  const bases = tinyNames.map((name) => {
    using _ = scope();
    const base = newDirectory(`${name} base`);
    writeMergedModel(base, tinyModel(name), "float32");
    return { name, base };
  });
  const check = withoutLeaks(() => bases.flatMap(({ name, base }) => casesOf(name, base)));
  const write = bases.map(({ name, base }, seed): WriteCase => {
    const [savedModel, savedAdapter] = [
      newDirectory(`${name} theirs`),
      newDirectory(`${name} their adapter`),
    ];
    const lora = { r: 3, lora_alpha: 5, target_modules: "all-linear" };
    return { name, model: base, pad, texts, seed, savedModel, savedAdapter, lora };
  });
  const answer = askPython(check, write);
  assert.equal(answer.checked.length, check.length);
  for (const [i, got] of answer.checked.entries()) {
    const want = check[i] as CheckCase;
    await t.test(`there: ${want.name}`, () => {
      const unloaded = want.kind === null ? ["score.weight"] : [];
      assert.deepEqual([got.name, got.missing, got.warnings], [want.name, unloaded, []]);
      assert.deepEqual([got.unexpected.filter((name) => name !== "lm_head.weight"), got.labels], [[], 1]);
      if (want.kind !== null) assert.deepEqual([got.class, got.problem_type], [want.kind, "regression"]);
      assert.ok(Math.max(...want.scores) - Math.min(...want.scores) > 0.05, `all alike: ${want.scores}`);
      assertClose(got.scores, want.scores, { atol: 1e-4 });
      assert.deepEqual(Object.keys(got.gradients).sort(), Object.keys(want.gradients).sort());
      for (const [parameter, norm] of Object.entries(want.gradients)) {
        assertClose(norm, got.gradients[parameter] ?? Number.NaN, { rtol: 1e-4, atol: 1e-6 });
      }
    });
  }
  for (const [i, { name, plain, adapted }] of answer.written.entries()) {
    await t.test(`here: ${name}`, () => {
      const { model, savedModel, savedAdapter } = write[i] as WriteCase;
      withoutLeaks(() => {
        using _ = scope();
        assertClose(scoresOf(loadRewardModel(savedModel)), plain, { atol: 1e-4 });
        assertClose(scoresOf(loadRewardModel(savedModel, { adapter: savedAdapter })), adapted, {
          atol: 1e-4,
        });
        assertClose(scoresOf(loadRewardModel(model, { adapter: savedAdapter })), adapted, { atol: 1e-4 });
      });
    });
  }
});
