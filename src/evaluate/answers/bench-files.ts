/** A benchmark's files by the names that they are published under: in a directory, or in a data set of the hub. */
import { join } from "node:path";
import { ConfigError } from "../../base/errors.ts";
import { isFolder, statsOf } from "../../base/open-file.ts";
import { cachedHubFile, openHubData, parseHubId } from "../../data/hub-data.ts";
import type { HubOptions } from "../../hub/hub.ts";

/** Where a benchmark's files are. */
export interface Bench {
  /** As the user gave it. */
  place: string;
  /** The path of the first of `names` that is there, fetched if need be; null when none is. */
  find(names: readonly string[]): Promise<string | null>;
}

/**
 * The files in `place`: a directory, or `owner/name` or `hub:owner/name/folder` on the hub.
 *
 * @throws {ConfigError} when it is neither
 * @throws {FileError} when the hub cannot be reached
 */
export async function openBench(place: string, hub: HubOptions = {}): Promise<Bench> {
  if (isFolder(place)) {
    const isFile = (path: string): boolean => statsOf(path)?.isFile() === true;
    const find = (names: readonly string[]): Promise<string | null> =>
      Promise.resolve(names.map((name) => join(place, name)).find(isFile) ?? null);
    return { place, find };
  }
  const id = parseHubId(place);
  if (id === null || id.split !== null) {
    throw new ConfigError(
      `--bench: expected a directory or a data set of the hub (owner/name), got "${place}".`,
    );
  }
  const data = await openHubData(id, hub);
  const prefix = id.folder === "" ? "" : `${id.folder}/`;
  return {
    place,
    find: async (names) => {
      const found = names.flatMap((name) => data.entries.find(({ path }) => path === prefix + name) ?? [])[0];
      return found === undefined ? null : cachedHubFile(data, found);
    },
  };
}

/**
 * The file that is named, or the first of `names` in the benchmark.
 *
 * @param option - how it can be named, for messages
 * @throws {ConfigError} when it is neither named nor there
 */
export async function benchFile(
  given: string | null,
  bench: Bench | null,
  names: readonly string[],
  option: string,
): Promise<string> {
  const found = given ?? (await bench?.find(names)) ?? null;
  if (found !== null) return found;
  throw new ConfigError(
    bench === null
      ? `expected --bench DIR with ${names[0]}, or ${option}.`
      : `--bench ${bench.place}: expected ${names.join(" or ")} in it. Name the file by ${option}.`,
  );
}
