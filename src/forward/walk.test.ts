/** The walk against plain autograd through `model.hiddenStates` and a log-softmax, whatever part of the model is trained. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertClose, withoutLeaks } from "../../test/support/close.ts";
import { pattern } from "../../test/support/patterned.ts";
import {
  adaptPatterned,
  type TinyName,
  tinyAdapterConfig,
  tinyModel,
  tinyNames,
} from "../../test/support/tiny-models.ts";
import type { Example } from "../data/example.ts";
import { packExamples } from "../data/packing.ts";
import { addAdapter } from "../models/adapt.ts";
import type { CausalLM } from "../models/causal-lm.ts";
import { namedTensors } from "../nn/module.ts";
import { type NamedParameter, ParameterSet } from "../nn/parameter-set.ts";
import {
  backward,
  type DType,
  liveTensorCount,
  noGrad,
  ops,
  scope,
  type Tensor,
  tensor,
} from "../torch/index.ts";
import { dropoutKeys } from "../train/dropout-keys.ts";
import { adapterParameters, modelParameters } from "../train/parameters.ts";
import { allCompletions, completionSlices, type DeviceBatch, toDevice } from "./batch.ts";
import { tokenLogpsHead } from "./head.ts";
import { walk } from "./walk.ts";

const origin = { file: "walk.test.ts", line: 1 };
const examples: Example[] = [
  {
    origin,
    promptIds: [3, 7, 1, 9, 4],
    completions: [{ ids: [12, 5, 30, 2] }, { ids: [6, 6, 6, 8, 21, 2] }],
  },
  {
    origin,
    promptIds: [8],
    completions: [{ ids: [21] }, { ids: [17, 11, 0, 2, 2, 2], mask: [1, 0, 1, 1, 0, 1] }],
  },
];

interface How {
  dtype?: DType;
  gradient_checkpointing?: boolean;
  gradient_checkpointing_blocks?: number;
  activation_offloading?: boolean;
  logits_chunk_size?: number | null;
  groupRows?: number;
}

function batchOf(share_prompt = true): DeviceBatch {
  return toDevice(packExamples(examples, { share_prompt }), "cpu");
}

function upstreamOf(batch: DeviceBatch): Tensor {
  return tensor(pattern("upstream", batch.targets.numel));
}

/** The gradients as they stand, in numbers; they are cleared. */
function takeGrads(parameters: Iterable<NamedParameter>): Map<string, number[]> {
  const grads = new Map<string, number[]>();
  for (const { name, tensor: parameter } of parameters) {
    const grad = parameter.grad;
    if (grad === null) continue;
    assert.equal(grad.dtype, parameter.dtype, name);
    grads.set(name, grad.toNumbers());
    parameter.grad = null;
  }
  return grads;
}

interface Outcome {
  logps: number[];
  grads: Map<string, number[]>;
}

/** Everything at once: no segments of the backward pass, no hand-written gradient. */
function plain(model: CausalLM, parameters: ParameterSet): Outcome {
  using _ = scope();
  const batch = batchOf();
  const rows = ops.indexSelect(model.hiddenStates(batch, "float32"), 0, batch.predictors);
  const logits = ops.linear(rows, model.lm_head.weight);
  const picked = ops.squeeze(ops.gather(logits, 1, ops.unsqueeze(batch.targets, 1)), 1);
  const logps = ops.sub(picked, ops.logsumexp(logits, [1]));
  backward([logps], { gradients: [upstreamOf(batch)] });
  return { logps: logps.toNumbers(), grads: takeGrads(parameters) };
}

