/** The text of a held-out pair: found again in the file that its evaluation names. The text is anybody's: hostile. */
import { existsSync, realpathSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { ConfigError } from "../base/errors.ts";
import { sha256FileInTurns } from "../base/files.ts";
import { type DatasetSpec, sourcePath } from "../config/datasets.ts";
import type { RunConfig } from "../config/run-config.ts";
import { type DataFile, fileKind } from "../data/data-file.ts";
import type { RawRow } from "../data/example.ts";
import { cachedDataFolder, parseHubId } from "../data/hub-data.ts";
import { ReadMeter } from "../data/read-meter.ts";
import { normaliseRow } from "../data/rows.ts";
import { findFiles, readFiles } from "../data/sources.ts";
import { fileNames, isOnDisk, type NamedSource, namedSources } from "../runs/data-files.ts";
import { messageText, toolsText } from "../text/message-text.ts";
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
 * The row at `place`, "file:line", of a run's data, as the run read it. Nothing is fetched for it.
 *
 * @param run - its `data` are the digests and commits of its fingerprints
 * @param roots - folders that files may lie in; files of hub data sets lie elsewhere, and are named by the run alone
 * @throws {ConfigError} when the file is none of the run's data, lies elsewhere, is not what the run read, or has no such row,
 *   and when the run did not keep which version it read
 */
export async function rowAt(
  place: string,
  run: { config: Pick<RunConfig, "train_data" | "eval_data">; data: Readonly<Record<string, string>> },
  roots: readonly string[],
): Promise<{ row: RawRow; spec: DatasetSpec }> {
  const [, name = "", line = ""] = /^(.*):(\d+)$/s.exec(place) ?? [];
  const { train_data, eval_data } = run.config;
  for (const source of [...namedSources("eval_data", eval_data), ...namedSources("train_data", train_data)]) {
    const isHere = isOnDisk(sourcePath(source.spec));
    const file = isHere ? await localFile(name, source, run.data, roots) : hubFile(name, source, run.data);
    const row = file === null ? null : await lineOf(file, Number(line));
    if (row !== null) return { row, spec: source.spec };
  }
  throw new ConfigError(
    `${place}: the row is not there any more: the file was changed or moved since the run read it, or is looked for from another folder than the run's. Start the dashboard where the run was started.`,
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
  const { tools = null } = source;
  const called = tools === null || tools.length === 0 ? [] : plain("tools", toolsText(tools));
  return {
    prompt: [...called, ...source.prompt.map(turnOf)],
    chosen: chosen.map(turnOf),
    rejected: rejected.map(turnOf),
  };
}

function plain(role: string, text: string): Turn[] {
  return [{ role, text }];
}

function turnOf(message: Message): Turn {
  return { role: message.role, text: messageText(message) };
}

/** The file of a source on the disk with this name; null where there is none, or another than the run read. */
async function localFile(
  name: string,
  { key, spec }: NamedSource,
  data: Readonly<Record<string, string>>,
  roots: readonly string[],
): Promise<DataFile | null> {
  const { files } = await findFiles({ path: sourcePath(spec) }).catch(() => ({ files: [] as DataFile[] }));
  const file = files.find((one) => one.name === name);
  if (file === undefined) return null;
  requireInside(file, roots);
  const names = fileNames(
    key,
    files.map(({ path }) => path),
  );
  const kept = keptOf(names[files.indexOf(file)] ?? "", data);
  return (await sha256FileInTurns(file.path)) === kept ? file : null;
}

/** The digest or commit that a run kept of what it read. @throws {ConfigError} when it kept none */
function keptOf(name: string, data: Readonly<Record<string, string>>): string {
  const kept = data[name];
  if (kept !== undefined) return kept;
  throw new ConfigError(
    `The run does not say which version of ${name} it read: versions of before did not keep that. Look the row up in the file.`,
  );
}

/** The file with this name of a data set of the hub, at the commit that the run read; null where the cache has it not. */
function hubFile(
  name: string,
  { spec }: NamedSource,
  data: Readonly<Record<string, string>>,
): DataFile | null {
  const id = parseHubId(sourcePath(spec));
  if (id === null || !name.startsWith(`hub:${id.repo}/`)) return null;
  const inside = name.slice(`hub:${id.repo}/`.length);
  const kind = fileKind(inside);
  if (kind === null || inside.split("/").includes("..")) return null;
  const commit = keptOf(`hub:${id.repo}`, data);
  if (!/^[0-9a-f]{40}$/.test(commit)) return null;
  const path = join(cachedDataFolder(id, commit), inside);
  return existsSync(path) ? { path, name, ...kind } : null;
}

function requireInside({ path }: DataFile, roots: readonly string[]): void {
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
