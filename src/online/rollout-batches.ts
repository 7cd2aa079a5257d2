/** The completions of a rollout as packed micro-batches, with the columns that the objective asked for. */
import { at } from "../base/at.ts";
import type { TokenSet } from "../base/token-set.ts";
import { type Completion, type Example, promptOf } from "../data/example.ts";
import { packExamples, packedTokens } from "../data/packing.ts";
import type { Columns, MicroBatch } from "../forward/batch.ts";
import type { CompletionObjective } from "../methods/objective.ts";
import type { RolloutColumns } from "../methods/rollout.ts";
import type { RolloutCompletion, RolloutGroup } from "./rollout.ts";

/** How completions are packed. */
export interface RolloutPacking {
  /** Completions in a micro-batch at most. */
  per_device_train_batch_size: number;
  /** Input tokens in a micro-batch, unless one prompt's (or, if groups may be cut, one completion's) are more; null: any number. */
  max_tokens_per_micro_batch: number | null;
  /** Whether the completions of a prompt may be in several micro-batches. */
  mayCutGroups: boolean;
  /** Leave the tokens of completions that were cut out of the loss. */
  mask_truncated_completions: boolean;
  share_prompt: boolean;
  /** Which completions have no gradient: they go into micro-batches apart, unless that costs more than it saves; null: none is apart. */
  withoutGradient?: CompletionObjective["withoutGradient"] | null;
}

/** A micro-batch of completions. */
export interface RolloutBatch extends MicroBatch {
  /** Place of each completion among those of the groups that were packed. */
  places: readonly number[];
}

/** What an objective says of how its completions are packed for a step. */
export function packingOf(
  { mayCutGroups = false, withoutGradient }: CompletionObjective,
  { optimizer_in_backward = false }: { optimizer_in_backward?: boolean | undefined },
): Pick<RolloutPacking, "mayCutGroups" | "withoutGradient"> {
  // with updates in the backward pass a step is one micro-batch
  return { mayCutGroups, withoutGradient: optimizer_in_backward ? null : withoutGradient };
}

/** Where a completion stands: its group, its place in that, and its place among all completions. */
interface Place {
  group: RolloutGroup;
  completion: RolloutCompletion;
  index: number;
}

/**
 * Micro-batches of some groups.
 *
 * @param first - place of their first completion among all of the rollout's
 * @param columns - of the whole rollout
 */
export function rolloutBatches(
  groups: readonly RolloutGroup[],
  first: number,
  columns: RolloutColumns,
  packing: RolloutPacking,
): RolloutBatch[] {
  let index = first;
  const all = groups.map((group) =>
    group.completions.map((completion): Place => ({ group, completion, index: index++ })),
  );
  const still = withoutGradient(all, columns, packing);
  const made = (places: readonly Place[][], hasNoGradient: boolean): RolloutBatch[] =>
    packed(places, packing).map((batch) => ({
      ...batchOf(batch, columns, packing),
      places: batch.map((place) => place.index - first),
      ...(hasNoGradient ? { hasNoGradient } : {}),
    }));
  const moving = all.map((places) => places.filter((place) => !still.has(place)));
  // a step of none but these has the gradient 0, which moments are decayed by
  if (moving.every((places) => places.length === 0)) return made(all, false);
  const others = all.map((places) => places.filter((place) => still.has(place)));
  // first, as long as there are no gradients in memory
  return [...made(others, true), ...made(moving, false)];
}

/**
 * The completions without a gradient that go forward alone. Where only some of a group are such, its prompt is computed once more, a
 * forward pass, to save two of the completions.
 */
function withoutGradient(
  groups: readonly Place[][],
  columns: RolloutColumns,
  { withoutGradient: of, mayCutGroups, share_prompt }: RolloutPacking,
): Set<Place> {
  if (of === undefined || of === null) return new Set();
  const places = groups.flat();
  const named = Object.entries(columns).map(([name, values]) => [
    name,
    places.map(({ index }) => values[index]),
  ]);
  const sizes = groups.map(({ length }) => length);
  const is = of(Object.fromEntries(named) as RolloutColumns, sizes);
  const all = new Set(places.filter((_, i) => is[i] === true));
  return new Set(
    groups.flatMap((group) => {
      const own = group.filter((place) => all.has(place));
      if (own.length === group.length) return own;
      const tokens = own.reduce((sum, { completion }) => sum + completion.ids.length, 0);
      const again = share_prompt ? promptOf(at(group, 0).group.example).length : 0;
      return mayCutGroups && 2 * tokens > again ? own : [];
    }),
  );
}

