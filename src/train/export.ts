/** Handing the trained model over: files that PEFT and transformers load. The gate that they pass is in `parity.ts`. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { copyFile } from "../base/copy-files.ts";
import { FormatError } from "../base/errors.ts";
import { writeDirectoryAtomic } from "../base/files.ts";
import { alone } from "../base/ranks.ts";
import type { WeightDtype } from "../formats/model-config.ts";
import type { Decoder } from "../models/causal-lm.ts";
import {
  adapterFileTensors,
  type Collect,
  mergedTensors,
  type SavedTensor,
  writeAdapter,
  writeMergedModel,
} from "../models/save.ts";
import { Collector } from "../sharding/collect.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import { writeTokenizer } from "./padding-token.ts";
import type { TrainedModel } from "./prepare-model.ts";
import type { HoldingRanks } from "./step-ranks.ts";

function isFirst(ranks: HoldingRanks | null): boolean {
  return (ranks?.group.rank ?? 0) === 0;
}

/**
 * Writes tensors, by `write` on rank 0. Where each rank holds a part of the model, the others give it theirs.
 *
 * @param tensors - what is written, in its order
 */
function writeTensors(
  ranks: HoldingRanks | null,
  tensors: () => readonly SavedTensor[],
  write: (collect?: Collect) => void,
): void {
  const isWriter = isFirst(ranks);
  if (!ranks?.sharded) {
    if (isWriter) write();
    return;
  }
  using collector = new Collector(ranks.sharded, ranks.group);
  if (isWriter) write(collector.collect);
  else collector.takePart(tensors());
}

/** Writes the adapter directory `dir`: all of it appears at once, or nothing. */
export async function exportAdapter(
  dir: string,
  trained: Pick<TrainedModel<Decoder>, "model" | "adapter" | "parameters"> & {
    ranks?: HoldingRanks | null | undefined;
  },
  tokenizer: Tokenizer,
): Promise<void> {
  const { model, adapter, parameters, ranks = null } = trained;
  if (adapter === null) throw new FormatError("there is no adapter to export: the run trains all weights");
  await writeDirectoryAtomic(
    dir,
    (temporary) => {
      const { tensors } = parameters;
      writeTensors(
        ranks,
        () => adapterFileTensors(tensors),
        (collect) => writeAdapter(temporary, adapter.config, tensors, collect),
      );
      if (isFirst(ranks)) writeTokenizer(temporary, tokenizer, model);
    },
    { replace: true, ranks: ranks?.group ?? alone },
  );
}

/** What a merged model is written from. */
export interface MergedExport {
  model: Decoder;
  tokenizer: Tokenizer;
  /** Directory the model came from: its generation config goes along. */
  baseDir: string;
  dtype: WeightDtype;
  /** Replace what is at the target; default false. */
  replace?: boolean;
  /** The ranks that have the model; each calls it. Default: this process alone. */
  ranks?: HoldingRanks | null | undefined;
  /** Looks at the whole directory before it is put in place; what it throws leaves the target as it was. */
  check?: (directory: string) => void;
}

/** Writes a Hugging Face model directory with tokenizer, template and generation config. */
export async function exportModel(dir: string, merged: MergedExport): Promise<void> {
  const { model, dtype, ranks = null } = merged;
  await writeDirectoryAtomic(
    dir,
    (temporary) => {
      writeTensors(
        ranks,
        () => mergedTensors(model),
        (collect) => writeMergedModel(temporary, model, dtype, collect),
      );
      if (!isFirst(ranks)) return;
      writeTokenizer(temporary, merged.tokenizer, model);
      const generation = join(merged.baseDir, "generation_config.json");
      if (existsSync(generation)) copyFile(generation, join(temporary, "generation_config.json"));
      merged.check?.(temporary);
    },
    { replace: merged.replace ?? false, ranks: ranks?.group ?? alone },
  );
}
