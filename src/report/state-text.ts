/** The name of a run and what it is at, in words. */
import { formatDuration } from "../base/number-text.ts";
import type { RunEvent, RunView } from "../runs/run-directory.ts";
import type { RunState } from "../runs/run-state.ts";
import { runName } from "../runs/tracker-names.ts";

/** The run's name for people: its own, or its directory's. */
export function nameOf({ config, paths }: RunView): string {
  return runName(config, paths.dir);
}

const words: Readonly<Record<RunState["kind"], string>> = {
  running: "Running",
  done: "Finished",
  "early stop": "Ended early, as evaluations got no better",
  collapsed: "Ended by the collapse watch",
  stopped: "Stopped",
  failed: "Failed",
  killed: "Killed",
  left: "Interrupted",
  elsewhere: "Held by another host",
};

/**
 * The step that a run has come to: rows of metrics are not of every step, and the events after the last one may name a later one.
 * A restart names the step that was being computed, which was not taken.
 */
export function lastStep({ events, metrics }: Pick<RunView, "events" | "metrics">): number {
  const naming = events.findLast(({ event, step }) => event !== "restart" && typeof step === "number");
  const said = naming?.["step"];
  return Math.max(metrics.at(-1)?.global_step ?? 0, typeof said === "number" ? said : 0);
}

/** Ends that name no step. */
const unsaid: ReadonlySet<RunState["kind"]> = new Set(["failed", "killed", "left"]);

/** "step 45", of a run whose end names no step "step 40 or after". @param of - stands behind the number */
export function stepText({ run, state }: { run: RunView; state: RunState }, of = ""): string {
  return `step ${lastStep(run)}${of}${unsaid.has(state.kind) ? " or after" : ""}`;
}

/** "Finished at step 100 of 100, 2026-11-27 09:12 UTC, after 23 s." */
export function stateText({ run, state }: { run: RunView; state: RunState }): string {
  const { events } = run;
  const total = events.findLast(({ event }) => event === "start")?.["total_steps"];
  const of = typeof total === "number" ? ` of ${total}` : "";
  const last = events.at(-1);
  const when = last === undefined ? "" : `, ${last.time.slice(0, 16).replace("T", " ")} UTC`;
  const took = secondsBetween(
    events.find(({ event }) => event === "start"),
    last,
  );
  const time = took > 0 && events.length > 1 ? `, ${formatDuration(took)} after its start` : "";
  return `${words[state.kind]} at ${stepText({ run, state }, of)}${when}${time}.`;
}

/** Short form for a table. */
export function stateWord({ kind }: RunState): string {
  return words[kind].split(",")[0]?.toLowerCase() ?? kind;
}

function secondsBetween(first: RunEvent | undefined, last: RunEvent | undefined): number {
  if (first === undefined || last === undefined) return 0;
  return (Date.parse(last.time) - Date.parse(first.time)) / 1000;
}
