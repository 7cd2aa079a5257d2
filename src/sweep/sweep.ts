/** `preftune sweep`: a grid, a random search or successive halving over any keys of the configuration. */
import { at } from "../base/at.ts";
import { ConfigError } from "../base/errors.ts";
import { sha256 } from "../base/files.ts";
import { stringifyNumbers } from "../base/json-numbers.ts";
import { counted } from "../base/number-text.ts";
import { Random } from "../base/random.ts";
import { type GridOptions, gridPaths, runGrid } from "./grid.ts";
import { type HalvingPlan, resourcesOf, successiveHalving } from "./halving.ts";
import { intervalText } from "./interval-text.ts";
import { leaderText } from "./leader-text.ts";
import { readMeasured } from "./measured.ts";
import { type WrittenOutcome, writeOutcome } from "./outcome.ts";
import type { Condition, Measured, ReportSection } from "./section.ts";
import { type SharedConditions, sharedConditions } from "./shared-conditions.ts";
import { type Choices, drawValueOf, type Sweep } from "./sweep-file.ts";
import type { ConfigValues, GridPaths, Trial, TrialOutcome } from "./trial.ts";
import {
  estimate,
  estimateDifference,
  PAIR_METRICS,
  TRIAL_METRICS,
  type TrialMetricName,
} from "./trial-metrics.ts";
import { checkTrials, lockFolder, trialsOf } from "./trials.ts";

/** How a sweep is run. */
export interface SweepOptions extends GridOptions {
  output: string;
  /** The command line, for the report. */
  command: string;
}

/** Most combinations of a grid: beyond that it is likely a typo. */
const mostRuns = 10_000;

/**
 * Runs `sweep` in the folder `output`; the same sweep resumes there.
 *
 * @throws {ConfigError} if a configuration is wrong, or the folder holds another sweep
 */
export async function runSweep(sweep: Sweep, options: SweepOptions): Promise<WrittenOutcome> {
  const { output, command } = options;
  const settings = settingsOf(sweep);
  const first = nameOf(settings[0] ?? {});
  const paths = gridPaths(output);
  // before the folder is taken: what is corrected after an error is another sweep
  checkTrials(runsOf(sweep, firstConditions(sweep, settings)), sweep.metric);
  const lock = lockFolder(output, { sweep: sha256(stringifyNumbers(sweep)).slice(0, 16) });
  try {
    const runs = sweep.method === "halving" ? "in rounds" : counted(settings.length * sweep.seeds, "run");
    options.out.write(
      `${counted(settings.length, "setting")} × ${counted(sweep.seeds, "seed")}: ${runs}, ${options.jobs} at a time, in ${output}\n`,
    );
    const needsPairs = (TRIAL_METRICS[sweep.metric].source ?? "pairs") === "pairs";
    const run = new Runner(sweep, paths, { ...options, needsPairs });
    const section = await run.all(settings);
    const measured = readMeasured(paths, run.outcomes);
    const metrics: TrialMetricName[] = [sweep.metric, ...(lacksPairs(measured) ? [] : PAIR_METRICS)];
    return writeOutcome({
      dir: output,
      text: {
        title: "Sweep",
        question: `${methodText(sweep)} over ${Object.keys(sweep.parameters).join(", ")}, judged by ${TRIAL_METRICS[sweep.metric].title}.`,
        note: "The best of many is partly the luckiest: its interval does not know that it was chosen. Measure it again on other pairs and seeds.",
        command,
      },
      outcomes: run.outcomes,
      conditions: run.conditions,
      measured,
      metrics: [...new Set(metrics)],
      // what others are compared with comes first in a grid; among drawn settings none is more than the others
      referenceOf: (name) => (sweep.method === "grid" && name !== first ? first : null),
      sections: [section],
    });
  } finally {
    lock.release();
  }
}

/** Whether runs ended, and none was measured on pairs: on-policy ones may have held-out prompts alone. */
function lacksPairs(measured: Measured): boolean {
  const runs = [...measured.values()].flatMap((condition) => condition.runs);
  return runs.length > 0 && runs.every(({ after }) => after.length === 0);
}

function methodText({ method, runs, halving }: Sweep): string {
  if (method === "grid") return "Every combination";
  if (method === "random") return `${runs} random settings`;
  return `Successive halving of ${runs} random settings, ${halving.resource} from ${halving.least} to ${halving.most},`;
}

/** The settings that are tried. */
export function settingsOf({ method, parameters, runs, seed }: Sweep): ConfigValues[] {
  const random = new Random(seed);
  const settings = method === "grid" ? combinations(parameters) : draws(parameters, runs, random);
  return [...new Map(settings.map((setting) => [stringifyNumbers(setting), setting])).values()];
}

function combinations(parameters: Sweep["parameters"]): ConfigValues[] {
  let all: ConfigValues[] = [{}];
  for (const [key, choices] of Object.entries(parameters)) {
    const values = Array.isArray(choices) ? (choices as unknown[]) : [];
    if (all.length * values.length > mostRuns) {
      throw new ConfigError(`expected at most ${mostRuns} combinations, got more: use method: random.`);
    }
    all = all.flatMap((setting) => values.map((value) => ({ ...setting, [key]: value })));
  }
  return all;
}

function draws(parameters: Sweep["parameters"], count: number, random: Random): ConfigValues[] {
  const draw = (key: string, choices: Choices): unknown =>
    Array.isArray(choices)
      ? random.pick(choices as unknown[])
      : drawValueOf(key, choices as Exclude<Choices, readonly unknown[]>, random.next());
  return Array.from({ length: count }, () =>
    Object.fromEntries(Object.entries(parameters).map(([key, choices]) => [key, draw(key, choices)])),
  );
}

