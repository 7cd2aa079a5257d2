/** What a run's events say of its collapse watch. */

import type { RunEvent } from "../runs/run-directory.ts";
import type { Finding } from "./finding.ts";

/** Alarms that are shown in full. */
const shownAlarms = 5;

/** The alarms of the watch that still count, and how it ended the run. */
export interface CollapseStory {
  /** What was seen at which step. */
  alarms: { step: number; breaches: string[] }[];
  /** Null when the watch did not end the run; `restored` is the step of the checkpoint that was exported in its place. */
  end: { restored: number | null } | null;
}

/**
 * The sentences about `events`. A resumed run has gone back to its checkpoint: what the watch saw
 * after that checkpoint, and how the run ended then, no longer counts.
 */
export function collapseStory(events: readonly RunEvent[]): CollapseStory {
  const story: CollapseStory = { alarms: [], end: null };
  for (const { event, ...details } of events) {
    const step = Number(details["step"]);
    if (event === "start") {
      story.alarms = story.alarms.filter((alarm) => alarm.step <= step);
      story.end = null;
    } else if (event === "collapse") {
      const { breaches } = details;
      story.alarms.push({ step, breaches: Array.isArray(breaches) ? breaches.map(String) : [] });
    } else if (event === "collapsed") {
      const { restored } = details;
      story.end = { restored: typeof restored === "number" ? restored : null };
    }
  }
  return story;
}

/** The alarms as a finding; none where there were none. */
export function collapseText({ alarms, end }: CollapseStory): Finding[] {
  if (alarms.length === 0) return [];
  const lines = alarms
    .slice(0, shownAlarms)
    .map(({ step, breaches }) => `Step ${step}: ${breaches.join("; ")}.`);
  const more = alarms.length - lines.length;
  const rest = more > 0 ? [`And ${more} more evaluations.`] : [];
  return [{ severity: "error", text: [outcome(end), ...lines, ...rest].join(" "), remedy }];
}

const remedy =
  "Read the answers below, lower learning_rate or the steps; docs/collapse.md has the thresholds and watch_action, which can restore a checkpoint from before.";

function outcome(end: CollapseStory["end"]): string {
  if (end === null) return "The collapse watch raised an alarm.";
  const kept =
    end.restored === null ? "Nothing was exported." : `The checkpoint of step ${end.restored} was exported.`;
  return `The run was stopped because the model collapsed. ${kept}`;
}
