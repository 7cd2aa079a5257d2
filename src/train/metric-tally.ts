/** Metrics of a step or an evaluation, added up on the device. */
import { at } from "../base/at.ts";
import type { CompletionSlice } from "../forward/batch.ts";
import type { TokenLogps } from "../forward/token-logps.ts";
import { completionRoles, type Over, type Role, roleOf } from "../methods/method.ts";
import { type BatchCounts, type Metric, objectiveType } from "../methods/objective.ts";
import { noGrad, onDevice, ops, type Scope, type Tensor, tensor } from "../torch/index.ts";
import { withoutPrompts } from "./completion-logps.ts";

/** By name the sum and the count of what a metric is an average of; of an extreme the value, and 1. */
export type MetricSums = Record<string, { sum: number; count: number; extreme?: "min" | "max" }>;

/** Adds `more` to `sums`. */
export function addSums(sums: MetricSums, more: MetricSums): void {
  for (const [name, { sum, count, extreme }] of Object.entries(more)) {
    const known = sums[name];
    if (known === undefined) sums[name] = { sum, count, ...(extreme === undefined ? {} : { extreme }) };
    else if (extreme !== undefined) known.sum = Math[extreme](known.sum, sum);
    else {
      known.sum += sum;
      known.count += count;
    }
  }
}

/** Σ sum / Σ count of each metric, or its extreme. */
export function averagesOf(sums: MetricSums): Record<string, number> {
  return Object.fromEntries(Object.entries(sums).map(([name, { sum, count }]) => [name, sum / count]));
}

/** Sums and counts of metrics over a step or an evaluation, which stay on the device until they are read. */
export class MetricTally {
  readonly #added: { names: string[]; counts: number[]; sums: Tensor }[] = [];
  readonly #extremes: Map<string, "min" | "max"> = new Map();

  /** Adds a micro-batch's metrics. Their sums are kept in `home`, which must live until they are read. */
  add(metrics: Record<string, Metric>, home: Scope): void {
    const entries = Object.entries(metrics);
    const [first] = Object.values(metrics);
    if (first === undefined) return;
    for (const [name, { extreme }] of entries) if (extreme !== undefined) this.#extremes.set(name, extreme);
    const type = objectiveType(first.sum.device);
    const sums = noGrad(() => ops.stack(entries.map(([, { sum }]) => ops.to(sum, type))));
    this.#added.push({
      names: entries.map(([name]) => name),
      counts: entries.map(([, { count }]) => count),
      sums: home.adopt(sums),
    });
  }

  /** What was added, and the values of `others`, all () tensors: one transfer from the device. */
  read(others: readonly Tensor[]): { sums: MetricSums; values: number[] } {
    return this.gather(others)();
  }

  /** The same in two parts: what is read is put together on the device now, in the caller's scope, and read by the function. */
  gather(others: readonly Tensor[]): () => { sums: MetricSums; values: number[] } {
    const type = (t: Tensor) => ops.to(t, objectiveType(t.device));
    const parts = [...others.map((t) => ops.reshape(type(t), [1])), ...this.#added.map(({ sums }) => sums)];
    const joined = parts.length === 0 ? null : noGrad(() => ops.cat(parts));
    return () => {
      const numbers = joined?.toNumbers() ?? [];
      return { sums: this.#sums(numbers.slice(others.length)), values: numbers.slice(0, others.length) };
    };
  }

  #sums(numbers: readonly number[]): MetricSums {
    const all: MetricSums = {};
    const names = this.#added.flatMap((added) => added.names);
    const counts = this.#added.flatMap((added) => added.counts);
    for (const [i, name] of names.entries()) {
      const extreme = this.#extremes.get(name);
      const [sum, count] = [at(numbers, i), at(counts, i)];
      addSums(all, { [name]: { sum, count, ...(extreme === undefined ? {} : { extreme }) } });
    }
    return all;
  }
}

/**
 * TRL's `mean_token_accuracy` over the tokens of completions of the method's first role (the chosen ones of pairs) and, when
 * measured, `entropy` over those of all.
 */
export function tokenStatistics(
  pass: TokenLogps,
  slice: CompletionSlice,
  { over, counts }: { over: Over; counts: BatchCounts },
): Record<string, Metric> {
  const [role, ...others] = completionRoles[over];
  const [isRight] = withoutPrompts(pass.correct, slice.promptRows);
  const correct = others.length === 0 ? isRight : ops.mul(isRight, tokensOf(slice, over, role));
  const accuracy = { mean_token_accuracy: { sum: ops.sum(correct), count: counts.tokensByRole[role] } };
  if (pass.entropies === null) return accuracy;
  const [entropies] = withoutPrompts(pass.entropies, slice.promptRows);
  return { ...accuracy, entropy: { sum: ops.sum(entropies), count: entropies.numel } };
}

/** 1 for tokens of completions of `role`, else 0: (R) float32 */
function tokensOf({ spans, completion: all, promptRows }: CompletionSlice, over: Over, role: Role): Tensor {
  const [completion] = withoutPrompts(all, promptRows);
  const isOfRole = Float32Array.from(spans, (span) => (roleOf(over, span.completion) === role ? 1 : 0));
  return ops.indexSelect(onDevice(tensor(isOfRole), completion.device, "float32"), 0, completion);
}
