/**
 * Log-probs and gradients of answers in any stream against the same answers alone: neighbours of 0 to 512 tokens on either side
 * (there is no padding here; they stand where it would), order, shared prompts, chunks of the vocabulary from 1 on.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { permutation, Random } from "../../src/base/random.ts";
import type { Example } from "../../src/data/example.ts";
import { packExamples } from "../../src/data/packing.ts";
import { allCompletions, toDevice } from "../../src/forward/batch.ts";
import { tokenLogpsHead } from "../../src/forward/head.ts";
import { walk } from "../../src/forward/walk.ts";
import type { CausalLM } from "../../src/models/causal-lm.ts";
import type { ParameterSet } from "../../src/nn/parameter-set.ts";
import { scope, tensor } from "../../src/torch/index.ts";
import { trainAll } from "../../src/train/parameters.ts";
import { amount, campaignSeed, figure, isNightly } from "../support/campaign.ts";
import { tinyModel, tinyNames } from "../support/tiny-models.ts";
import { randomRows, tinyVocabulary } from "../support/tiny-training.ts";

const random = new Random(campaignSeed);

interface Measured {
  /** Log-probs of each example's answers, token by token. */
  logps: number[][];
  /** By parameter: gradient of Σ upstream · log-prob. */
  grads: Map<string, Float64Array>;
}

/** What a token's log-prob weighs in the gradient: by its place in its row, 0 for rows that only keep others company. */
function upstream(line: number, completion: number, t: number): number {
  return line < 0 ? 0 : Math.sin(1 + line + 3 * completion + 7 * t);
}

interface How {
  share_prompt?: boolean;
  logits_chunk_size?: number | null;
}

/** The examples as one stream, in their order. An example's `file` is the number of its first answer, its `line` its row. */
function measured(
  model: CausalLM,
  parameters: ParameterSet,
  examples: readonly Example[],
  how: How = {},
): Measured {
  using _ = scope();
  const { share_prompt = true, logits_chunk_size = null } = how;
  const batch = toDevice(packExamples(examples, { share_prompt }), "cpu");
  const numerics = { dtype: "float32", gradient_checkpointing: false, logits_chunk_size } as const;
  const lm = tokenLogpsHead(model, { ...numerics, entropies: false });
  const pass = walk(model, batch, lm, { ...numerics, trained: parameters });
  const head = pass.head(allCompletions(batch));
  const all = head.logps.toNumbers();
  const weights = new Float32Array(all.length);
  const logps: number[][] = [];
  for (const { example, completion, start, end } of batch.spans) {
    const { line, file } = (examples[example] as Example).origin;
    for (let t = start; t < end; t++) weights[t] = upstream(line, Number(file) + completion, t - start);
    if (line >= 0) logps[line] = [...(logps[line] ?? []), ...all.slice(start, end)];
  }
  head.backward(tensor(weights));
  pass.backward();
  const grads = new Map<string, Float64Array>();
  for (const { name, tensor: parameter } of parameters) {
    grads.set(name, Float64Array.from(parameter.grad?.toNumbers() ?? []));
    parameter.grad = null;
  }
  return { logps, grads };
}

/** Each answer alone behind its own prompt: log-probs row by row, gradients added up. */
function alone(model: CausalLM, parameters: ParameterSet, rows: readonly Example[]): Measured {
  const total: Measured = { logps: [], grads: new Map() };
  for (const row of rows) {
    for (const [c, completion] of row.completions.entries()) {
      const single = { ...row, origin: { ...row.origin, file: String(c) }, completions: [completion] };
      const { logps, grads } = measured(model, parameters, [single]);
      const { line } = row.origin;
      total.logps[line] = [...(total.logps[line] ?? []), ...(logps[line] ?? [])];
      for (const [name, grad] of grads) {
        const sum = total.grads.get(name) ?? new Float64Array(grad.length);
        total.grads.set(
          name,
          grad.map((x, i) => x + (sum[i] as number)),
        );
      }
    }
  }
  return total;
}

/** Largest difference of a log-prob, and of a gradient by parameter, ‖a − b‖ / ‖b‖. */
function apart(got: Measured, want: Measured): { logp: number; grad: number } {
  let [logp, grad] = [0, 0];
  for (const [row, list] of want.logps.entries()) {
    assert.equal(got.logps[row]?.length, list.length);
    for (const [t, x] of list.entries())
      logp = Math.max(logp, Math.abs((got.logps[row]?.[t] ?? Number.NaN) - x));
  }
  for (const [name, values] of want.grads) {
    const own = got.grads.get(name) ?? new Float64Array();
    assert.equal(own.length, values.length, name);
    const size = Math.hypot(...values.filter((x) => x !== 0));
    const difference = Math.sqrt(values.reduce((sum, x, i) => sum + ((own[i] as number) - x) ** 2, 0));
    grad = Math.max(grad, difference / size);
  }
  return { logp, grad };
}

/** A row of `tokens` tokens that counts in nothing. */
function neighbour(tokens: number): Example[] {
  if (tokens < 3) return [];
  const ids = (n: number) => Array.from({ length: n }, () => random.below(tinyVocabulary));
  const prompt = 1 + random.below(tokens - 2);
  return [
    { origin: { file: "0", line: -1 }, promptIds: ids(prompt), completions: [{ ids: ids(tokens - prompt) }] },
  ];
}

function shuffled<T>(items: readonly T[]): T[] {
  return Array.from(permutation(items.length, random.below(2 ** 31)), (i) => items[i] as T);
}

test("neighbours, order, shared prompts and chunks change no log-prob and no gradient", () => {
  let [count, logp, grad] = [0, 0, 0];
  for (const name of tinyNames.slice(0, amount(4, 4))) {
    using _ = scope();
    const model = tinyModel(name);
    const parameters = trainAll(model);
    for (let round = 0; round < amount(1, 12); round++) {
      const rows = randomRows(random, 3, 24).map((row, line) => ({ ...row, origin: { file: "0", line } }));
      const want = alone(model, parameters, rows);
      const check = (stream: readonly Example[], how: How) => {
        const { logp: l, grad: g } = apart(measured(model, parameters, stream, how), want);
        [count, logp, grad] = [count + 1, Math.max(logp, l), Math.max(grad, g)];
      };
      for (const before of [0, 1 + random.below(40), 512]) {
        check([...neighbour(before), ...rows, ...neighbour(512 - before)], {});
      }
      check(shuffled(rows), { share_prompt: false });
      const chunks = isNightly
        ? Array.from({ length: tinyVocabulary }, (_, i) => i + 1)
        : [1, 7, tinyVocabulary];
      for (const columns of chunks)
        check(shuffled(rows), { logits_chunk_size: columns, share_prompt: random.below(2) === 0 });
    }
    if (isNightly) process.stdout.write(`${name}: ${count} streams\n`);
  }
  const streams = `${count} streams`;
  const most = (x: number) => `largest difference ${x.toExponential(1)}`;
  figure(
    13,
    "log-probs in any stream against the answer alone",
    `${streams}, ${most(logp)}`,
    "≤ 1e-5",
    logp <= 1e-5,
  );
  figure(13, "gradients by parameter, relative", `${streams}, ${most(grad)}`, "≤ 1e-5", grad <= 1e-5);
});
