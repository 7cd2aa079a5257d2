/**
 * The draw where the logits are: from a GPU neither logits nor probabilities are copied to the host, only what was drawn. For rows
 * of which nothing but the temperature decides; the others are drawn on the host (`choose.ts`).
 */
import { at } from "../base/at.ts";
import { isGreedyAt } from "../base/temperature.ts";
import { onDevice, ops, scope, type Tensor, tensor } from "../torch/index.ts";
import type { Choice, ChoiceRow } from "./choice.ts";

/** Numbers of probabilities held at once, in float64. */
const numbersAtOnce = 2 ** 23;

/**
 * What `chooseTokens` gives, by the same numbers of the same streams: the token at which the running sum of the probabilities passes
 * u of their total.
 *
 * Numerics: probabilities in float32, their sums in float64, in the order of the device's kernel.
 *
 * @param logits - (R, V)
 * @param rows - R rows without filters, penalties, bias, and log-probs under the model
 */
export function drawOnGpu(logits: Tensor, rows: readonly ChoiceRow[]): (Choice[] | null)[] {
  const together = Math.max(1, Math.floor(numbersAtOnce / logits.size(1)));
  const choices: (Choice[] | null)[] = [];
  for (let first = 0; first < rows.length; first += together) {
    using _ = scope();
    const some = rows.slice(first, first + together);
    choices.push(...drawSome(ops.to(ops.narrow(logits, 0, first, some.length), "float32"), some));
  }
  return choices;
}

function drawSome(logits: Tensor, rows: readonly ChoiceRow[]): (Choice[] | null)[] {
  const isGreedy = rows.map(({ sampling }) => isGreedyAt(sampling.temperature));
  const extremes = ops.aminmax(logits, { dim: -1, keepdim: true });
  const bounds = ops.cat([...extremes], 1).toNumbers();
  const greedy = isGreedy.includes(true) ? ops.argmax(logits, -1).toNumbers() : [];
  const drawn = isGreedy.includes(false) ? drawAll(ops.sub(logits, extremes[1]), rows) : null;
  return rows.map(({ randoms, sampling }, i) => {
    if (!Number.isFinite(at(bounds, 2 * i)) || !Number.isFinite(at(bounds, 2 * i + 1))) return null;
    if (isGreedy[i] === true || drawn === null) {
      return randoms.map(() => ({ id: at(greedy, i), logprob: null, top: [] }));
    }
    const { ids, logprobs } = at(drawn, i);
    return ids.map((id, j): Choice => {
      const law = { logprob: at(logprobs, j), kept: null };
      return { id, logprob: null, top: [], ...(sampling.samplingLogprobs === true ? { sampling: law } : {}) };
    });
  });
}

/** Drawn tokens of a row, and their log-probs under the law of the draw. */
interface DrawnRow {
  ids: number[];
  logprobs: number[];
}

/** `below`: (R, V) logits less the greatest of each row. */
function drawAll(below: Tensor, rows: readonly ChoiceRow[]): DrawnRow[] {
  const { device } = below;
  const draws = Math.max(...rows.map(({ randoms }) => randoms.length));
  const temperatures = rows.map(({ sampling: { temperature } }) =>
    isGreedyAt(temperature) ? 1 : temperature,
  );
  const uniform = rows.flatMap(({ randoms }) =>
    Array.from({ length: draws }, (_, j) => randoms[j]?.next() ?? 0),
  );
  const placed = (values: readonly number[], width: number, dtype: "float32" | "float64") =>
    onDevice(tensor(values, [rows.length, width], { dtype }), device, dtype);
  const probabilities = ops.softmax(ops.div(below, placed(temperatures, 1, "float32")), -1);
  const sums = ops.cumsum(probabilities, -1, { dtype: "float64" });
  const totals = ops.narrow(sums, 1, below.size(1) - 1, 1);
  const wanted = ops.mul(placed(uniform, draws, "float64"), totals);
  // the first whose running sum is greater: none that adds nothing; in a row that is not finite there is none
  const ids = ops.clamp(ops.searchsorted(sums, wanted, { right: true }), 0, below.size(1) - 1);
  const scores = ops.to(ops.gather(below, 1, ids), "float64");
  const greatest = ops.to(ops.amax(probabilities, [-1], true), "float64");
  const found = ops.cat([ops.to(ids, "float64"), scores, totals, greatest], 1).toNumbers();
  const width = 2 * draws + 2;
  return rows.map(({ randoms }, i) => {
    const own = found.slice(i * width, (i + 1) * width);
    const normaliser = Math.log(at(own, 2 * draws) / at(own, 2 * draws + 1));
    return {
      ids: own.slice(0, randoms.length),
      logprobs: randoms.map((_, j) => at(own, draws + j) / at(temperatures, i) - normaliser),
    };
  });
}
