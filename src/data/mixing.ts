/** Rows of several sources in one stream: all of them in order, or a weighted draw. */
import { at } from "../base/at.ts";
import { ConfigError, DataError } from "../base/errors.ts";
import type { ColumnMap } from "./columns.ts";
import type { FoundFiles } from "./data-file.ts";
import type { RawRow } from "./example.ts";
import type { LoadCounts } from "./preflight.ts";
import { ReadMeter } from "./read-meter.ts";
import type { RowOptions } from "./rows.ts";
import { bytesOf, type DataSource, findFiles, type PassedOver, readFiles } from "./sources.ts";
import { drawRows } from "./split.ts";

/** A source, how its rows are read, and its weight in the mixture. */
export interface WeightedSource extends DataSource {
  columns?: ColumnMap;
  strings?: NonNullable<RowOptions["strings"]>;
  /**
   * Weight of this source in the sample, in any unit (2 and 1 are two thirds and one third). Rows are sampled
   * without replacement, as many as the scarcest source allows. Without weights all rows of all sources are
   * used. Either all sources have one or none has.
   */
  weight?: number;
}

/** A source whose files were looked for before: the same are read, whatever there is by now. */
export interface FoundSource extends WeightedSource {
  found: FoundFiles;
}

function isFound(source: WeightedSource): source is FoundSource {
  return "found" in source;
}

/** A row and the source it came from. */
export interface SourcedRow {
  row: RawRow;
  source: WeightedSource;
}

/** Limits of the stream, and the counts it keeps. */
export interface MixOptions {
  maxRows: number | null;
  seed: number;
  counts: LoadCounts;
  onPassedOver: PassedOver;
  /** Counts what was read. */
  onRead?: (progress: ReadProgress) => void;
}

/** How far the reading is. Sources with weights are read twice: their rows are counted first. */
export interface ReadProgress {
  stage: "count" | "read";
  meter: Readonly<ReadMeter>;
}

/**
 * The rows of `sources`, source after source.
 *
 * @throws ConfigError when some sources have weights and others none, or a weight is not above 0
 * @throws DataError when a source has no rows
 */
export async function* openSources(
  sources: readonly WeightedSource[],
  options: MixOptions,
): AsyncGenerator<SourcedRow> {
  const { counts, maxRows, onPassedOver } = options;
  const found: FoundFiles[] = [];
  for (const source of sources) found.push(isFound(source) ? source.found : await findFiles(source));
  const draws = await drawsOf(sources, found, options);
  const meter = meterOf(found, "read", options);
  let used = 0;
  for (const [index, source] of sources.entries()) {
    const draw = draws?.[index];
    let position = -1;
    for await (const row of readFiles(at(found, index), meter, onPassedOver)) {
      if (draws === null && used === maxRows) {
        counts.stoppedAtMaxRows = true;
        return;
      }
      counts.read++;
      position++;
      if (draw?.has(position) === false) {
        counts.notDrawn++;
        continue;
      }
      used++;
      yield { row, source };
    }
    if (position < 0) {
      throw new DataError(
        `${source.path}: expected rows, found none. Check the path, or what wrote the file.`,
      );
    }
  }
  // The last rows come behind the last piece of their file.
  meter.add(0);
}

/** The rows to draw from each source, or null for all. Sources are read once to count their rows. */
async function drawsOf(
  sources: readonly WeightedSource[],
  found: readonly FoundFiles[],
  options: MixOptions,
): Promise<Set<number>[] | null> {
  const weights = sources.map(({ weight }) => weight).filter((weight) => weight !== undefined);
  if (weights.length === 0) return null;
  if (weights.length < sources.length) {
    throw new ConfigError(
      `weight: expected one for each of the ${sources.length} sources or for none, got ${weights.length}.`,
    );
  }
  const wrong = weights.find((weight) => !(Number.isFinite(weight) && weight > 0));
  if (wrong !== undefined) throw new ConfigError(`weight: expected a number above 0, got ${wrong}.`);
  const counts: number[] = [];
  const meter = meterOf(found, "count", options);
  for (const files of found) {
    const before = meter.rows;
    for await (const _ of readFiles(files, meter));
    counts.push(meter.rows - before);
  }
  return drawRows({ counts, weights, maxRows: options.maxRows, seed: options.seed });
}

/** Counts what is read of files that were found. */
function meterOf(
  found: readonly FoundFiles[],
  stage: ReadProgress["stage"],
  { onRead }: MixOptions,
): ReadMeter {
  const meter = new ReadMeter(() => onRead?.({ stage, meter }));
  for (const files of found) meter.expect(bytesOf(files));
  return meter;
}
