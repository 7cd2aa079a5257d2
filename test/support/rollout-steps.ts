/** A step of an objective over groups on plain lists of log-probs, in any cut into micro-batches, for tests. */
import assert from "node:assert/strict";
import type { PackedBatch, ResponseSpan } from "../../src/data/packing.ts";
import type { MicroBatch } from "../../src/forward/batch.ts";
import { inGroups } from "../../src/methods/advantages.ts";
import { type CompletionObjective, evaluateObjective } from "../../src/methods/objective.ts";
import { backward, noGrad, scope, type Tensor, tensor } from "../../src/torch/index.ts";
import { columnsOf, completionLogps, countsOf, totalsOf } from "../../src/train/completion-logps.ts";
import { averagesOf, MetricTally } from "../../src/train/metric-tally.ts";
import { assertClose } from "./close.ts";

/** Completions of groups, one list entry a completion. */
export interface RolloutLists {
  groupSizes: readonly number[];
  /** Log-probs of each completion's tokens in the loss; none where it is masked. */
  logps: readonly (readonly number[])[];
  /** By name: a number for each completion, or a list for each with a number for each token. */
  columns: Readonly<Record<string, readonly (number | ArrayLike<number>)[]>>;
}

/** What a step gives. */
export interface RolloutStep {
  loss: number;
  /** With respect to the log-probs, as `logps` lists them. */
  grads: number[][];
  metrics: Record<string, number>;
}

/** The group of each completion. */
function groupsOf(sizes: readonly number[]): number[] {
  return sizes.flatMap((size, group) => new Array<number>(size).fill(group));
}

/** The completions `part` of the lists as a micro-batch of which only what objectives see is there. */
function microBatch({ groupSizes, logps, columns }: RolloutLists, part: readonly number[]): MicroBatch {
  const groups = groupsOf(groupSizes);
  let end = 0;
  const spans = part.map((i): ResponseSpan => {
    const start = end;
    end += logps[i]?.length ?? 0;
    const group = groups[i] ?? 0;
    return {
      example: group,
      completion: part.filter((k) => k < i && groups[k] === group).length,
      start,
      end,
    };
  });
  const picked = Object.entries(columns).map(([name, values]) => {
    const flat = part.flatMap((i) => {
      const value = values[i] ?? Number.NaN;
      return typeof value === "number" ? [value] : Array.from(value);
    });
    return [name, flat];
  });
  const packed = { spans, targets: { length: end } } as unknown as PackedBatch;
  return {
    packed,
    indices: [...new Set(part.map((i) => groups[i] ?? 0))],
    columns: Object.fromEntries(picked),
  };
}

/** The step of micro-batches that hold the completions `parts`; left out: all in one. */
export function rolloutStep(
  objective: CompletionObjective,
  lists: RolloutLists,
  parts: readonly (readonly number[])[] = [lists.logps.map((_, i) => i)],
): RolloutStep {
  using home = scope();
  const batches = parts.map((part) => microBatch(lists, part));
  const totals = totalsOf(batches, objective);
  const tally = new MetricTally();
  const grads: number[][] = lists.logps.map(() => []);
  let loss = 0;
  for (const [k, part] of parts.entries()) {
    const batch = batches[k] as MicroBatch;
    const { spans } = batch.packed;
    const logps = tensor(Float64Array.from(part.flatMap((i) => lists.logps[i] ?? [])));
    logps.requiresGrad = true;
    const index = spans.flatMap(({ start, end }, i) => new Array<number>(end - start).fill(i));
    const completion = tensor(index, [index.length], { dtype: "int64" });
    const range = { start: 0, end: logps.numel, first: 0, isLast: true, keptTokens: null, promptRows: 0 };
    const slice = { targets: logps, completion, spans, ...range };
    const given = completionLogps(objective, logps, slice, columnsOf(objective, batch, null));
    const micro = countsOf(spans, objective.over);
    const result = evaluateObjective(objective, given, { ...totals, micro });
    backward([result.loss]);
    const grad = (logps.grad as Tensor | null)?.toNumbers() ?? [];
    for (const [n, i] of part.entries()) grads[i] = grad.slice(spans[n]?.start, spans[n]?.end);
    loss += noGrad(() => result.loss.item());
    tally.add(result.metrics, home);
  }
  return { loss, grads, metrics: averagesOf(tally.read([]).sums) };
}

/** The first group alone. */
export function firstGroup({ groupSizes, logps, columns }: RolloutLists): RolloutLists {
  const [size = 0] = groupSizes;
  const picked = Object.entries(columns).map(([name, values]) => [name, values.slice(0, size)]);
  return { groupSizes: [size], logps: logps.slice(0, size), columns: Object.fromEntries(picked) };
}

/** The gradient by central differences of `step` in each log-prob. */
export function finiteDifferences(
  objective: CompletionObjective,
  lists: RolloutLists,
  step = 1e-5,
): number[][] {
  return lists.logps.map((list, i) =>
    list.map((_, t) => {
      const at = (move: number): number => {
        const moved = lists.logps.map((other, k) =>
          k === i ? other.map((logp, s) => (s === t ? logp + move : logp)) : other,
        );
        return rolloutStep(objective, { ...lists, logps: moved }).loss;
      };
      return (at(step) - at(-step)) / (2 * step);
    }),
  );
}

/** Every way to cut completions of these groups that tests try: whole, by group, by completion, across groups. */
function cutsOf(groupSizes: readonly number[]): { whole: number[][][]; across: number[][][] } {
  const all = groupSizes.flatMap((size) => new Array<number>(size).fill(0)).map((_, i) => i);
  const groups = inGroups(all, groupSizes);
  const half = Math.floor(all.length / 2) + 1;
  return {
    whole: [[all], groups, [groups.slice(0, 2).flat(), groups.slice(2).flat()]],
    across: [all.map((i) => [i]), [all.slice(0, half), all.slice(half)]],
  };
}

/** Asserts that loss, gradient and metrics are those of `step` in every cut, between groups and, where it may be, within them. */
export function assertSameInEveryCut(
  objective: CompletionObjective,
  lists: RolloutLists,
  step: RolloutStep,
): void {
  const { whole, across } = cutsOf(lists.groupSizes);
  for (const cut of [...whole, ...(objective.mayCutGroups === true ? across : [])]) {
    const again = rolloutStep(objective, lists, cut);
    assertClose(again.loss, step.loss, { atol: 1e-13, rtol: 1e-12 });
    assertClose(again.grads.flat(), step.grads.flat(), { atol: 1e-14, rtol: 1e-12 });
    assert.deepEqual(Object.keys(again.metrics), Object.keys(step.metrics));
    for (const [name, value] of Object.entries(step.metrics)) {
      assertClose(again.metrics[name] ?? assert.fail(name), value, { atol: 1e-14, rtol: 1e-12 });
    }
  }
}
