/** NaN and infinite weights: a model that has one computes nothing of use, so it is refused when it is loaded. */
import { FormatError } from "../base/errors.ts";
import { noGrad, ops, scope, type Tensor } from "../torch/index.ts";

/**
 * One pass over `weight` in the type in which it is used.
 *
 * @param name - file and tensor, to begin the message with
 * @throws {FormatError} if a number of it is NaN or infinite, with how many are and where the first one is
 */
export function requireFinite(weight: Tensor, name: string): void {
  if (weight.numel === 0) return;
  using _ = scope();
  const extremes = noGrad(() => ops.aminmax(weight));
  if (extremes.every((extreme) => Number.isFinite(extreme.item()))) return;
  throw new FormatError(
    `${name} holds numbers that are not finite: ${noGrad(() => describe(weight))}. Nothing can be computed with them. ` +
      "Download or export the model again; if you trained it, go back to an earlier checkpoint.",
  );
}

/** "1 NaN and 2 infinite of 4096, the first at [0, 3]" */
function describe(weight: Tensor): string {
  const nan = countOf(ops.isnan(weight));
  const bad = ops.logicalNot(ops.isfinite(weight));
  const counts = [
    [nan, "NaN"],
    [countOf(bad) - nan, "infinite"],
  ].flatMap(([count, word]) => (count === 0 ? [] : [`${count} ${word}`]));
  const flat = ops.argmax(ops.to(ops.reshape(bad, [-1]), "int32")).item();
  const index: number[] = [];
  let rest = flat;
  for (const size of [...weight.shape].reverse()) {
    index.unshift(rest % size);
    rest = Math.floor(rest / size);
  }
  return `${counts.join(" and ")} of ${weight.numel}, the first at [${index.join(", ")}]`;
}

function countOf(mask: Tensor): number {
  return ops.sum(mask).item();
}
