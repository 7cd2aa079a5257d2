/** What is to be known of a run before anything else, in words, each with what to do about it. */
import { basename, isAbsolute, join } from "node:path";
import { shellWord } from "../base/shell-word.ts";
import { metricInfo } from "../config/metric-names.ts";
import type { RunConfig } from "../config/run-config.ts";
import { methodOf } from "../methods/index.ts";
import type { MetricRow } from "../runs/metrics.ts";
import type { RunEvent, RunView } from "../runs/run-directory.ts";
import type { RunState } from "../runs/run-state.ts";
import { type CollapseStory, collapseText } from "./collapse-section.ts";
import { displacementNote } from "./displacement-section.ts";
import { type Checked, lengthOnly } from "./facts-section.ts";
import type { Finding } from "./finding.ts";
import { floorFindings } from "./floor-finding.ts";
import { type Html, html } from "./html.ts";
import { pointsOf } from "./metric-series.ts";
import type { ShortenPaths } from "./shared-text.ts";
import { percent } from "./signed.ts";
import { stepText } from "./state-text.ts";

/** What a run's report is made of, read once. */
export interface ReportedRun {
  run: RunView;
  /** The run's rows, changes since the start filled in. */
  rows: readonly MetricRow[];
  state: RunState;
  story: CollapseStory;
  shorten: ShortenPaths;
}

/** The findings of a run, worst first. @param more - what else is to be said of it */
export function findingsOf(reported: ReportedRun, more: readonly Finding[] = []): Finding[] {
  const all = [
    ...more,
    ...stateFindings(reported),
    ...collapseText(reported.story),
    ...outcomeFindings(reported),
    ...stepFindings(reported),
    ...dataFindings(reported),
  ];
  const order: Finding["severity"][] = ["error", "warning", "note"];
  return all.toSorted((a, b) => order.indexOf(a.severity) - order.indexOf(b.severity));
}

/** The findings as a list; nothing where there are none. */
export function findingsHtml(findings: readonly Finding[]): Html {
  if (findings.length === 0) return html``;
  const items = findings.map(({ severity, text, remedy }) => {
    const more = remedy === undefined ? html`` : html`<p>${remedy}</p>`;
    return html`<li class="${severity}">${text}${more}</li>`;
  });
  return html`<ul class="findings" aria-label="Findings">${items}</ul>`;
}

/** How to continue a run that is not done. A configuration names its folder from where the run was started, or by the whole path. */
function goOn({ run }: ReportedRun): string {
  const { output_dir } = run.config;
  const [folder, where] = isAbsolute(output_dir)
    ? [basename(run.paths.dir), "in the folder above the run's"]
    : [output_dir, "where the run was started"];
  const config = join(folder, "config.yaml");
  const saved = run.checkpoints.at(-1);
  const from = saved === undefined ? "It has no checkpoint and would begin again" : `From step ${saved.step}`;
  return `${from}: preftune train ${shellWord(config)} --resume, ${where}.`;
}

function stateFindings(reported: ReportedRun): Finding[] {
  const { state, run, shorten } = reported;
  const at = `at ${stepText(reported)}`;
  const remedy = goOn(reported);
  const none = run.metrics.length === 0 ? " There are no figures yet: it ended before the first." : "";
  switch (state.kind) {
    case "failed":
      return [{ severity: "error", text: `The run failed ${at}: ${shorten(state.message)}${none}`, remedy }];
    case "killed":
      return [
        {
          severity: "error",
          text: `The run was killed ${at}: ${state.holder ?? "its process"} is gone and said nothing.${none}`,
          remedy,
        },
      ];
    case "left":
      return [{ severity: "error", text: `The run ended ${at} without saying so.${none}`, remedy }];
    case "elsewhere":
      return [
        {
          severity: "warning",
          text: `${state.holder ?? "Another host"} holds the run; whether it still runs cannot be seen from here.`,
        },
      ];
    case "stopped": {
      const kept = run.checkpoints.length === 0 ? "" : ", with a checkpoint";
      return [{ severity: "note", text: `The run was stopped ${at}${kept}.${none}`, remedy }];
    }
    default:
      return run.metrics.length === 0 && state.kind === "running" ? [beginning(run.config)] : [];
  }
}

function beginning({ logging_steps: steps }: RunConfig): Finding {
  const first = steps === 1 ? "the first step" : `${steps} steps (logging_steps)`;
  return {
    severity: "note",
    text:
      "There are no figures yet: training reads its data, loads its model or is in its first steps. " +
      `The first figures come after ${first}, by themselves.`,
  };
}

