/**
 * The record of a finished set-up, `.preftune/setup.json`: what was found and built, and the state of the files it
 * rests on. A later start compares a few file times with it instead of asking Python and the compiler again.
 */
import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { writeFileAtomic } from "../base/files.ts";
import type { Torch } from "./find-torch.ts";

/** What a set-up rests on besides files. */
export interface SetupInputs {
  torchVariable: string;
  python: string | null;
  compilerVariable: string;
  platform: string;
  sources: string;
  /** PREFTUNE_PREBUILT, where it is set. */
  prebuilt?: string;
}

/** Products that are measured: the three of a layer in training, x · Wᵀ, dy · W and dyᵀ · x, and x · Wᵀ for few rows, as decoding makes it. */
export const matmulShapes = ["forward", "inputGradient", "weightGradient", "fewRows"] as const;

/** What torch's own library, oneDNN and the addon's own kernel reached on one thread of a processor, in GFLOP/s; 0 for one that is not there. */
export type MatmulMeasurement = Record<
  (typeof matmulShapes)[number],
  { torch: number; onednn: number; own: number }
>;

/** What `.preftune/setup.json` holds. */
export interface SetupRecord {
  format: 1;
  inputs: SetupInputs;
  /** Path -> state of the file when the record was written; null for absent. */
  watched: Record<string, string | null>;
  torch: Torch;
  addon: string;
  /** Why several GPUs cannot be used, and what to do; null where they can, or torch has no CUDA. Not in earlier records. */
  noNccl?: string | null;
  /** Version line of the compiler that built the addon; null where it was prebuilt. Not in earlier records. */
  compiler?: string | null;
  /** Whether the addon was compiled before it was published. Not in earlier records. */
  prebuilt?: boolean;
  /**
   * How fast matrix products are, by processor and what of it may be used, since a folder may be used on several; null where it could not be measured.
   * Not in records of earlier versions.
   */
  matmul?: Record<string, MatmulMeasurement | null>;
}

/** Path of the record in a state folder. */
export function recordPath(stateFolder: string): string {
  return join(stateFolder, "setup.json");
}

/** Time and size of a file or folder, or null when it is absent. */
function fileState(path: string): string | null {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat === undefined ? null : `${stat.mtimeMs} ${stat.isDirectory() ? "folder" : stat.size}`;
}

/** Reads the record, whatever its age; null when there is none or it is not one. */
export function readRecord(stateFolder: string): SetupRecord | null {
  const path = recordPath(stateFolder);
  if (!existsSync(path)) return null;
  try {
    const record = JSON.parse(readFileSync(path, "utf8")) as SetupRecord;
    return record.format === 1 && typeof record.addon === "string" ? record : null;
  } catch {
    return null;
  }
}

/** Why a record no longer holds, in a few words; null when it does. */
export function recordProblem(record: SetupRecord, inputs: SetupInputs): string | null {
  if (!existsSync(record.addon)) return "the addon is gone";
  if (record.inputs.sources !== inputs.sources) return "the native sources have changed";
  if (record.inputs.torchVariable !== inputs.torchVariable) return "PREFTUNE_TORCH has changed";
  if (record.inputs.prebuilt !== inputs.prebuilt) return "PREFTUNE_PREBUILT has changed";
  if (JSON.stringify(record.inputs) !== JSON.stringify(inputs))
    return "python3 or the compiler is another one";
  const changed = Object.entries(record.watched).find(([path, state]) => fileState(path) !== state);
  return changed === undefined ? null : `${changed[0]} has changed`;
}

/** Writes the record. */
export function writeRecord(
  stateFolder: string,
  record: Omit<SetupRecord, "format" | "watched">,
  files: string[],
): void {
  const watched = Object.fromEntries(files.map((path) => [path, fileState(path)]));
  saveRecord(stateFolder, { format: 1, ...record, watched });
}

/** Writes a record as it is. */
export function saveRecord(stateFolder: string, record: SetupRecord): void {
  writeFileAtomic(recordPath(stateFolder), `${JSON.stringify(record, null, 2)}\n`);
}
