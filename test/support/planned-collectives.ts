/** What the planner says that ranks pass in a step, beside what they have passed. */
import { loadConfig } from "../../src/config/load-config.ts";
import { storedConfig } from "../../src/formats/tied-head.ts";
import { collectivesOf, type Layout } from "../../src/planner/layout.ts";
import { trainedPartsOf } from "../../src/planner/trained-parts.ts";
import type { RankRecord } from "./record-rank-child.ts";
import type { Values } from "./runs.ts";

/** The lines of a step of `microBatches` on rank 0, "operation unit bytes". @param hosts - ranks of each */
export function plannedStep(
  values: Values,
  { hosts, microBatches, ...layout }: Layout & { hosts: readonly number[]; microBatches: number },
): string[] {
  const { config } = loadConfig({ values });
  const model = storedConfig(config.model_name_or_path);
  const trained = trainedPartsOf(config, model, null);
  const hasLiveReference = config.method.objective === "dpo" && !config.precompute_ref_log_probs;
  const numerics = { dtype: "float32", onGpu: false } as const;
  const input = { model, trained, numerics, hasLiveReference };
  const { pass, added } = collectivesOf(input, layout, { hosts, inside: 1, link: 1 });
  const all = Array.from({ length: microBatches }, () => pass).flat();
  return [...all, ...(added === null ? [] : [added])].map(
    ({ operation, of, bytes }) => `${operation} ${of} ${bytes}`,
  );
}

/** The lines of a rank's second step, those of what ranks tell each other left out; gradients are added up some at a time, in one line. */
export function stepOf({ lines, steps: [first = 0, second = 0] }: RankRecord): string[] {
  const all = lines.slice(first, second).filter((line) => !/^(allGather texts|barrier)/.test(line));
  const added = all.filter((line) => line.startsWith("allReduce gradients"));
  const bytes = added.reduce((sum, line) => sum + bytesOf(line), 0);
  return [
    ...all.filter((line) => !added.includes(line)),
    ...(added.length > 0 ? [`allReduce gradients ${bytes}`] : []),
  ];
}

/** Bytes that a rank of `size` sends by these collectives among all. */
export function sentBy(lines: readonly string[], size: number): number {
  const times = (line: string) => (line.startsWith("allReduce") ? 2 : 1);
  return lines.reduce((sum, line) => sum + (times(line) * bytesOf(line) * (size - 1)) / size, 0);
}

function bytesOf(line: string): number {
  return Number(line.split(" ").at(-1));
}
