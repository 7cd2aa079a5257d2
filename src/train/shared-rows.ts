/**
 * The rows of a run on several ranks: read, rendered and tokenised by the first rank of each host, into a file that all ranks of the
 * host map, and that a later start with the same rows finds. In one process they stay where they are made: nothing is written.
 */
import { DataError } from "../base/errors.ts";
import type { PhaseListener } from "../base/phase-listener.ts";
import { alone, onAll } from "../base/ranks.ts";
import { type DatasetOptions, prepareDataset } from "../data/dataset.ts";
import type { FoundSource, WeightedSource } from "../data/mixing.ts";
import { assertPreflight, hasErrors, type PreflightReport } from "../data/preflight.ts";
import { findFiles } from "../data/sources.ts";
import { oncePerHost } from "../distributed/once-per-host.ts";
import type { RankGroup } from "../distributed/rank-group.ts";
import { readModelConfig } from "../formats/hf-config.ts";
import { templateGiven } from "../text/template-source.ts";
import { loadTokenizer } from "../text/tokenizer.ts";
import {
  type DataSelection,
  datasetOptions,
  type PreparedData,
  prepareData,
  textOf,
} from "./prepare-data.ts";
import {
  contentDigest,
  type FoundRows,
  hasRows,
  mapRows,
  rowsFingerprint,
  rowsPath,
  writeRows,
} from "./row-cache.ts";

/** What the first rank of a host tells the others of it. */
type RowsOfHost = { path: string; fingerprint: string } | { faulty: PreflightReport };

/**
 * The rows that `selection` names, tokenised once on each host; all ranks call it. Of rows with errors there is the report alone: call
 * `requireRows` with it.
 *
 * @throws {RankFailure} on every rank, if they cannot be read or written on one
 */
export async function prepareOnRanks(
  group: RankGroup | null,
  selection: DataSelection,
  onPhase: PhaseListener = () => {},
): Promise<PreparedData> {
  if (group === null) return await prepareData(selection, onPhase);
  const made = await oncePerHost(group, () => rowsOfHost(selection, onPhase));
  return onAll(group, () => {
    const modelConfig = readModelConfig(selection.model_name_or_path);
    const tokenizer = loadTokenizer(selection.model_name_or_path);
    const text = { tokenizer, chatTemplate: templateGiven(tokenizer, selection.chat_template), modelConfig };
    if ("faulty" in made) {
      const dataset = { examples: [], evalExamples: null, report: made.faulty, fingerprint: "" };
      const none = { stopIds: new Set<number>(), textFingerprint: "", templates: [] };
      return { dataset, ...text, ...none };
    }
    const { stopIds, ...rows } = mapRows({ ...made, vocabSize: modelConfig.vocabSize });
    return { ...rows, ...text, stopIds: new Set(stopIds) };
  });
}

/** @throws {RankFailure} on every rank, if the rows of one have errors: what `assertPreflight` says. One process: that itself */
export function requireRows(group: RankGroup | null, report: PreflightReport): void {
  onAll(group ?? alone, () => assertPreflight(report));
}

async function withFiles({ sources, evalSources, ...options }: DatasetOptions): Promise<FoundRows> {
  const foundOf = async (all: readonly WeightedSource[]): Promise<FoundSource[]> => {
    const found: FoundSource[] = [];
    for (const source of all) found.push({ ...source, found: await findFiles(source) });
    return found;
  };
  const held = evalSources === undefined ? {} : { evalSources: await foundOf(evalSources) };
  return { ...options, sources: await foundOf(sources), ...held };
}

/** Tokenises the rows into their file, unless it is there. */
async function rowsOfHost(selection: DataSelection, onPhase: PhaseListener): Promise<RowsOfHost> {
  onPhase("rows tokenised", 0, null);
  await using text = await textOf(selection);
  const options = await withFiles(datasetOptions(selection, text, onPhase));
  const content = contentDigest(options);
  const fingerprint = rowsFingerprint(selection, options, content);
  const path = rowsPath(fingerprint);
  const expected = { path, fingerprint, vocabSize: text.config.vocabSize };
  if (hasRows(expected, (line) => onPhase(line, 1, 1))) {
    onPhase(`rows as tokenised before: ${path}`, 1, 1);
    return { path, fingerprint };
  }
  const dataset = await prepareDataset(options);
  const { report } = dataset;
  if (hasErrors(report)) return { faulty: report };
  if (contentDigest(options) !== content) {
    throw new DataError(
      "Files of rows were changed while they were read: expected the same content before and after. Start again once they are written.",
    );
  }
  const { encoder, stopIds } = text;
  writeRows(path, fingerprint, {
    dataset,
    textFingerprint: encoder.fingerprint(),
    templates: encoder.templates(),
    stopIds: [...stopIds],
  });
  return { path, fingerprint };
}
