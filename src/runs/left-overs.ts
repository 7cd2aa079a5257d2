/** Clears away what a killed process was in the middle of writing or removing. */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { io, quietly } from "../base/file-io.ts";

/** Names that `siblingName` makes for things that are not to last; set-aside old content is none of them. */
const TRANSIENT = /^\..+\.(tmp|new|gone|stale)-\d+-[0-9a-f]{8}$/;

/** Removes what writes and removals that were cut off left in `dir`. Only for directories that no other process writes. */
export function removeLeftOvers(dir: string): void {
  if (!existsSync(dir)) return;
  for (const name of readdirSync(dir)) {
    if (TRANSIENT.test(name)) quietly(() => io.rmSync(join(dir, name)));
  }
}
