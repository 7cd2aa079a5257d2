/**
 * What is written here loads in transformers and PEFT with the same logits, and what they write loads here. One Python
 * process does all cases, since starting it takes longer than they do; without one the tests are skipped.
 */
import assert from "node:assert/strict";
import { cpSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { readAdapter } from "../../src/formats/adapter.ts";
import type { AdapterConfig } from "../../src/formats/adapter-config.ts";
import { adapterPathsIn } from "../../src/formats/adapter-names.ts";
import { classesOf, families } from "../../src/formats/families/index.ts";
import { otherPartsOf } from "../../src/formats/other-parts.ts";
import type { CausalLM } from "../../src/models/causal-lm.ts";
import { loadModel } from "../../src/models/load.ts";
import { installAdapter } from "../../src/models/load-adapter.ts";
import { writeAdapter, writeMergedModel } from "../../src/models/save.ts";
import { noGrad, ops, scope, tensor } from "../../src/torch/index.ts";
import { adapterParameters, modelParameters } from "../../src/train/parameters.ts";
import { assertClose, withoutLeaks } from "../support/close.ts";
import { askPython, assertRead, type CheckCase, type WriteCase } from "../support/exports-in-python.ts";
import { everyFamily, fixturePath } from "../support/fixture-files.ts";
import { fixtureAdapted } from "../support/fixtures.ts";
import { multimodalNames, writeMultimodal } from "../support/multimodal.ts";
import { pattern } from "../support/patterned.ts";
import { skipWithoutPeers } from "../support/peers.ts";
import {
  adaptPatterned,
  logitsOf,
  type TinyName,
  temporaryDirectory,
  tinyAdapterConfig,
  tinyModel,
  tinyNames,
} from "../support/tiny-models.ts";

const ids = [1, 9, 30, 4, 4, 17, 22, 0, 11, 31, 5, 6, 7, 2, 28, 19, 13, 3];
const skip = skipWithoutPeers();
const scratch = skip === false ? temporaryDirectory() : null;
after(() => scratch?.[Symbol.dispose]());

function newDirectory(name: string): string {
  const path = join(scratch?.path ?? "", name.replaceAll(/[^\w]+/g, "-"));
  mkdirSync(path);
  return path;
}

/** Base, adapter and merged directory of an adapted model as cases; `base` is its directory without the adapter. */
function casesOf(name: string, model: CausalLM, config: AdapterConfig, base: string): CheckCase[] {
  const logits = logitsOf(model, ids);
  const adapter = newDirectory(`${name} adapter`);
  writeAdapter(adapter, config, adapterParameters(model).tensors);
  const merged = newDirectory(`${name} merged`);
  writeMergedModel(merged, model, "float32");
  const isTied = model.config.tieWordEmbeddings;
  return [
    { name: `${name}: adapter`, model: base, adapter, ids, logits, tied: isTied },
    {
      name: `${name}: merged`,
      model: merged,
      adapter: null,
      ids,
      logits,
      tied: isTied && config.modulesToSave.length === 0,
    },
  ];
}

const adapters: Record<string, Partial<AdapterConfig>> = {
  LoRA: { rankPattern: { q_proj: 2 } },
  "rsLoRA and head": { useRslora: true, modulesToSave: ["lm_head"] },
  DoRA: { useDora: true, targetModules: ["k_proj", "o_proj", "gate_proj", "up_proj"] },
  "DoRA, head and embedding": { useDora: true, modulesToSave: ["lm_head", "embed_tokens"] },
  "LoRA and embedding": { modulesToSave: ["embed_tokens"] },
};

function tinyCases(): CheckCase[] {
  return tinyNames.flatMap((name) => {
    const base = newDirectory(`${name} base`);
    writeMergedModel(base, tinyModel(name), "float32");
    const plain = tinyModel(name);
    const whole = { name: `${name}: whole`, model: base, adapter: null, ids, logits: logitsOf(plain, ids) };
    const adapted = Object.entries(adapters).flatMap(([kind, changes]) => {
      using _ = scope();
      const model = tinyModel(name);
      const { config } = adaptPatterned(model, tinyAdapterConfig(changes));
      return casesOf(`${name}, ${kind}`, model, config, base);
    });
    return [{ ...whole, tied: plain.config.tieWordEmbeddings }, ...adapted];
  });
}

/** At scale 0.4: of an adapter all kinds in one family, products alone in another, whose norms and head are made otherwise. */
function scaledCases(): CheckCase[] {
  const products = { LoRA: adapters["LoRA"] ?? {}, rsLoRA: { useRslora: true } };
  return [
    ...scaledAdapters("qwen3", { ...adapters, ...products }),
    ...scaledAdapters("gemma3", products),
    ...scaledTuning("llama_tied"),
    ...scaledTuning("gemma3"),
  ];
}

/** A log-prob differs by twice as much as a logit at most. */
const exactly = { tolerance: 5e-6 };
const part = 0.4;

/**
 * An adapter by PEFT's own scaling where that is what a scale means (no magnitudes, no saved modules), by the alpha and tensors that are
 * written at that scale, and merged.
 */
function scaledAdapters(family: TinyName, kinds: typeof adapters): CheckCase[] {
  const base = join(scratch?.path ?? "", `${family}-base`);
  return Object.entries(kinds).flatMap(([kind, changes]) => {
    using _ = scope();
    const name = `${family}, ${kind} at 0.4`;
    const whole = newDirectory(`${name} whole`);
    const trained = tinyModel(family);
    writeAdapter(
      whole,
      adaptPatterned(trained, tinyAdapterConfig(changes)).config,
      adapterParameters(trained).tensors,
    );
    const model = loadModel(base);
    const files = readAdapter(`${whole}@scale=${part}`);
    installAdapter(model, files);
    const cases = casesOf(name, model, files.config, base).map((one) => ({ ...one, ...exactly }));
    const isProduct = files.saved.size === 0 && !files.config.useDora;
    const [first] = cases;
    return isProduct && first
      ? [...cases, { ...first, scale: part, name: `${name}: scaling`, adapter: whole }]
      : cases;
  });
}

/** A fully tuned model: mixed by torch of the start and the result, and the part that is merged here. */
function scaledTuning(family: TinyName): CheckCase[] {
  using _ = scope();
  const base = join(scratch?.path ?? "", `${family}-base`);
  const name = `${family}, full tuning at 0.4`;
  const [trained, merged] = [newDirectory(`${name} whole`), newDirectory(`${name} merged`)];
  writeMergedModel(trained, moved(tinyModel(family)), "float32");
  const model = loadModel(base, { adapter: `${trained}@scale=${part}` });
  const common = { ids, logits: logitsOf(model, ids), tied: model.config.tieWordEmbeddings, ...exactly };
  writeMergedModel(merged, model, "float32");
  return [
    { ...common, name: `${name}: merged`, model: merged, adapter: null },
    { ...common, name: `${name}: mixed`, model: base, adapter: null, trained, scale: part },
  ];
}

/** A model with every weight away from where it was. */
function moved(model: CausalLM): CausalLM {
  for (const { name, tensor: weight } of modelParameters(model)) {
    const step = tensor(pattern(`${name} trained`, weight.numel, 0.05), weight.shape);
    noGrad(() => ops.add_(ops.detach(weight), step));
  }
  return model;
}

function halfPrecisionCase(): CheckCase {
  const dir = newDirectory("bfloat16");
  writeMergedModel(dir, tinyModel("qwen3"), "bfloat16");
  const logits = logitsOf(loadModel(dir, { dtype: "float32" }), ids);
  return { name: "bfloat16 weights", model: dir, adapter: null, ids, logits, tied: false };
}

/** Multimodal models: an adapter for the class of the whole, merged with all parts, and the text alone. */
function multimodalCases(): CheckCase[] {
  return multimodalNames.flatMap((name) => {
    using _ = scope();
    const source = writeMultimodal(newDirectory(`${name} whole`), name);
    const model = loadModel(source, { copy: true });
    const made = adaptPatterned(
      model,
      tinyAdapterConfig({ rankPattern: { q_proj: 2 }, modulesToSave: ["o_proj"] }),
    );
    const logits = logitsOf(model, ids);
    const { config, nameOf } = adapterPathsIn(made, true);
    const { tensors } = adapterParameters(model);
    const [adapter, merged, text] = ["adapter", "merged", "text"].map((kind) =>
      newDirectory(`${name} whole ${kind}`),
    ) as [string, string, string];
    writeAdapter(adapter, config, new Map([...tensors].map(([tensor, value]) => [nameOf(tensor), value])));
    writeMergedModel(merged, model, "float32", { parts: otherPartsOf(source) });
    writeMergedModel(text, model, "float32");
    const common = { ids, logits, tied: model.config.tieWordEmbeddings };
    return [
      { name: `${name}: adapter of the whole`, model: source, adapter, ...common },
      { name: `${name}: merged with its other parts`, model: merged, adapter: null, ...common },
      { name: `${name}: its text alone`, model: text, adapter: null, ...common },
    ];
  });
}

/** Each fixture from either layout of its config.json: the hub's with an adapter, transformers 5's as it is. */
function fixtureCases(): CheckCase[] {
  return everyFamily.flatMap((family) => {
    using _ = scope();
    const { model, adapter } = fixtureAdapted(family);
    const recent = newDirectory(`${family} in the layout of transformers 5`);
    cpSync(fixturePath(family, "model"), recent, { recursive: true });
    cpSync(fixturePath(family, "config_transformers5", "config.json"), join(recent, "config.json"));
    const plain = loadModel(recent);
    const merged = newDirectory(`${family} from the layout of transformers 5`);
    writeMergedModel(merged, plain, "float32");
    return [
      ...casesOf(`fixture ${family}`, model, adapter.config, fixturePath(family, "model")),
      {
        ...{ name: `fixture ${family}, transformers 5's layout`, model: merged, adapter: null, ids },
        ...{ logits: logitsOf(plain, ids), tied: plain.config.tieWordEmbeddings },
      },
    ];
  });
}

function writeCases(): WriteCase[] {
  const common = { r: 3, lora_alpha: 5, init_lora_weights: true };
  const settings: Record<string, Record<string, unknown>> = {
    "all linears": { ...common, target_modules: "all-linear" },
    "DoRA and head": { ...common, use_dora: true, target_modules: ["q_proj"], modules_to_save: ["lm_head"] },
    "rank-stabilised, by expression": {
      ...common,
      use_rslora: true,
      target_modules: String.raw`.*layers\.1\.(self_attn\.v_proj|mlp\.up_proj)`,
    },
  };
  const tiny = tinyNames.flatMap((name, n) =>
    Object.entries(settings).map(([kind, lora], k) => {
      const title = `${name}, ${kind}`;
      const [savedModel, savedAdapter] = [newDirectory(`${title} model`), newDirectory(`${title} peft`)];
      const model = join(scratch?.path ?? "", `${name}-base`);
      return { name: title, seed: 10 * n + k, model, savedModel, savedAdapter, lora, ids };
    }),
  );
  // PEFT's own default for a multimodal model's text part
  const lora = { ...common, target_modules: String.raw`.*language_model\..*\.(q_proj|v_proj)` };
  const whole = (["gemma3", "qwen2_5_vl"] as const).map((name, n) => {
    const [savedModel, savedAdapter] = [
      newDirectory(`${name} whole model`),
      newDirectory(`${name} whole peft`),
    ];
    const model = join(scratch?.path ?? "", `${name}-whole`);
    return { name: `${name} with its other parts`, seed: 90 + n, model, savedModel, savedAdapter, lora, ids };
  });
  return [...tiny, ...whole];
}

test("models and adapters go to transformers and PEFT and come from them", { skip }, async (t) => {
  const { check, write } = withoutLeaks(() => ({
    check: [...tinyCases(), ...scaledCases(), halfPrecisionCase(), ...multimodalCases(), ...fixtureCases()],
    write: writeCases(),
  }));
  const answer = askPython(check, write);
  assert.equal(answer.checked.length, check.length);
  for (const { modelType, hasPeftTargets } of classesOf(families))
    assert.equal(hasPeftTargets, answer.targeted.includes(modelType), modelType);
  for (const [i, got] of answer.checked.entries()) {
    const want = check[i] as CheckCase;
    await t.test(`there: ${want.name}`, () => {
      assertRead(got, want);
    });
  }
  for (const [i, { name, logits }] of answer.written.entries()) {
    await t.test(`here: ${name}`, () => {
      const { savedModel, savedAdapter } = write[i] as WriteCase;
      withoutLeaks(() => {
        const model = loadModel(savedModel);
        assert.ok(logitsOf(model, ids).some((x, k) => Math.abs(x - (logits[k] as number)) > 1e-2));
        installAdapter(model, readAdapter(savedAdapter));
        assertClose(logitsOf(model, ids), logits, { atol: 1e-4 });
      });
    });
  }
});
