/** What has become of a run: from the last event of its log, and from who holds its lock. */

import type { RunEvent, RunPaths } from "./run-directory.ts";
import { lockHolder } from "./run-lock.ts";

/** What has become of a run. */
export interface RunState {
  /**
   * killed: the process that wrote it is gone and said nothing; left: it gave the run up and said nothing; elsewhere: a process of
   * another host holds the run, and whether it still runs cannot be seen from here.
   */
  kind:
    | "running"
    | "done"
    | "early stop"
    | "collapsed"
    | "stopped"
    | "failed"
    | "killed"
    | "left"
    | "elsewhere";
  /** The process and its host, where one holds the run or held it to the last. */
  holder: string | null;
  /** Why it failed; "" for other ends. */
  message: string;
}

/** Events that end a run; the others do not. */
const ends = ["done", "early stop", "collapsed", "stopped", "failed"] as const;

/** The state of the run at `paths` with these events. The process that asks counts as one that tells by its events. */
export function stateOf(paths: RunPaths, events: readonly RunEvent[]): RunState {
  const last = events.findLast(({ event }) => event !== "no report" && event !== "restart");
  const end = ends.find((name) => name === last?.event);
  const holder = lockHolder(paths.lock);
  const who = holder === null ? null : holder.name;
  if (holder?.state === "running" && !holder.isOwn) return { kind: "running", holder: who, message: "" };
  if (end !== undefined) {
    const message = last?.["message"];
    return { kind: end, holder: null, message: typeof message === "string" ? message : "" };
  }
  if (holder === null) return { kind: "left", holder: null, message: "" };
  const kind = { running: "running", gone: "killed", unknown: "elsewhere" } as const;
  return { kind: kind[holder.state], holder: who, message: "" };
}
