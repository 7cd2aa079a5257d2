/** `preftune train --dry-run`: what it refuses, and what it prints. */
import { ConfigError, TrainingError } from "../base/errors.ts";
import { formatBytes } from "../base/file-io.ts";
import { formatDuration, formatNumber } from "../base/number-text.ts";
import type { ResolvedConfig } from "../config/load-config.ts";
import { formatPreflight } from "../data/preflight-text.ts";
import { type Launch, startedBy } from "../distributed/launch.ts";
import { formatPlan } from "../planner/plan-text.ts";
import type { Plan } from "../planner/run-plan.ts";
import type { DryStep } from "../recipes/dry-run.ts";
import { Phases } from "../terminal/phases.ts";
import { configBanner } from "./banner.ts";

/**
 * Makes the dry run and prints it part by part.
 *
 * @throws {ConfigError} with options that a dry run has no use for
 * @throws {TrainingError} if the step's loss or gradient is not finite
 */
export async function showDryRun(
  { config, warnings }: ResolvedConfig,
  { launch, maxRestarts }: { launch: Launch | null; maxRestarts: number | undefined },
): Promise<void> {
  if (launch !== null) {
    throw new ConfigError(
      `--dry-run is one process, and this is one of ${launch.size} (${startedBy(launch)}). Start it without the launcher; ` +
        "what ranks need is in preftune plan --count.",
    );
  }
  if (maxRestarts !== undefined || config.resume_from_checkpoint !== null) {
    const given = maxRestarts === undefined ? "--resume (resume_from_checkpoint)" : "--max-restarts";
    throw new ConfigError(
      `--dry-run takes a run's first step alone, and ${given} has no effect on it. Leave it out.`,
    );
  }
  const { dryRun } = await import("../recipes/dry-run.ts");
  const phases = new Phases();
  const show = (text: string) => {
    phases.done();
    process.stdout.write(`${text.trimEnd()}\n\n`);
  };
  show([configBanner(config), ...warnings].join("\n"));
  let planned: Plan | null = null;
  for await (const event of dryRun(config, phases.listen)) {
    if (event.type === "preflight") show(formatPreflight(event.report));
    else if (event.type === "plan") {
      planned = event.plan;
      show(formatPlan(event.plan));
    } else if (event.type === "unplanned") show(`no plan     ${event.reason}`);
    else {
      show(stepText(event.step, planned));
      requireFinite(event.step);
    }
  }
}

/** Rows that are named; the others are counted. */
const namedRows = 4;

/** The step in lines; `plan` is what it was planned to take. */
function stepText(step: DryStep, plan: Pick<Plan, "memory"> | null): string {
  const { rows, tokens, loss, gradNorm, seconds, peakMemoryBytes, device, sampled } = step;
  const more = rows.length > namedRows ? `, … (${rows.length} rows)` : "";
  const which = sampled ? "the first that is sampled" : "the longest micro-batch";
  const planned = plan === null ? "" : `; planned: ${formatBytes(plan.memory.total)}`;
  const of = device === "cpu" ? "of this process" : `of torch on ${device}`;
  const lines: [string, string][] = [
    ["step", `${which}, ${tokens} tokens: ${rows.slice(0, namedRows).join(", ")}${more}`],
    ["loss", `${formatNumber(loss)}, gradient norm ${formatNumber(gradNorm)}, in ${formatDuration(seconds)}`],
    ["memory", `at most ${formatBytes(peakMemoryBytes)} ${of}${planned}`],
    ["", "Nothing was written."],
  ];
  return lines.map(([label, text]) => `${label.padEnd(12)}${text}`.trimEnd()).join("\n");
}

function requireFinite({ loss, gradNorm, rows }: DryStep): void {
  if (Number.isFinite(loss) && Number.isFinite(gradNorm)) return;
  throw new TrainingError(
    `expected a finite loss and gradient, got loss ${loss}, gradient norm ${gradNorm} with ${rows.join(", ")}. ` +
      "Look at these rows (preftune data check --show), and at dtype.",
  );
}