function walked(model: CausalLM, parameters: ParameterSet, how: How = {}): Outcome {
  using _ = scope();
  const batch = batchOf();
  const { dtype = "float32", gradient_checkpointing = false, logits_chunk_size = null, ...more } = how;
  const lm = tokenLogpsHead(model, { logits_chunk_size, entropies: false });
  const pass = walk(model, batch, lm, { ...more, ...{ dtype, gradient_checkpointing, trained: parameters } });
  const upstream = upstreamOf(batch);
  const logps: number[] = [];
  for (const group of completionSlices(batch, how.groupRows ?? Number.POSITIVE_INFINITY)) {
    const head = pass.head(group);
    logps.push(...head.logps.toNumbers());
    head.backward(ops.slice(upstream, 0, group.start, group.end));
  }
  pass.backward();
  return { logps, grads: takeGrads(parameters) };
}

const size = (values: readonly number[]) => Math.sqrt(values.reduce((sum, x) => sum + x * x, 0));

function assertSame(got: Outcome, want: Outcome, what: string): void {
  assertClose(got.logps, want.logps, { atol: 1e-5 });
  assert.deepEqual([...got.grads.keys()].sort(), [...want.grads.keys()].sort(), what);
  for (const [name, grad] of want.grads) {
    const norm = size(grad);
    assert.ok(norm > 0, `${what}: the gradient of ${name} is zero, the test would see nothing`);
    assertClose(got.grads.get(name) ?? [], grad, { atol: 1e-5 * norm });
  }
}

/** Marks the parameters whose name matches, and gives those. */
function train(model: CausalLM, names: RegExp): ParameterSet {
  const chosen = modelParameters(model).filter((p) => names.test(p.name));
  assert.ok(chosen.length > 0, String(names));
  for (const { tensor: parameter } of chosen) parameter.requiresGrad = true;
  return new ParameterSet(chosen);
}

const parts: Record<string, RegExp> = {
  everything: /./,
  "the final norm": /^model\.norm\.weight$/,
  "the embedding": /embed_tokens/,
  "the first block": /layers\.0\./,
  "a middle block, all before it frozen": /layers\.1\./,
  "one matrix of the last block": /layers\.2\.mlp\.up_proj/,
  "first and last block": /layers\.[02]\./,
  "norms alone": /norm/,
};

for (const name of tinyNames) {
  for (const [part, names] of Object.entries(parts)) {
    test(`${name}: trains ${part}`, () => {
      withoutLeaks(() => {
        const model = tinyModel(name, deeper(name));
        const parameters = train(model, names);
        const want = plain(model, parameters);
        assert.equal(want.grads.size, parameters.shards.length);
        assertSame(walked(model, parameters), want, part);
        assertSame(walked(model, parameters, { gradient_checkpointing: true }), want, `${part}, recomputed`);
        const first = { gradient_checkpointing: true, gradient_checkpointing_blocks: 1 };
        assertSame(walked(model, parameters, first), want, `${part}, first block recomputed`);
        const away = { gradient_checkpointing: true, activation_offloading: true };
        assertSame(walked(model, parameters, away), want, `${part}, recomputed from copies elsewhere`);
        assertSame(walked(model, parameters, { logits_chunk_size: 3 }), want, `${part}, in chunks`);
        assertSame(walked(model, parameters, { groupRows: 1 }), want, `${part}, pair by pair`);
      });
    });
  }
}

/** Three layers, so that there is one in the middle. */
function deeper(name: TinyName): Record<string, unknown> {
  const kinds = ["sliding_attention", "full_attention", "sliding_attention"];
  return { num_hidden_layers: 3, ...(name === "gemma3" ? { layer_types: kinds } : {}) };
}

for (const name of ["llama_untied", "qwen3"] as const) {
  test(`${name}: trains the head alone`, () => {
    withoutLeaks(() => {
      const model = tinyModel(name);
      const parameters = train(model, /^lm_head/);
      const want = plain(model, parameters);
      for (const columns of [null, 1, 4]) {
        assertSame(walked(model, parameters, { logits_chunk_size: columns }), want, `chunks of ${columns}`);
      }
    });
  });
}