function outcomeFindings({ run, rows }: ReportedRun): Finding[] {
  const found: Finding[] = [];
  const displaced = displacementNote(rows, run.evaluations);
  if (displaced !== null) {
    found.push({ severity: "warning", text: displaced, remedy: displacementRemedy(run.config) });
  }
  found.push(...floorFindings({ run, rows }));
  const accuracy = accuracyOf(rows);
  const bias = lengthOnly(run.preflight);
  if (accuracy !== null && bias !== null && accuracy <= bias.heldOutAccuracy) {
    found.push({
      severity: "warning",
      text: `Held-out accuracy is ${percent(accuracy)}, and choosing the ${bias.predictor} answer alone gets ${percent(bias.heldOutAccuracy)}.`,
      remedy:
        "The model distinguishes the answers no better than their length does: train longer, or look at the pairs.",
    });
  }
  return found;
}

/** The last held-out accuracy by log-probs per token, or by a reward model's scores; null where there is none. */
function accuracyOf(rows: readonly MetricRow[]): number | null {
  const found = ["eval_logps/accuracies", "eval_accuracy"].map((key) => pointsOf(rows, key).at(-1)?.[1]);
  return found.find((value) => value !== undefined) ?? null;
}

function displacementRemedy({ method }: RunConfig): string {
  const often =
    "A lower learning_rate or fewer steps help in any case; docs/collapse.md has bounds that stop a run.";
  const { chosenWeight } = methodOf(method.objective);
  return chosenWeight === undefined
    ? `docs/objectives.md has objectives whose loss keeps the chosen answers likely. ${often}`
    : `Raise ${chosenWeight}, the weight of the chosen answers' likelihood. ${often}`;
}

function stepFindings({ run, rows }: ReportedRun): Finding[] {
  const found: Finding[] = [];
  const broken = rows.filter((row) =>
    Object.entries(row).some(([key, value]) => typeof value === "number" && isTrouble(key, value)),
  );
  if (broken.length > 0) {
    const steps = broken.slice(0, 5).map((row) => row.global_step);
    const rest = broken.length > 5 ? ", …" : "";
    found.push({
      severity: "warning",
      text: `${broken.length === 1 ? "1 row of metrics holds" : `${broken.length} rows of metrics hold`} NaN or infinity, at step ${steps.join(", ")}${rest}.`,
      remedy: "Lower learning_rate, or compute in float32; events name the rows of steps that were skipped.",
    });
  }
  const skipped = skippedSteps(run.events);
  if (skipped > 0) {
    found.push({
      severity: "warning",
      text: `${skipped === 1 ? "1 step was" : `${skipped} steps were`} skipped, as loss or gradient was not finite or a spike.`,
      remedy: "The rows of each are under Events.",
    });
  }
  const restarts = run.events.filter(({ event }) => event === "restart").length;
  if (restarts > 0) {
    const ended = `${restarts === 1 ? "once" : `${restarts} times`}`;
    found.push({
      severity: "note",
      text: `The trainer ended ${ended} before its time; causes are under Events.`,
    });
  }
  return found;
}

/** Whether a figure is infinite, or NaN that does not say that there was nothing to measure. */
function isTrouble(key: string, value: number): boolean {
  if (!Number.isNaN(value)) return !Number.isFinite(value);
  return metricInfo(key)?.mayBeNone !== true;
}

/** How many steps were skipped: of those behind the checkpoint that a run was resumed from nothing is left. */
function skippedSteps(events: readonly RunEvent[]): number {
  let skipped: number[] = [];
  for (const { event, step } of events) {
    if (event === "start") skipped = skipped.filter((one) => one <= Number(step));
    if (event === "skipped") skipped.push(Number(step));
  }
  return skipped.length;
}

function dataFindings({ run, shorten }: ReportedRun): Finding[] {
  const { findings } = (run.preflight ?? {}) as Partial<Checked>;
  if (!Array.isArray(findings)) return [];
  return findings.map(({ severity, count, rows, message, remedy }) => {
    const counted =
      rows.length === 0 ? "" : `${count.toLocaleString("en-US")} ${count === 1 ? "row" : "rows"}: `;
    return {
      severity: severity === "error" ? "error" : "warning",
      text: `Data: ${counted}${shorten(message)}.`,
      remedy: shorten(remedy),
    } as const;
  });
}
