/** The text of a held-out pair: found again in the file that its evaluation names. The text is anybody's: hostile. */
import { realpathSync } from "node:fs";
import { relative, resolve } from "node:path";
import { ConfigError } from "../base/errors.ts";
import { statsOf } from "../base/open-file.ts";
import { type DatasetSpec, sourcePath } from "../config/datasets.ts";
import type { RunConfig } from "../config/run-config.ts";
import type { DataFile } from "../data/data-file.ts";
import type { RawRow } from "../data/example.ts";
import { parseHubId } from "../data/hub-data.ts";
import { ReadMeter } from "../data/read-meter.ts";
import { normaliseRow } from "../data/rows.ts";
import { findFiles, readFiles } from "../data/sources.ts";
import type { Message } from "../text/messages.ts";

/** One turn, as text. */
export interface Turn {
  role: string;
  text: string;
}

/** A pair as text. */
export interface PairText {
  prompt: readonly Turn[];
  chosen: readonly Turn[];
  rejected: readonly Turn[];
}

/**
 * The row at `place`, "file:line", of a run's data.
 *
 * @param roots - folders that files may lie in; files of hub data sets lie elsewhere, and are named by the run alone
 * @throws {ConfigError} when the file is none of the run's data, lies elsewhere, or has no such row
 */
export async function rowAt(
  place: string,
  { train_data, eval_data }: Pick<RunConfig, "train_data" | "eval_data">,
  roots: readonly string[],
): Promise<{ row: RawRow; spec: DatasetSpec }> {
  const [, name = "", line = ""] = /^(.*):(\d+)$/s.exec(place) ?? [];
  for (const spec of [...(eval_data ?? []), ...train_data]) {
    const file = await fileOf(name, spec);
    if (file === null) continue;
    requireInside(file, spec, roots);
    const row = await lineOf(file, Number(line));
    if (row !== null) return { row, spec };
  }
  throw new ConfigError(
    `${place}: the row is not there any more: the file was changed, moved, or is looked for from another folder than the run's. Start the dashboard where the run was started.`,
  );
}

/** A pair's text by the run's own reading of its rows. @throws {DataError} when the row is no pair */
export function pairOf(row: RawRow, spec: DatasetSpec, config: RunConfig): PairText {
  const columns = spec.columns ?? config.columns;
  const { plain_strings } = config;
  const { source } = normaliseRow(row, {
    task: "preference",
    ...(columns === null ? {} : { columns }),
    ...(plain_strings === null ? {} : { strings: plain_strings }),
  });
  if (source === null) throw new ConfigError("The row is a list of token ids, and has no text.");
  if (source.kind === "text") {
    const [chosen = "", rejected = ""] = source.completions;
    return {
      prompt: plain("prompt", source.prompt),
      chosen: plain("answer", chosen),
      rejected: plain("answer", rejected),
    };
  }
  if (source.kind !== "chat") throw new ConfigError("The row is one text, and no pair.");
  const [chosen = [], rejected = []] = source.completions;
  return { prompt: source.prompt.map(turnOf), chosen: chosen.map(turnOf), rejected: rejected.map(turnOf) };
}

function plain(role: string, text: string): Turn[] {
  return [{ role, text }];
}

function turnOf({ role, content, tool_calls: calls }: Message): Turn {
  const text = typeof content === "string" ? content : content.map((part) => part.text).join("");
  return { role, text: calls === undefined ? text : `${text}${JSON.stringify(calls, null, 1)}` };
}

/** The file of a source with this name; null where it has none, or is not there. */
async function fileOf(name: string, spec: DatasetSpec): Promise<DataFile | null> {
  try {
    const { files } = await findFiles({ path: sourcePath(spec) });
    return files.find((file) => file.name === name) ?? null;
  } catch {
    return null;
  }
}

function requireInside({ path }: DataFile, spec: DatasetSpec, roots: readonly string[]): void {
  // of a hub data set, in the hub's cache
  const source = sourcePath(spec);
  if (statsOf(source) === null && parseHubId(source) !== null) return;
  const real = realpathSync(resolve(path));
  const isInside = [process.cwd(), ...roots].some((root) => !relative(root, real).startsWith(".."));
  if (isInside) return;
  throw new ConfigError(
    "The file of this row lies outside of the folders that the dashboard was given: start it with that folder as well.",
  );
}

async function lineOf(file: DataFile, line: number): Promise<RawRow | null> {
  for await (const row of readFiles({ files: [file], passedOver: [] }, new ReadMeter())) {
    if (row.origin.line === line) return row;
    if (row.origin.line > line) return null;
  }
  return null;
}
