/** Files that are read stay as they are: an output that is one of them is refused before any work begins. */
import { ConfigError } from "../base/errors.ts";
import { isFolder, statsOf } from "../base/open-file.ts";
import { findFiles, isGlob } from "./sources.ts";

/**
 * Checks that no output is a file of `inputs`, by whatever path or link.
 *
 * @param outputs - by option or key, with its path; null: there is none
 * @param inputs - each as `DataSource.path` has it, another file, or "-" for standard input
 * @throws {ConfigError} naming the option, with the path
 * @throws {DataError} where a folder or pattern has no files
 */
export async function requireOtherOutput(
  outputs: Readonly<Record<string, string | null>>,
  inputs: readonly string[],
): Promise<void> {
  const written = Object.entries(outputs).flatMap(([option, path]) => {
    const stats = path === null ? null : statsOf(path);
    return stats === null ? [] : [{ option, path, stats }];
  });
  if (written.length === 0) return;
  for (const input of inputs) {
    for (const read of await filesOf(input)) {
      const own = statsOf(read);
      const same = written.find(({ stats }) => stats.dev === own?.dev && stats.ino === own.ino);
      if (same === undefined) continue;
      throw new ConfigError(
        `${same.option}: expected another file than those that are read, got ${same.path}. Give it another name; nothing was changed.`,
      );
    }
  }
}

/** The local files of `input`; none of a hub id, whose copy no output replaces, and of a path that is missing. */
async function filesOf(input: string): Promise<string[]> {
  if (statsOf(input)?.isFile()) return [input];
  if (!isFolder(input) && !isGlob(input)) return [];
  return (await findFiles({ path: input })).files.map(({ path }) => path);
}
