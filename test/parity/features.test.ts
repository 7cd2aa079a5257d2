/**
 * What the fixtures' numbers would be if a feature of a family were left out, or taken otherwise: each feature is in them, and our part
 * of that name is the one that counts. And bfloat16: as far from float32 as transformers is.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { DecoderDesign, ModelConfig, RopeConfig } from "../../src/formats/model-config.ts";
import { openModel } from "../../src/formats/tied-head.ts";
import { scoreBatch } from "../../src/forward/score-batch.ts";
import { buildModel } from "../../src/models/build.ts";
import type { CausalLM } from "../../src/models/causal-lm.ts";
import { buildStored, loadModel } from "../../src/models/load.ts";
import { withoutLeaks } from "../support/close.ts";
import {
  everyFamily,
  type FixtureFamily,
  fixtureExamples,
  fixtureGoldens,
  fixturePath,
} from "../support/fixture-files.ts";
import { microBatch } from "../support/fixtures.ts";
import { plainNumerics } from "../support/record-step.ts";

type Change = (config: ModelConfig) => Partial<ModelConfig>;

const design =
  (change: Partial<DecoderDesign>): Change =>
  (config) => ({ design: { ...config.design, ...change } });

/** Both rotary tables, changed. */
const ropes =
  (change: (rope: RopeConfig) => RopeConfig): Change =>
  ({ rope: { full, sliding } }) => ({
    rope: { full: change(full), sliding: sliding === null ? null : change(sliding) },
  });

/** The changes by the names that the fixtures give them. */
const changes: Readonly<Record<string, Change>> = {
  window: () => ({ slidingWindow: 10_000 }),
  window_one_more: ({ slidingWindow }) => ({ slidingWindow: (slidingWindow ?? 0) + 1 }),
  v_norm: design({ valueNorms: false }),
  layer_scalar: design({ layerFactors: false }),
  norm_offset: (config) => design({ normOffset: config.design.normOffset === 0 ? 1 : 0 })(config),
  scale: ({ headDim }) => ({ attentionScale: headDim ** -0.5 }),
  attn_cap: design({ scoreCap: null }),
  final_cap: design({ logitCap: null }),
  embed: design({ embedScale: 1 }),
  residual: design({ residualScale: 1 }),
  logits: design({ logitScale: 1 }),
  activation: (config) =>
    design({ activation: config.design.activation === "silu" ? "gelu_tanh" : "silu" })(config),
  eps: () => ({ rmsNormEps: 1e-6 }),
  qk_norm: design({ queryKeyNorms: "none" }),
  bias: design({ biases: [] }),
  rope_everywhere: design({ unrotatedLayers: [] }),
  // full layers turn as sliding ones do
  rope_scaling: ({ rope: { full, sliding } }) => ({
    rope: { full: sliding ?? { ...full, scaling: { kind: "none" } }, sliding },
  }),
  rope_factor: ropes((rope) =>
    rope.scaling.kind === "yarn" || rope.scaling.kind === "longrope"
      ? { ...rope, scaling: { ...rope.scaling, attentionFactor: 1 } }
      : rope,
  ),
};

/** Distances of a model's token log-probs from the fixture's, in the order of both. */
function distances(family: FixtureFamily, model: CausalLM, dtype: "float32" | "bfloat16"): number[] {
  const { logps } = fixtureGoldens(family);
  const batch = microBatch(fixtureExamples(family));
  return scoreBatch(model, batch, { ...plainNumerics, dtype }).flatMap((score) => {
    const want = logps[score.completion === 0 ? "chosen" : "rejected"][score.index] ?? [];
    return [...score.logps].map((logp, i) => Math.abs(logp - (want[i] ?? Number.NaN)));
  });
}

/** The fixture's tensors in a model of another configuration. */
function changed(family: FixtureFamily, change: Change): CausalLM {
  const dir = fixturePath(family, "model");
  const stored = openModel(dir);
  const config = { ...stored.config, ...change(stored.config) };
  const build = { build: (source: Parameters<typeof buildModel>[1]) => buildModel(config, source) };
  return buildStored(dir, { ...stored, config }, {}, { ...build, isHarmless: () => true });
}

for (const family of everyFamily) {
  const stated = fixtureGoldens(family).provenance.changes_if_left_out ?? {};
  for (const [feature, size] of Object.entries(stated)) {
    test(`${family}: without ${feature} some log-prob is off by ${size}`, () => {
      withoutLeaks(() => {
        const change = changes[feature] ?? assert.fail(`no change is known as ${feature}`);
        const most = Math.max(...distances(family, changed(family, change), "float32"));
        assert.ok(Math.abs(most - size) < 0.01 * size + 1e-5, `off by ${most}`);
      });
    });
  }
}

const mean = (values: readonly number[]) => values.reduce((sum, x) => sum + x, 0) / values.length;

for (const family of everyFamily) {
  const { bfloat16, logps } = fixtureGoldens(family);
  if (bfloat16 === undefined) continue;
  test(`${family}: in bfloat16 log-probs are as far from float32's as transformers' are`, () => {
    withoutLeaks(() => {
      const theirs = (["chosen", "rejected"] as const).flatMap((side) =>
        bfloat16[side].flatMap((row, r) =>
          row.map((x, i) => Math.abs(x - (logps[side][r]?.[i] ?? Number.NaN))),
        ),
      );
      const ours = distances(
        family,
        loadModel(fixturePath(family, "model"), { dtype: "bfloat16" }),
        "bfloat16",
      );
      assert.equal(ours.length, theirs.length);
      // theirs are rounded to bfloat16 at the end
      assert.ok(mean(ours) < 1.25 * mean(theirs), `mean ${mean(ours)}, theirs ${mean(theirs)}`);
      // the largest of their few dozen is chance, at 3 to 6 times their mean; seven times is less than twice that for most families
      const most = Math.max(...ours);
      assert.ok(most < 7 * mean(theirs), `most ${most}, theirs ${Math.max(...theirs)}, mean ${mean(theirs)}`);
      assert.ok(mean(ours) > 0.1 * mean(theirs), "it is bfloat16 that is computed");
    });
  });
}
