/** What an objective is given: log-probs of completions, the columns it asks for, and the counts that normalise it. */
import { ShapeError } from "../base/errors.ts";
import type { ResponseSpan } from "../data/packing.ts";
import { type Columns, type CompletionSlice, groupsOf, type MicroBatch } from "../forward/batch.ts";
import { type Over, type Role, roleOf } from "../methods/method.ts";
import {
  type BatchCounts,
  type CompletionLogps,
  evaluateObjective,
  type Objective,
  type ObjectiveResult,
  objectiveType,
  type Per,
  type StepTotals,
} from "../methods/objective.ts";
import { onDevice, ops, type Tensor, tensor } from "../torch/index.ts";

/** The columns that a reference model adds to a micro-batch: computed when its turn comes, or looked up. */
export type ReferenceSource = (batch: MicroBatch) => Columns;

/**
 * The columns of a micro-batch, its own and those of the reference.
 *
 * @throws {ShapeError} if one that the objective needs is missing or has another length than the batch
 */
export function columnsOf(
  { name, columns = {} }: Objective,
  batch: MicroBatch,
  reference: ReferenceSource | null,
): Columns {
  const given: Columns = { ...batch.columns, ...reference?.(batch) };
  const counts = { completion: batch.packed.spans.length, token: batch.packed.targets.length };
  for (const [column, per] of Object.entries(columns)) {
    const length = given[column]?.length;
    const unit = unitOf(per);
    if (length === counts[unit] || (length === undefined && per !== unit)) continue;
    throw new ShapeError(
      `${name} needs the column "${column}", ${counts[unit]} numbers, one for each ${unit}, and got ` +
        `${length ?? "none"}: put it into the micro-batch's columns`,
    );
  }
  return given;
}

/** What the head gives for a slice, (R) or (C), floating; null: it was not measured. */
interface Measured {
  values: Tensor;
  entropies: Tensor | null;
  logSquares: Tensor | null;
}

/**
 * The objective on a slice, in the objective's type.
 *
 * @param columns - of the batch that the slice is from
 */
export function objectiveOn(
  objective: Objective,
  { values, entropies, logSquares }: Measured,
  { slice, columns, totals }: { slice: CompletionSlice; columns: Columns; totals: StepTotals },
): ObjectiveResult {
  const typed = ops.to(values, objectiveType(values.device));
  const inType = (measured: Tensor | null) => (measured === null ? null : ops.to(measured, typed.dtype));
  const completions = {
    ...completionLogps(objective, typed, slice, columns),
    entropies: inType(entropies),
    logSquares: inType(logSquares),
  };
  return evaluateObjective(objective, completions, totals);
}

/** What a column is for each of, whether or not it may be missing. */
function unitOf(per: Per): "completion" | "token" {
  return per.startsWith("token") ? "token" : "completion";
}

/**
 * A slice's log-probs as an objective takes them.
 *
 * @param values - (R) of the slice, floating, those of prompts at the end
 * @param columns - of the batch that the slice is from
 */
export function completionLogps(
  objective: Objective,
  values: Tensor,
  slice: CompletionSlice,
  columns: Columns,
): CompletionLogps {
  const { spans, first, start, promptRows } = slice;
  const [logps, promptLogps] = withoutPrompts(values, promptRows);
  const [completion] = withoutPrompts(slice.completion, promptRows);
  const end = slice.end - promptRows;
  const place = (values: ArrayLike<number>) =>
    onDevice(tensor(Float64Array.from(values)), logps.device, logps.dtype);
  const ranges = { completion: [first, first + spans.length], token: [start, end] } as const;
  const placed = Object.entries(objective.columns ?? {}).flatMap(([name, per]) => {
    const values = columns[name];
    return values === undefined ? [] : [[name, place(values.slice(...ranges[unitOf(per)]))]];
  });
  return {
    logps,
    completion,
    lengths: place(spans.map((span) => span.end - span.start)),
    groupSizes: groupsOf(spans).map((group) => group.length),
    columns: Object.fromEntries(placed),
    // a batch whose prompts are all of one token has rows of none
    promptLogps: objective.takesPrompts === true ? promptLogps : null,
  };
}

/** (R) as the part of completions and that of prompts. */
export function withoutPrompts(rows: Tensor, promptRows: number): [Tensor, Tensor] {
  const own = rows.numel - promptRows;
  return [ops.slice(rows, 0, 0, own), ops.slice(rows, 0, own, rows.numel)];
}

/** Groups, completions and loss tokens of some completions, by the roles that a method over `over` gives them. */
export function countsOf(spans: readonly ResponseSpan[], over: Over): BatchCounts {
  const tokensByRole: Record<Role, number> = { chosen: 0, rejected: 0, completion: 0 };
  let tokens = 0;
  for (const { completion, start, end } of spans) {
    tokensByRole[roleOf(over, completion)] += end - start;
    tokens += end - start;
  }
  return { groups: groupsOf(spans).length, completions: spans.length, tokens, tokensByRole };
}

/** Σ of the counts of micro-batches, the objective's own among them; each batch numbers its groups from 0. */
export function totalsOf(batches: readonly MicroBatch[], objective: Objective): Omit<StepTotals, "micro"> {
  const spans = batches.flatMap(({ packed }) => packed.spans);
  const groups = batches.reduce((sum, { packed }) => sum + groupsOf(packed.spans).length, 0);
  const promptTokens = batches.reduce((sum, { packed }) => sum + packed.promptRows, 0);
  const totals = { ...countsOf(spans, objective.over), groups, promptTokens };
  if (objective.counts === undefined) return totals;
  const counted: Record<string, number> = {};
  for (const { packed, columns = {} } of batches) {
    for (const [name, count] of Object.entries(ownCounts(objective, packed.spans, columns))) {
      counted[name] = (counted[name] ?? 0) + count;
    }
  }
  return { ...totals, counted };
}

/** Counts of a slice, the objective's own among them. @param columns - of the batch that the slice is from */
export function sliceCounts(
  objective: Objective,
  { spans, first, start }: CompletionSlice,
  columns: Columns,
): BatchCounts {
  const counts = countsOf(spans, objective.over);
  if (objective.counts === undefined) return counts;
  const ranges = {
    completion: [first, first + spans.length],
    token: [start, start + counts.tokens],
  } as const;
  const own = Object.entries(objective.columns ?? {}).flatMap(([name, per]) => {
    const values = columns[name];
    return values === undefined ? [] : [[name, values.slice(...ranges[unitOf(per)])] as const];
  });
  return { ...counts, counted: ownCounts(objective, spans, Object.fromEntries(own)) };
}

function ownCounts(
  { counts }: Objective,
  spans: readonly ResponseSpan[],
  columns: Columns,
): Record<string, number> {
  const groupSizes = groupsOf(spans).map((group) => group.length);
  const lengths = spans.map(({ start, end }) => end - start);
  return counts?.({ groupSizes, lengths, columns }) ?? {};
}
