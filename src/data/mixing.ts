/** Rows of several sources in one stream: all of them in order, or a weighted draw. */
import { ConfigError, DataError } from "../base/errors.ts";
import type { ColumnMap } from "./columns.ts";
import type { RawRow } from "./example.ts";
import type { LoadCounts } from "./preflight.ts";
import type { RowOptions } from "./rows.ts";
import { type DataSource, type PassedOver, readRows } from "./sources.ts";
import { drawRows } from "./split.ts";

/** A source, how its rows are read, and its share of the mixture. */
export interface WeightedSource extends DataSource {
  columns?: ColumnMap;
  strings?: NonNullable<RowOptions["strings"]>;
  /**
   * Share of the rows drawn that come from here, in any unit (2 and 1 are two thirds and one third). Rows are drawn
   * at random and none twice, as many as the scarcest source allows. Without weights all rows of all sources are
   * used. Either all sources have one or none has.
   */
  weight?: number;
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
  const draws = await drawsOf(sources, options);
  let used = 0;
  for (const [index, source] of sources.entries()) {
    const draw = draws?.[index];
    let position = -1;
    for await (const row of readRows(source, onPassedOver)) {
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
}

/** The rows to draw from each source, or null for all. Sources are read once to count their rows. */
async function drawsOf(
  sources: readonly WeightedSource[],
  { maxRows, seed }: MixOptions,
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
  for (const source of sources) counts.push(await countRows(source));
  return drawRows({ counts, weights, maxRows, seed });
}

async function countRows(source: DataSource): Promise<number> {
  let rows = 0;
  for await (const _ of readRows(source)) rows++;
  return rows;
}
