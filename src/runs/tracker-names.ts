/** What a metric is called at a tracker, and its run. */
import { basename, resolve } from "node:path";
import type { MetricRow } from "./metrics.ts";

/** The name as transformers gives it to TensorBoard, W&B and Trackio: `eval/loss` of an evaluation, else `train/loss`. */
export function chartName(key: string): string {
  return key.startsWith("eval_") ? `eval/${key.slice(5)}` : `train/${key}`;
}

/** The numbers of a row but for its step: name as in metrics.jsonl, and value, which may be NaN or infinite. */
export function numbersOf(row: MetricRow): [string, number][] {
  return Object.entries(row).filter(
    (entry): entry is [string, number] => entry[0] !== "global_step" && typeof entry[1] === "number",
  );
}

/** The run's name for people: its own, or its directory's. */
export function runName(config: { run_name: string | null }, dir: string): string {
  return config.run_name ?? basename(resolve(dir));
}