/** "lambda_w 0.1, kappa 2.5" */
function nameOf(setting: ConfigValues): string {
  return Object.entries(setting)
    .map(([key, value]) => `${key} ${typeof value === "object" ? JSON.stringify(value) : String(value)}`)
    .join(", ");
}

function conditionsOf(settings: readonly ConfigValues[]): Condition[] {
  return settings.map((changes) => ({ name: nameOf(changes), changes }));
}

/** A setting with so much of the resource of successive halving. */
function conditionWith({ resource }: Sweep["halving"], changes: ConfigValues, amount: number): Condition {
  return { name: `${nameOf(changes)} @ ${resource} ${amount}`, changes: { ...changes, [resource]: amount } };
}

function planOf({ halving }: Sweep): HalvingPlan {
  return { ...halving, isWhole: halving.resource !== "num_train_epochs" };
}

/** What is run first of each setting. */
function firstConditions(sweep: Sweep, settings: readonly ConfigValues[]): Condition[] {
  if (sweep.method !== "halving") return conditionsOf(settings);
  const least = at(resourcesOf(planOf(sweep)), 0);
  return settings.map((setting) => conditionWith(sweep.halving, setting, least));
}

function runsOf({ config, values, seeds }: Sweep, conditions: readonly Condition[]): Trial[] {
  return trialsOf(conditions, { count: seeds }, { file: config, shared: () => values, overrides: [] });
}

/** Says where settings were measured on different pairs. */
function lackText({ shared, all }: SharedConditions): string[] {
  if (shared === all) return [];
  return [
    `${all - shared} of ${all} held-out pairs are not in every setting: the ranking is by the ${shared} that are.`,
  ];
}

/** Runs the settings and keeps their outcomes. */
class Runner {
  readonly outcomes: TrialOutcome[] = [];
  readonly conditions: Condition[] = [];
  readonly #sweep: Sweep;
  readonly #paths: GridPaths;
  readonly #options: GridOptions;

  constructor(sweep: Sweep, paths: GridPaths, options: GridOptions) {
    this.#sweep = sweep;
    this.#paths = paths;
    this.#options = options;
  }

  /** Runs all of it and ranks the settings. */
  async all(settings: readonly ConfigValues[]): Promise<ReportSection> {
    const { method, halving } = this.#sweep;
    if (method !== "halving") {
      const measured = await this.#run(conditionsOf(settings));
      return this.#ranking([...measured.keys()], measured);
    }
    const { resource } = halving;
    const rounds = await successiveHalving(settings, planOf(this.#sweep), async (candidates, amount) => {
      this.#options.out.write(`${candidates.length} settings with ${resource} ${amount}\n`);
      const conditions = candidates.map((setting) => conditionWith(halving, setting, amount));
      const { measured } = sharedConditions(await this.#run(conditions));
      return conditions.map(({ name }) => this.#value(measured, name));
    });
    const last = rounds.at(-1);
    const names = (last?.ranked ?? []).map(
      ({ candidate }) => conditionWith(halving, candidate, last?.resource ?? 0).name,
    );
    const ranking = this.#ranking(names, readMeasured(this.#paths, this.outcomes));
    const rows = rounds.map(({ resource: amount, ranked }) => [
      amount,
      ranked.length,
      nameOf(ranked[0]?.candidate ?? {}),
    ]);
    return {
      ...ranking,
      tables: [...(ranking.tables ?? []), { columns: [resource, "settings", "first of the round"], rows }],
    };
  }

  async #run(conditions: readonly Condition[]): Promise<Measured> {
    const trials = runsOf(this.#sweep, conditions);
    checkTrials(trials, this.#sweep.metric);
    const outcomes = await runGrid(trials, this.#paths, this.#options);
    this.outcomes.push(...outcomes);
    this.conditions.push(...conditions);
    return readMeasured(this.#paths, outcomes);
  }

  /** Higher is better; NaN where all runs failed. */
  #value(measured: Measured, name: string): number {
    const condition = measured.get(name);
    const { metric } = this.#sweep;
    if (condition === undefined || condition.runs.length === 0) return Number.NaN;
    return (TRIAL_METRICS[metric].better === "less" ? -1 : 1) * estimate(condition, metric).value;
  }

  #ranking(names: readonly string[], all: Measured): ReportSection {
    const { metric } = this.#sweep;
    const { unit, title, source = "pairs" } = TRIAL_METRICS[metric];
    const found = sharedConditions(new Map([...all].filter(([name]) => names.includes(name))));
    const { measured } = found;
    const ranked = names
      .filter((name) => !Number.isNaN(this.#value(measured, name)))
      .sort((a, b) => this.#value(measured, b) - this.#value(measured, a));
    const ended = names.filter((name) => (measured.get(name)?.runs.length ?? 0) > 0);
    const first = measured.get(ranked[0] ?? "");
    const rows = ranked.flatMap((name, i) => {
      const condition = measured.get(name);
      if (condition === undefined || first === undefined) return [];
      const behind = estimateDifference(condition, first, metric);
      const isTied = i > 0 && !(behind.low > 0 || behind.high < 0);
      const value = intervalText(estimate(condition, metric), unit);
      const difference = i === 0 ? "–" : intervalText(behind, unit, { isSigned: true });
      return [{ name, isTied, value, columns: [name, value, difference] }];
    });
    return {
      title: "Ranking",
      note: "The differences are of the same held-out pairs and seeds. One whose interval holds 0 does not distinguish two settings.",
      tables: [
        {
          columns: ["in order", title, "less the first, pair by pair"],
          rows: rows.slice(0, 20).map(({ columns }) => columns),
        },
      ],
      sentences: [...(source === "pairs" ? lackText(found) : []), leaderText(title, rows, ended.length)],
    };
  }
}
