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
  const draws = Math.max(...rows.map(({ randoms }) => randoms.length));
  const [least, greatest] = ops.aminmax(logits, { dim: -1, keepdim: true });
  const mostLikely = isGreedy.includes(true) ? [ops.unsqueeze(ops.argmax(logits, -1), 1)] : [];
  const drawn = isGreedy.includes(false) ? drawAll(ops.sub(logits, greatest), rows, draws) : [];
  // one wait and one copy for all
  const columns = ops.cat(
    [least, greatest, ...mostLikely, ...drawn].map((column) => ops.to(column, "float64")),
    1,
  );
  const [numbers, width] = [columns.toNumbers(), columns.size(1)];
  return rows.map((row, i) => {
    const [low, high, ...own] = numbers.slice(i * width, (i + 1) * width);
    if (!Number.isFinite(low) || !Number.isFinite(high)) return null;
    return isGreedy[i] === true
      ? row.randoms.map(() => ({ id: at(own, 0), logprob: null, top: [] }))
      : choicesOf(row, own.slice(mostLikely.length), draws);
  });
}

/**
 * @param below - (R, V) logits less the greatest of each row
 * @returns for {@link choicesOf}: ids and logits of the `draws` tokens (R, draws), sum and greatest of the probabilities (R, 1)
 */
function drawAll(below: Tensor, rows: readonly ChoiceRow[], draws: number): Tensor[] {
  const { device } = below;
  const uniform = rows.flatMap(({ randoms }) =>
    Array.from({ length: draws }, (_, j) => randoms[j]?.next() ?? 0),
  );
  const placed = (values: readonly number[], width: number, dtype: "float32" | "float64") =>
    onDevice(tensor(values, [rows.length, width], { dtype }), device, dtype);
  const temperatures = placed(rows.map(temperatureOf), 1, "float32");
  const probabilities = ops.softmax(ops.div(below, temperatures), -1);
  const sums = ops.cumsum(probabilities, -1, { dtype: "float64" });
  const totals = ops.narrow(sums, 1, below.size(1) - 1, 1);
  const wanted = ops.mul(placed(uniform, draws, "float64"), totals);
  // the first whose running sum is greater: none that adds nothing; in a row that is not finite there is none
  const ids = ops.clamp(ops.searchsorted(sums, wanted, { right: true }), 0, below.size(1) - 1);
  return [ids, ops.gather(below, 1, ids), totals, ops.amax(probabilities, [-1], true)];
}

/** What divides a row's logits; a greedy one beside others is drawn as at 1, and not used. */
function temperatureOf({ sampling: { temperature } }: ChoiceRow): number {
  return isGreedyAt(temperature) ? 1 : temperature;
}

function choicesOf(row: ChoiceRow, drawn: readonly number[], draws: number): Choice[] {
  const normaliser = Math.log(at(drawn, 2 * draws) / at(drawn, 2 * draws + 1));
  return row.randoms.map((_, j): Choice => {
    const logprob = at(drawn, draws + j) / temperatureOf(row) - normaliser;
    const sampling = row.sampling.samplingLogprobs === true ? { sampling: { logprob, kept: null } } : {};
    return { id: at(drawn, j), logprob: null, top: [], ...sampling };
  });
}