for (const [what, changes] of Object.entries({
  LoRA: {},
  "DoRA, head and embedding": { useDora: true, modulesToSave: ["lm_head", "embed_tokens"] },
  "LoRA on the last block": { targetModules: ["layers.1.mlp.down_proj"] },
})) {
  test(`adapters: ${what}`, () => {
    withoutLeaks(() => {
      const model = tinyModel("llama_tied");
      adaptPatterned(model, tinyAdapterConfig(changes));
      const parameters = adapterParameters(model);
      const want = plain(model, parameters);
      assertSame(walked(model, parameters), want, what);
      assertSame(
        walked(model, parameters, { gradient_checkpointing: true, logits_chunk_size: 2 }),
        want,
        what,
      );
    });
  });
}

for (const useDora of [false, true]) {
  test(`${useDora ? "DoRA" : "LoRA"} dropout: recomputed with the same mask`, () => {
    withoutLeaks(() => {
      const run = (gradient_checkpointing: boolean) => {
        using _ = scope();
        const model = tinyModel("gemma3");
        const adapter = adaptPatterned(model, tinyAdapterConfig({ dropout: 0.4, useDora }));
        const keys = dropoutKeys({ packed: packExamples(examples), indices: [0, 1] }, 99);
        adapter.switch.dropoutKeys = tensor(keys, [2, keys.length / 2]);
        return walked(model, adapterParameters(model), { gradient_checkpointing });
      };
      const [kept, again] = [run(false), run(true)];
      assert.deepEqual(again, kept);
      const without = tinyModel("gemma3");
      adaptPatterned(without, tinyAdapterConfig({ dropout: 0.4, useDora }));
      assert.notDeepEqual(walked(without, adapterParameters(without)).logps, kept.logps);
    });
  });
}

test("gradients of several walks add up", () => {
  withoutLeaks(() => {
    const model = tinyModel("qwen3");
    const parameters = train(model, /./);
    const once = walked(model, parameters);
    using _ = scope();
    for (let i = 0; i < 2; i++) {
      const batch = batchOf();
      const lm = tokenLogpsHead(model, { logits_chunk_size: null, entropies: false });
      const pass = walk(model, batch, lm, {
        dtype: "float32",
        gradient_checkpointing: false,
        trained: parameters,
      });
      pass.head(allCompletions(batch)).backward(upstreamOf(batch));
      pass.backward();
    }
    for (const [name, grad] of takeGrads(parameters)) {
      const single = once.grads.get(name) ?? [];
      assertClose(
        grad,
        single.map((x) => 2 * x),
        { atol: 1e-5 * size(single) },
      );
    }
  });
});

for (const name of tinyNames) {
  test(`${name}: bfloat16 activations over float32 masters`, () => {
    withoutLeaks(() => {
      const model = tinyModel(name);
      const parameters = train(model, /./);
      const want = plain(model, parameters);
      const got = walked(model, parameters, { dtype: "bfloat16" });
      assertClose(got.logps, want.logps, { atol: 0.12 });
      for (const [key, grad] of want.grads) {
        const half = got.grads.get(key) ?? [];
        const error = size(grad.map((x, i) => x - (half[i] ?? Number.NaN))) / size(grad);
        assert.ok(error < 0.08, `${key}: relative error ${error}`);
      }
      assert.deepEqual(walked(model, parameters, { dtype: "bfloat16", gradient_checkpointing: true }), got);
    });
  });
}

test("bfloat16 base weights under LoRA: float32 gradients near those of the float32 base", () => {
  withoutLeaks(() => {
    const gradsOf = (half: boolean) => {
      const model = tinyModel("gemma3");
      if (half) halve(model);
      adaptPatterned(model, tinyAdapterConfig());
      return walked(model, adapterParameters(model), { dtype: half ? "bfloat16" : "float32" });
    };
    const [want, got] = [gradsOf(false), gradsOf(true)];
    for (const [key, grad] of want.grads) {
      const half = got.grads.get(key) ?? [];
      const error = size(grad.map((x, i) => x - (half[i] ?? Number.NaN))) / size(grad);
      assert.ok(error < 0.1, `${key}: relative error ${error}`);
    }
  });
});