/** Groups, or completions where groups may be cut, in as few micro-batches as hold them in their order. */
function packed(groups: readonly Place[][], packing: RolloutPacking): Place[][] {
  const units = packing.mayCutGroups ? groups.flat().map((place) => [place]) : groups;
  const batches: Place[][] = [];
  for (const unit of units) {
    if (unit.length === 0) continue;
    const last = batches.at(-1);
    if (last !== undefined && fits([...last, ...unit], packing)) last.push(...unit);
    else batches.push([...unit]);
  }
  return batches;
}

function fits(places: readonly Place[], packing: RolloutPacking): boolean {
  if (places.length > packing.per_device_train_batch_size) return false;
  const { max_tokens_per_micro_batch, share_prompt } = packing;
  if (max_tokens_per_micro_batch === null) return true;
  const tokens = examplesOf(places, packing).reduce(
    (sum, { example }) => sum + packedTokens(example, { share_prompt }),
    0,
  );
  return tokens <= max_tokens_per_micro_batch;
}

/** The places as examples: a prompt with those of its completions that are among them. */
function examplesOf(
  places: readonly Place[],
  { mask_truncated_completions }: Pick<RolloutPacking, "mask_truncated_completions">,
): { example: Example; index: number }[] {
  const examples: { group: RolloutGroup; completions: Completion[] }[] = [];
  for (const { group, completion } of places) {
    if (examples.at(-1)?.group !== group) examples.push({ group, completions: [] });
    const { ids, ended, mask: own } = completion;
    const mask = mask_truncated_completions && !ended ? new Array<number>(ids.length).fill(0) : own;
    at(examples, examples.length - 1).completions.push(mask === undefined ? { ids } : { ids, mask });
  }
  return examples.map(({ group, completions }) => {
    const { origin } = group.example;
    return { example: { origin, promptIds: promptOf(group.example), completions }, index: group.index };
  });
}

function batchOf(places: readonly Place[], columns: RolloutColumns, packing: RolloutPacking): MicroBatch {
  const examples = examplesOf(places, packing);
  const packed = packExamples(
    examples.map(({ example }) => example),
    { share_prompt: packing.share_prompt },
  );
  const counted = places.filter(({ completion }) => !packing.mask_truncated_completions || completion.ended);
  const named = Object.entries(columns).map(([name, values]) => [name, columnOf(values, places, counted)]);
  const isFiltered = counted.some(({ completion }) => completion.kept !== null);
  const kept = counted.flatMap(
    ({ completion }) => completion.kept ?? Array.from(completion.logps, (): TokenSet | null => null),
  );
  return {
    packed,
    indices: examples.map(({ index }) => index),
    columns: Object.fromEntries(named) as Columns,
    ...(isFiltered ? { keptTokens: kept } : {}),
  };
}

/** A number for each of `places`, or the numbers of the tokens of those that are counted. */
function columnOf(
  values: RolloutColumns[string],
  places: readonly Place[],
  counted: readonly Place[],
): number[] | Float32Array {
  if (values[0] instanceof Float32Array) {
    const tokens = values as readonly Float32Array[];
    return concatenated(counted.map(({ index }) => at(tokens, index)));
  }
  const numbers = values as readonly number[];
  return places.map(({ index }) => at(numbers, index));
}

/** The arrays one after the other. */
function concatenated(arrays: readonly Float32Array[]): Float32Array {
  const all = new Float32Array(arrays.reduce((sum, { length }) => sum + length, 0));
  let start = 0;
  for (const array of arrays) {
    all.set(array, start);
    start += array.length;
  }
  return all;
}

/**
 * What micro-batches gave for each of their tokens, by completion in the order of the groups: those without tokens in the loss have
 * none.
 *
 * @param tokens - of each micro-batch, (R)
 */
export function byCompletion(
  batches: readonly RolloutBatch[],
  tokens: readonly Float32Array[],
): Float32Array[] {
  const all: Float32Array[] = [];
  for (const [b, { packed, places }] of batches.entries()) {
    for (const [i, { start, end }] of packed.spans.entries())
      all[at(places, i)] = at(tokens, b).slice(start, end);
  }
  return all;
}
