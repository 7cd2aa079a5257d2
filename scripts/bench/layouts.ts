/** The benchmark's rows as the micro-batches of a step, laid out as a variant says. */
import { at } from "../../src/base/at.ts";
import { packExamples } from "../../src/data/packing.ts";
import type { MicroBatch } from "../../src/forward/batch.ts";
import type { Variant } from "./run-record.ts";
import type { WorkloadRow } from "./workload.ts";

type Example = Parameters<typeof packExamples>[0][number];

/** Rows `first` … of the workload, which starts again when it ends, as the micro-batches of one step. */
export function batchesOf(
  rows: readonly WorkloadRow[],
  { first, count }: { first: number; count: number },
  variant: Variant,
): MicroBatch[] {
  const indices = Array.from({ length: count }, (_, i) => first + i);
  const chosen = indices.map((index) => at(rows, index % rows.length));
  const longest = Math.max(...chosen.map((row) => row.prompt_ids.length + longestAnswer(row)));
  const examples = chosen.map((row, i) => exampleOf(row, first + i, { variant, longest }));
  const pack = (some: readonly Example[], at: readonly number[]): MicroBatch => ({
    packed: packExamples(some, { share_prompt: variant.share_prompt !== false }),
    indices: at,
  });
  if (variant.pairByPair !== true) return [pack(examples, indices)];
  return examples.map((example, i) => pack([example], [first + i]));
}

function longestAnswer({ chosen_ids, rejected_ids }: WorkloadRow): number {
  return Math.max(chosen_ids.length, rejected_ids.length);
}

function exampleOf(
  row: WorkloadRow,
  index: number,
  { variant, longest }: { variant: Variant; longest: number },
): Example {
  const prompt = variant.headOnPrompt === true ? row.prompt_ids.slice(0, 1) : row.prompt_ids;
  const answer = (ids: readonly number[]) => {
    const all = [...row.prompt_ids.slice(prompt.length), ...ids];
    const filling = variant.pads === true ? longest - prompt.length - all.length : 0;
    if (filling === 0) return { ids: all };
    const mask = all.map(() => 1);
    return {
      ids: [...all, ...new Array<number>(filling).fill(0)],
      mask: [...mask, ...new Array<number>(filling).fill(0)],
    };
  };
  return {
    origin: { file: "workload", line: index + 1 },
    promptIds: prompt,
    completions: [answer(row.chosen_ids), answer(row.rejected_ids)],
  };
}
