/** Whether a run's directory is one and the same for all ranks, and each can write to it. */
import { existsSync } from "node:fs";
import { basename, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { messageOf } from "../base/errors.ts";
import { ignoreErrors, io, siblingName, uniqueTag } from "../base/file-io.ts";
import { DisagreementError, ranksInWords } from "./agree.ts";
import type { RankGroup } from "./rank-group.ts";

/** How long a file of another host may take to be seen, in ms: network file systems remember for a while what was not there. */
const patience = 10_000;

/**
 * Requires that all ranks see and can write the directory `dir`, which exists where rank 0 is.
 *
 * @param waitMs - how long a file of another rank may take to be seen
 * @throws {ConfigError} on all ranks the same, naming those that see another directory or cannot write to it
 */
export async function agreeOnDirectory(
  group: RankGroup | null,
  dir: string,
  waitMs: number = patience,
): Promise<void> {
  if (group === null) return;
  // a name that what a kill leaves is removed by, as other files under way
  const own = siblingName(join(dir, `rank-${group.rank}`), "tmp", uniqueTag());
  const problem = writing(own);
  try {
    const all = group.gather({ host: group.host, name: basename(own), problem });
    const failed = all.flatMap((one, rank) => (one.problem === null ? [] : [rank]));
    if (failed.length > 0) {
      const lines = failed.map((rank) => `${ranksInWords([rank], all)}: ${all[rank]?.problem}`);
      throw new DisagreementError([`output_dir ${dir} cannot be written: ${lines.join("; ")}`], cure);
    }
    const unseen = await unseenOf(
      all.map(({ name }) => join(dir, name)),
      waitMs,
    );
    const seen = group.gather({ host: group.host, unseen });
    const blind = seen.flatMap((one, rank) => (one.unseen.length > 0 ? [rank] : []));
    if (blind.length > 0) {
      const lines = blind.map(
        (rank) =>
          `${ranksInWords([rank], seen)} did not see what ${ranksInWords(seen[rank]?.unseen ?? [], seen)} wrote`,
      );
      throw new DisagreementError([`output_dir ${dir} is not one directory: ${lines.join("; ")}`], cure);
    }
  } finally {
    if (problem === null) ignoreErrors(() => io.rmSync(own));
  }
}

const cure = "Put output_dir on a file system that all hosts share and may write to.";

/** Why the file cannot be written; null where it was. */
function writing(path: string): string | null {
  try {
    io.closeSync(io.openSync(path, "wx"));
    return null;
  } catch (error) {
    return messageOf(error);
  }
}

/** The ranks whose files are not seen within `waitMs`. */
async function unseenOf(paths: readonly string[], waitMs: number): Promise<number[]> {
  const until = performance.now() + waitMs;
  for (;;) {
    const unseen = paths.flatMap((path, rank) => (existsSync(path) ? [] : [rank]));
    if (unseen.length === 0 || performance.now() > until) return unseen;
    await sleep(100);
  }
}
