/** The rows that a GGUF file is checked with, and the system message that a run's rows share. */
import { ConfigError, DataError, FileError, PreftuneError } from "../base/errors.ts";
import type { PhaseListener } from "../base/phase-listener.ts";
import { isOnPolicy } from "../config/online-keys.ts";
import type { RunConfig } from "../config/run-config.ts";
import type { Example, RawRow } from "../data/example.ts";
import type { WeightedSource } from "../data/mixing.ts";
import { packExamples } from "../data/packing.ts";
import { assertPreflight } from "../data/preflight.ts";
import { normaliseRow, type Task } from "../data/rows.ts";
import { readRows } from "../data/sources.ts";
import type { ModelConfig } from "../formats/model-config.ts";
import type { MicroBatch } from "../forward/batch.ts";
import { methodOf } from "../methods/index.ts";
import { withCompletion } from "../train/export-run.ts";
import { type DataSelection, prepareData, rowsOf, sourcesOf, taskOf } from "../train/prepare-data.ts";
import type { GgufOrigin } from "./gguf-source.ts";
import { randomExamples } from "./merge.ts";

/** Rows that are re-scored at most. */
const mostRows = 64;

/** Rows to score, a batch each. */
export interface GateRows {
  batches: MicroBatch[];
  /** Whether pairs of answers in them are pairs that somebody chose from. */
  arePairs: boolean;
}

/** The held-out rows of `data`, else those of the run, else random tokens. */
export async function ggufBatches(
  { model, run }: GgufOrigin,
  data: string | null,
  { config, onPhase }: { config: ModelConfig; onPhase: PhaseListener },
): Promise<GateRows> {
  const selection = selectionOf(model, run, data);
  const examples = selection === null ? randomExamples(config) : await heldOut(selection, onPhase);
  const batches = examples.map((example, i) => ({ packed: packExamples([example]), indices: [i] }));
  return { batches, arePairs: selection !== null };
}

function selectionOf(model: string, run: RunConfig | null, data: string | null): DataSelection | null {
  const own = run === null ? null : { ...run, task: taskOfRun(run) };
  if (data === null) return own;
  const keys = { model_name_or_path: model, task: "preference", max_train_rows: mostRows } as const;
  return rowsOf(data, {
    ...(own ?? { overflow: "drop", invalid_rows: "drop" }),
    ...keys,
  });
}

function taskOfRun(run: RunConfig): Task {
  return taskOf(methodOf(run.method.objective).over, isOnPolicy(run));
}

async function heldOut(selection: DataSelection, onPhase: PhaseListener): Promise<Example[]> {
  try {
    const { dataset } = await prepareData(selection, onPhase);
    assertPreflight(dataset.report);
    const held = (dataset.evalExamples ?? dataset.examples).slice(0, mostRows).map(withCompletion);
    if (held.length > 0) return held;
  } catch (error) {
    if (!(error instanceof FileError || error instanceof DataError)) throw error;
    throw new ConfigError(
      `The rows to check the file with: ${error.message} Others can be given: --data FILE.`,
      {
        cause: error,
      },
    );
  }
  throw new ConfigError("No row can be used to check the file with. Give others: --data FILE.");
}

/** The system message that every training row of a run begins with; null where there is none, or several. */
export async function systemMessage(run: RunConfig): Promise<string | null> {
  let shared: string | null = null;
  try {
    for (const source of sourcesOf(run.train_data, run.columns)) {
      for await (const row of readRows(source)) {
        const system = systemOf(row, run, source);
        if (system === null || (shared !== null && system !== shared)) return null;
        shared = system;
      }
    }
  } catch (error) {
    // what cannot be read is an error of the check, which reads the rows too
    if (error instanceof PreftuneError) return null;
    throw error;
  }
  return shared;
}

function systemOf(row: RawRow, run: RunConfig, { columns }: WeightedSource): string | null {
  const { plain_strings } = run;
  const { source } = normaliseRow(row, {
    task: taskOfRun(run),
    ...(plain_strings === null ? {} : { strings: plain_strings }),
    ...(columns === undefined ? {} : { columns }),
  });
  if (source === null || (source.kind !== "chat" && source.kind !== "conversation")) return null;
  const [first] = source.kind === "chat" ? source.prompt : source.messages;
  return first?.role === "system" && typeof first.content === "string" ? first.content : null;
}
