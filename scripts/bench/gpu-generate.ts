/** `npm run bench -- gpu --tables generate`: greedy decoding here and by transformers on one GPU, random weights, tokens a second. */
import { textTable } from "../../src/terminal/text-table.ts";
import type { GpuGenerationPlan, GpuGenerationRecord } from "./gpu-record.ts";
import { measureHere, measurePeer } from "./processes.ts";
import { say } from "./program.ts";

/** Measures and prints. `python`: null for ours alone. */
export function compareGeneration(
  { model, modelDir, device }: Pick<GpuGenerationPlan, "model" | "modelDir" | "device">,
  python: string | null,
): { plan: GpuGenerationPlan; ours: GpuGenerationRecord; theirs: GpuGenerationRecord | null } {
  const plan = {
    ...{ model, modelDir, device, vocabulary: 128_256, batches: [1, 8, 32, 128] },
    ...{ promptTokens: 128, newTokens: 128, threads: 4 },
  };
  say(`\n${model}, greedy, bfloat16, ${plan.promptTokens} prompt tokens, ${plan.newTokens} new ones`);
  const ours = measureHere<GpuGenerationRecord>("gpu-generate-child.ts", plan);
  const theirs =
    python === null ? null : measurePeer<GpuGenerationRecord>(python, "peer_gpu_generate.py", plan);
  const rows = ours.runs.map(({ batch, tokensPerSecond }, i) => {
    const other = theirs?.runs[i]?.tokensPerSecond;
    const compared =
      other === undefined ? ["", ""] : [other.toFixed(0), `${(tokensPerSecond / other).toFixed(2)}×`];
    return [`${batch}`, tokensPerSecond.toFixed(0), ...compared];
  });
  say(`\n${textTable(["answers at once", "preftune, tokens/s", "transformers, tokens/s", "ratio"], rows)}`);
  return { plan, ours, theirs };
}