/** Puts every weight of the model into bfloat16. */
function halve(model: CausalLM): void {
  const seen = new Map<Tensor, Tensor>();
  const visit = (module: object) => {
    for (const [key, value] of Object.entries(module)) {
      if (typeof value !== "object" || value === null || key === "config") continue;
      if (!("handle" in value)) visit(value);
      else {
        const half = seen.get(value as Tensor) ?? ops.to(value as Tensor, "bfloat16");
        seen.set(value as Tensor, half);
        (module as Record<string, unknown>)[key] = half;
      }
    }
  };
  visit(model);
  assert.ok([...namedTensors(model)].every(([, t]) => t.dtype === "bfloat16"));
}

test("scoring keeps nothing for a way back and equals training's log-probs", () => {
  withoutLeaks(() => {
    const model = tinyModel("gemma3");
    const parameters = train(model, /./);
    const want = walked(model, parameters);
    const batch = batchOf();
    const before = liveTensorCount();
    using scoring = scope();
    const pass = walk(model, batch, tokenLogpsHead(model, { logits_chunk_size: null, entropies: true }), {
      ...{ dtype: "float32", gradient_checkpointing: false, trained: null },
    }).head(allCompletions(batch));
    assertClose(pass.logps, want.logps, { atol: 1e-6 });
    assert.equal(pass.logps.requiresGrad, false);
    for (const t of [pass.logps, pass.entropies, pass.correct]) scoring.keep(t as Tensor);
    scoring[Symbol.dispose]();
    assert.equal(liveTensorCount(), before + 3);
  });
});

test("entropy and whether the target was likeliest", () => {
  withoutLeaks(() => {
    const model = tinyModel("llama_untied");
    const batch = batchOf();
    const pass = walk(model, batch, tokenLogpsHead(model, { logits_chunk_size: 4, entropies: true }), {
      ...{ dtype: "float32", gradient_checkpointing: false, trained: null },
    }).head(allCompletions(batch));
    const rows = ops.indexSelect(
      noGrad(() => model.hiddenStates(batch, "float32")),
      0,
      batch.predictors,
    );
    const logits = model.lm_head.forward(rows).toNumbers();
    const targets = batch.targets.toNumbers();
    targets.forEach((target, r) => {
      const row = logits.slice(r * 32, r * 32 + 32);
      const total = row.reduce((sum, x) => sum + Math.exp(x), 0);
      const entropy = row.reduce((sum, x) => sum - (Math.exp(x) / total) * Math.log(Math.exp(x) / total), 0);
      assertClose(pass.entropies?.toNumbers()[r] ?? Number.NaN, entropy, { atol: 1e-5 });
      assert.equal(pass.correct.toNumbers()[r], row[target] === Math.max(...row) ? 1 : 0);
    });
  });
});

test("recomputation keeps a block's input, not its activations", () => {
  const kept = (gradient_checkpointing: boolean) => {
    using _ = scope();
    const model = tinyModel("llama_tied");
    addAdapter(model, tinyAdapterConfig());
    const batch = batchOf();
    const before = liveTensorCount();
    const lm = tokenLogpsHead(model, { logits_chunk_size: null, entropies: false });
    const pass = walk(model, batch, lm, {
      dtype: "float32",
      gradient_checkpointing,
      trained: adapterParameters(model),
    });
    {
      using _ = scope();
      pass.head(allCompletions(batch)).backward(upstreamOf(batch));
    }
    const during = liveTensorCount() - before;
    pass.backward();
    return { during, after: liveTensorCount() - before };
  };
  withoutLeaks(() => {
    const [whole, again] = [kept(false), kept(true)];
    // handles held by JavaScript; what graphs hold is libtorch's and does not count here
    assert.ok(again.during <= whole.during, `${again.during} against ${whole.during}`);
    assert.ok(again.after < again.during, "the backward pass freed what it used");
  });
});
