/** The quick start's rows as files. */
import { join } from "node:path";
import { writeFileAtomic } from "../base/files.ts";
import { jsonLines, type ToyData } from "./toy-data.ts";

/** Writes `sft.jsonl`, `train.jsonl` and `eval.jsonl` into `dir`. */
export function writeToyData(dir: string, { sft, train, evaluation }: ToyData): void {
  writeFileAtomic(join(dir, "sft.jsonl"), jsonLines(sft));
  writeFileAtomic(join(dir, "train.jsonl"), jsonLines(train));
  writeFileAtomic(join(dir, "eval.jsonl"), jsonLines(evaluation));
}
