/** Heads other than the model's own, on the same walk: values and gradients against plain autograd. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertClose, withoutLeaks } from "../../test/support/close.ts";
import { pattern } from "../../test/support/patterned.ts";
import { tinyModel, tinyNames } from "../../test/support/tiny-models.ts";
import { packExamples } from "../data/packing.ts";
import { Linear } from "../nn/linear.ts";
import { type NamedParameter, ParameterSet } from "../nn/parameter-set.ts";
import { backward, ops, type Tensor, tensor } from "../torch/index.ts";
import { modelParameters } from "../train/parameters.ts";
import { completionSlices, type DeviceBatch, toDevice } from "./batch.ts";
import { type Head, hiddenStates, valueHead } from "./head.ts";
import { walk } from "./walk.ts";

const origin = { file: "head.test.ts", line: 1 };
const examples = [
  { origin, promptIds: [3, 7, 1, 9, 4], completions: [{ ids: [12, 5, 30, 2] }, { ids: [6, 8, 21, 2] }] },
  { origin, promptIds: [8], completions: [{ ids: [21] }, { ids: [17, 11, 0, 2], mask: [1, 0, 1, 1] }] },
];

/** A head, its parameters, and the same by torch's operators. */
interface Case {
  own: readonly NamedParameter[];
  head: Head<Record<string, Tensor>>;
  plain(rows: Tensor): Tensor;
}

function critic(width: number): Case {
  const weight = tensor(pattern("value weight", width), [1, width]);
  const bias = tensor([0.25]);
  for (const parameter of [weight, bias]) parameter.requiresGrad = true;
  return {
    own: Object.entries({ weight, bias }).map(([name, parameter]) => ({ name, tensor: parameter })),
    head: valueHead(new Linear(weight, bias)),
    plain: (rows) => ops.squeeze(ops.linear(rows, weight, bias), 1),
  };
}

const none = (): Case => ({ own: [], head: hiddenStates, plain: (rows) => rows });

const size = (values: readonly number[]) => Math.sqrt(values.reduce((sum, x) => sum + x * x, 0));

function takeGrads({ shards }: ParameterSet): number[][] {
  return shards.map(({ name, tensor: parameter }) => {
    const grad = parameter.grad?.toNumbers() ?? [];
    parameter.grad = null;
    assert.ok(size(grad) > 0, `${name} has a gradient`);
    return grad;
  });
}

function cutsOf(batch: DeviceBatch): Record<string, { gradient_checkpointing: boolean; rows: number }> {
  const rows = batch.targets.numel;
  return {
    "at once": { gradient_checkpointing: false, rows },
    "recomputed, group by group": { gradient_checkpointing: true, rows: 1 },
  };
}

for (const [what, make] of Object.entries({ "a value for each token": critic, "no head": none })) {
  for (const name of tinyNames) {
    test(`${name}, ${what}: values and gradients are those of plain autograd`, () => {
      withoutLeaks(() => {
        const model = tinyModel(name);
        const { own, head, plain } = make(model.config.hiddenSize);
        const trunk = modelParameters(model).filter((p) => p.name.startsWith("model."));
        const parameters = new ParameterSet([...trunk, ...own]);
        for (const { tensor: parameter } of parameters) parameter.requiresGrad = true;
        const batch = toDevice(packExamples(examples), "cpu");
        const rows = ops.indexSelect(model.hiddenStates(batch, "float32"), 0, batch.predictors);
        const values = plain(rows);
        const upstream = tensor(pattern("upstream", values.numel), values.shape);
        backward([values], { gradients: [upstream] });
        const want = takeGrads(parameters);
        for (const [cut, { gradient_checkpointing, rows: most }] of Object.entries(cutsOf(batch))) {
          const pass = walk(model, batch, head, {
            dtype: "float32",
            gradient_checkpointing,
            trained: parameters,
          });
          const got: number[] = [];
          for (const slice of completionSlices(batch, most)) {
            const { backward: goBack, ...given } = pass.head(slice);
            for (const value of Object.values(given)) got.push(...value.toNumbers());
            goBack(ops.slice(upstream, 0, slice.start, slice.end));
          }
          pass.backward();
          assertClose(got, values.toNumbers(), { atol: 1e-5 });
          for (const [i, grad] of takeGrads(parameters).entries()) {
            const exact = want[i] ?? [];
            assertClose(grad, exact, { atol: 1e-5 * size(exact) });
          }
          assert.ok(model.lm_head.weight.grad === null, `${cut}: the language model's head is left out`);
        }
      });
    });
  }
}
