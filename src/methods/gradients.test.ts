/** The gradient of every loss on rows, in each of its forms, against central differences in float64. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertClose, withoutLeaks } from "../../test/support/close.ts";
import {
  completionsOf,
  pairsOf,
  totalsOf,
  totalsOfCompletions,
  withStart,
} from "../../test/support/completion-lists.ts";
import { Random } from "../base/random.ts";
import { loadMethod } from "../config/load-config.ts";
import { backward, ops, type Tensor, tensor } from "../torch/index.ts";
import { offlineMethods } from "./index.ts";
import { objectiveOf } from "./losses.ts";
import {
  type CompletionLogps,
  evaluateObjective,
  ldAlphaOf,
  type Objective,
  type StepTotals,
} from "./objective.ts";

/** Settings beside each method's defaults. */
const forms: Readonly<Record<string, Record<string, unknown>[]>> = {
  slime: [
    { preset: "script" },
    { preset: "paper" },
    { lambda_start: 2 },
    { lambda_start: 1, start_margin: 0.3, chosen_floor: 0.1 },
  ],
  dpo: [
    ...["sigmoid", "sigmoid_norm", "ipo", "hinge", "bco_pair", "nca_pair", "apo_zero", "apo_down"].map(
      (loss_type) => ({ loss_type }),
    ),
    { loss_type: "robust", label_smoothing: 0.2 },
    { loss_type: "sigmoid", label_smoothing: 0.1, ld_alpha: 0.4 },
    { loss_type: ["sigmoid", "bco_pair", "sft"], loss_weights: [0.8, 0.2, 1] },
  ],
  simpo: [{ cpo_alpha: 0.5 }],
  dpop: [{ dpop_lambda: 5 }],
  cpo: [{ loss_type: "hinge" }, { loss_type: "ipo" }, { label_smoothing: 0.1 }],
  kto: [
    { desirable_weight: 1.5, undesirable_weight: 0.7 },
    { loss_type: "apo_zero_unpaired", beta: 0.5 },
  ],
};

const random = new Random(5);
const list = (tokens: number): number[] => Array.from({ length: tokens }, () => -0.1 - 3 * random.next());
const lengths = [3, 1, 4, 2, 2, 5];
const answers = lengths.map(list);
// near the sums, so that no logistic function is flat
const reference = answers.map((own) => own.reduce((sum, logp) => sum + logp, 0) + random.next() - 0.5);

// some tokens above, some below, none so near that a step of the differences crosses
const atStart = answers.flat().map((logp, i) => logp + (i % 2 === 0 ? 0.7 : -0.7));

const takesWeights = ({ columns = {} }: Objective): boolean => "lambda_w" in columns;

/** The completions as the objective takes them, and the totals of a step of theirs. */
function batchOf(
  objective: Objective,
  logps: readonly number[],
): { completions: CompletionLogps; totals: StepTotals } {
  const starts = lengths.map((_, i) => lengths.slice(0, i).reduce((sum, length) => sum + length, 0));
  const lists = starts.map((start, i) => logps.slice(start, start + (lengths[i] ?? 0)));
  const column = (values: number[]) => tensor(values, [values.length], { dtype: "float64" });
  if (objective.over === "pairs") {
    const [chosen, rejected] = [0, 1].map((side) => lists.filter((_, i) => i % 2 === side)) as [
      number[][],
      number[][],
    ];
    const pairs = pairsOf(chosen, rejected, reference);
    return {
      completions: withStart(pairs, atStart, takesWeights(objective) ? [0.3, 0, 2] : null),
      totals: totalsOf(chosen, rejected),
    };
  }
  const plain = completionsOf(lists, reference);
  const totals = totalsOfCompletions(lists);
  const columns = { label: column([1, 0, 0, 1, 1, 0]), kl: column(lengths.map(() => 0.3)) };
  const counted = { good: 3, bad: 3 };
  return {
    completions: { ...plain, columns: { ...plain.columns, ...columns } },
    totals: { ...totals, counted, micro: { ...totals.micro, counted } },
  };
}

function lossAt(
  objective: Objective,
  logps: readonly number[],
): { loss: Tensor; completions: CompletionLogps } {
  const { completions, totals } = batchOf(objective, logps);
  return { loss: evaluateObjective(objective, completions, totals).loss, completions };
}

for (const name of offlineMethods) {
  for (const settings of [{}, ...(forms[name] ?? [])]) {
    const objective = objectiveOf(loadMethod({ objective: name, ...settings }));
    // a score layer's: src/methods/reward
    if (objective.over === "scores") continue;
    test(`${name} ${JSON.stringify(settings)}: the gradient is that of central differences`, () => {
      withoutLeaks(() => {
        const flat = answers.flat();
        const { loss, completions } = lossAt(objective, flat);
        backward([loss]);
        const got = (completions.logps.grad ?? ops.zerosLike(completions.logps)).toNumbers();
        const h = 1e-6;
        const want = flat.map((_, i) => {
          const at = (step: number) =>
            lossAt(
              objective,
              flat.map((logp, k) => (k === i ? logp + step : logp)),
            ).loss.item();
          return (at(h) - at(-h)) / (2 * h);
        });
        assert.ok(
          want.some((slope) => Math.abs(slope) > 1e-4),
          "a gradient to compare",
        );
        assert.ok(ldAlphaOf(objective) === null || new Set(want.map((slope) => slope.toFixed(6))).size > 2);
        assertClose(got, want, { atol: 1e-8, rtol: 1e-6 });
      });
    });
  }
}
