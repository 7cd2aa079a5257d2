/** How near generation comes to what the machine does at most: prompts to its product, decoding to reading the weights. */
import type { ModelConfig } from "../../src/formats/model-config.ts";
import { pairFlops } from "../../src/planner/flops.ts";
import { nothing } from "../../src/planner/trained-parts.ts";
import { textTable } from "../../src/terminal/text-table.ts";
import type { GenerationPlan, GenerationRecord } from "./generate-record.ts";

/** FLOPs that one sequence needs: of its prompt, with the logits of its last token alone, and of all tokens behind the first new one. */
export interface SequenceFlops {
  prompt: number;
  decoding: number;
}

/** The FLOPs of a sequence of the plan. */
export function sequenceFlops(
  config: ModelConfig,
  { promptTokens: prompt, newTokens }: Pick<GenerationPlan, "promptTokens" | "newTokens">,
): SequenceFlops {
  const options = { trained: nothing, share_prompt: true, recomputed: 0 };
  const upTo = (chosen: number) => pairFlops(config, { prompt, chosen, rejected: 0 }, options).reference;
  return { prompt: upTo(1), decoding: upTo(newTokens) - upTo(1) };
}

/** The quickest of some rounds. */
function least(values: readonly (number | undefined)[]): number {
  return Math.min(...values.map((value) => value ?? Number.NaN));
}

function percent(part: number, whole: number): string {
  return `${((100 * part) / whole).toFixed(0)} %`;
}

/**
 * The figures of our rounds by answers at once, in the quickest of them. Decoding is the whole run less its prompts, which are timed
 * alone; it reads the weights once for each token of an answer, whatever the number of answers.
 */
export function limitsText(ours: readonly GenerationRecord[], flops: SequenceFlops): string {
  const gemm = Math.max(...ours.map(({ gemmGflops }) => gemmGflops ?? Number.NaN));
  const bytes = ours[0]?.weights?.bytes ?? Number.NaN;
  const sum = bytes / least(ours.map(({ weights }) => weights?.seconds)) / 1e9;
  const rows = (ours[0]?.runs ?? []).map(({ batch, ids }, place) => {
    const prompts = least(ours.map(({ runs }) => runs[place]?.promptSeconds));
    const prompt = (batch * flops.prompt) / prompts / 1e9;
    const passes = (ids[0]?.length ?? 0) - 1;
    if (passes < 1) return [`${batch}`, prompt.toFixed(0), percent(prompt, gemm), "", "", "", ""];
    const seconds = least(ours.map(({ runs }) => runs[place]?.seconds)) - prompts;
    const read = (bytes * passes) / seconds / 1e9;
    const decoded = (batch * flops.decoding) / seconds / 1e9;
    return [
      ...[`${batch}`, prompt.toFixed(0), percent(prompt, gemm)],
      ...[read.toFixed(1), percent(read, sum), decoded.toFixed(0), percent(decoded, gemm)],
    ];
  });
  const columns = [
    ...["answers\nat once", "prompts\nGFLOP/s", "of\nGEMM", "decoding: weights\nread, GB/s", "of the\nsum"],
    ...["decoding\nGFLOP/s", "of\nGEMM"],
  ];
  return (
    `what bounds ours: GEMM ${gemm.toFixed(0)} GFLOP/s; a plain sum reads the weights' ${(bytes / 2 ** 20).toFixed(0)} MiB at ` +
    `${sum.toFixed(1)} GB/s\n${textTable(columns, rows)}`
  );
}
