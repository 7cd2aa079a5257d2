/** Handing the trained model over: files that PEFT and transformers load. The gate that they pass is in `parity.ts`. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { copyFile } from "../base/copy-files.ts";
import { ConfigError, FormatError } from "../base/errors.ts";
import { writeDirectoryAtomic } from "../base/files.ts";
import { alone } from "../base/ranks.ts";
import { adapterPathsIn } from "../formats/adapter-names.ts";
import type { WeightDtype } from "../formats/model-config.ts";
import { otherPartsOf } from "../formats/other-parts.ts";
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
import type { WrittenTokenizer } from "./copy-tokenizer.ts";
import { addStopTokens } from "./generation-config.ts";
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

/** What an adapter is written from. */
export interface AdapterExport
  extends Pick<TrainedModel<Decoder>, "model" | "adapter" | "parameters">,
    WrittenTokenizer {
  /** Of a multimodal model: for the text model alone, not for the class of the whole. Default false. */
  textOnly?: boolean;
  ranks?: HoldingRanks | null | undefined;
  /** See `MergedExport.check`. */
  check?: (directory: string) => void;
}

/** Writes the adapter directory `dir`: all of it appears at once, or nothing. */
export async function exportAdapter(
  dir: string,
  { model, adapter, parameters, textOnly = false, ranks = null, check, ...written }: AdapterExport,
): Promise<void> {
  if (adapter === null) throw new FormatError("there is no adapter to export: the run trains all weights");
  await writeDirectoryAtomic(
    dir,
    (temporary) => {
      const isPart = model.config.isMultimodalText && !model.config.isRewardModel && !textOnly;
      const { config, nameOf } = adapterPathsIn(adapter, isPart);
      const tensors = new Map([...parameters.tensors].map(([name, tensor]) => [nameOf(name), tensor]));
      writeTensors(
        ranks,
        () => adapterFileTensors(tensors),
        (collect) => writeAdapter(temporary, config, tensors, collect),
      );
      if (isFirst(ranks)) writeTokenizer(temporary, written, model);
    },
    { replace: true, check, ranks: ranks?.group ?? alone },
  );
}

/** Refuses to leave out what is not there. */
export function refuseTextOnly(dir: string, key: string): never {
  throw new ConfigError(
    `${key}: ${dir} is a text model, it has no other parts to leave out. Take ${key} out.`,
  );
}

/** What a merged model is written from. */
export interface MergedExport extends WrittenTokenizer {
  model: Decoder;
  /** Directory the model came from: its generation config goes along. */
  baseDir: string;
  dtype: WeightDtype;
  /** Of a multimodal model: leave out what it has beside the text model. Default false: that is carried over as it is. */
  textOnly?: boolean;
  /** Tokens that its answers end with, at which other programs are to stop too; left out: those of the base's generation config. */
  stopIds?: ReadonlySet<number>;
  /** Replace what is at the target; default false. */
  replace?: boolean;
  /** The ranks that have the model; each calls it. Default: this process alone. */
  ranks?: HoldingRanks | null | undefined;
  /** Looks at the whole directory before it is put in place; what it throws, on all ranks or none, leaves the target as it was. */
  check?: (directory: string) => void;
}

/** Writes a Hugging Face model directory with tokenizer, template and generation config. */
export async function exportModel(dir: string, merged: MergedExport): Promise<void> {
  const { model, dtype, baseDir, textOnly = false, ranks = null } = merged;
  const parts = textOnly || model.config.isRewardModel ? null : otherPartsOf(baseDir);
  await writeDirectoryAtomic(
    dir,
    (temporary) => {
      writeTensors(
        ranks,
        () => mergedTensors(model),
        (collect) => writeMergedModel(temporary, model, dtype, { collect, parts }),
      );
      if (!isFirst(ranks)) return;
      writeTokenizer(temporary, merged, model);
      for (const file of ["generation_config.json", ...(parts?.files ?? [])]) {
        const [from, to] = [join(baseDir, file), join(temporary, file)];
        if (existsSync(from) && !existsSync(to)) copyFile(from, to);
      }
      if (!model.config.isRewardModel) addStopTokens(temporary, merged.stopIds ?? [], model.config);
    },
    { replace: merged.replace ?? false, check: merged.check, ranks: ranks?.group ?? alone },
  );
}
