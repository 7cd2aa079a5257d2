/** An event of a run as a row of a table. */
import type { RunEvent } from "../runs/run-directory.ts";
import type { ShortenPaths } from "./shared-text.ts";

/** Time (UTC, to the second), name, and all else that it says. */
export function eventRow(
  { time, event, ...details }: RunEvent,
  shorten: ShortenPaths,
): readonly [time: string, event: string, details: string] {
  const said = Object.entries(details).map(
    ([key, value]) => `${key} ${shorten(typeof value === "string" ? value : JSON.stringify(value))}`,
  );
  return [time.slice(0, 19).replace("T", " "), event, said.join(", ")];
}
