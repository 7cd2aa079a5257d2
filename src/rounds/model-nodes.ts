/** The nodes of the trained model: training, and its comparison with the model before. */
import { existsSync } from "node:fs";
import { ConfigError, TrainingError } from "../base/errors.ts";
import { makeDirectory } from "../base/files.ts";
import { localIdentity } from "../evaluate/answers/local-answers.ts";
import { train } from "../recipes/train.ts";
import { readMetrics } from "../runs/metrics.ts";
import { runPaths } from "../runs/run-directory.ts";
import type { TrainSummary } from "../runs/train-events.ts";
import { openText } from "../text/open-text.ts";
import { people } from "../workbench/rounds/round-file.ts";
import { roundName } from "../workbench/rounds/round-record.ts";
import { makeWorkbench } from "../workbench/workbench-dir.ts";
import { roundPrompts } from "./answers.ts";
import {
  type Contest,
  displacementOf,
  judgedContest,
  type Outcome,
  peoplesContest,
  type Result,
  scoredContest,
} from "./comparing.ts";
import {
  configDigest,
  digestOf,
  howToLabel,
  judgedBy,
  rowsPath,
  scoringOf,
  versionOf,
} from "./data-nodes.ts";
import type { Node, RoundWork } from "./round-work.ts";
import { exportOf, local, trainingOf } from "./start.ts";

/** The training, which continues where it was stopped. */
export const training: Node = {
  inputs: (work) => ({
    version: versionOf(work),
    training: configDigest(work, work.record.nodes.training?.inputs["training"]),
    model: localIdentity(work.start),
  }),
  async run(work) {
    const { dir, metrics, exportJson, lock } = runPaths(work.paths.run);
    // with a lock it was killed after the export, before its end: that comes by continuing it
    const isOver = existsSync(exportJson) && !existsSync(lock);
    const summary = isOver ? null : await trained(work);
    if (summary?.reason === "stopped")
      return { stopped: `the training is stopped after step ${summary.step}, with a checkpoint` };
    const place = exportOf(dir);
    const steps = readMetrics(metrics).at(-1)?.global_step ?? 0;
    return {
      text: `${steps} steps`,
      facts: { steps, model: localIdentity(await local(place, work.onPhase)) },
      made: [],
    };
  },
};

async function trained(work: RoundWork): Promise<TrainSummary> {
  const { settings, start, paths, options } = work;
  const given = { rows: rowsPath(work), isResume: existsSync(paths.run) };
  const resolved = trainingOf(settings, start, given);
  const { onEvent = () => {}, ...listeners } = options.listenTo?.(resolved) ?? {};
  const signal = options.signal === undefined ? {} : { signal: options.signal };
  const events = train(resolved, { ...listeners, ...signal });
  for (;;) {
    const { done, value } = await events.next();
    if (done !== true) onEvent(value);
    else if (value.reason === "stopped" || value.exported.length > 0) return value;
    else
      throw new TrainingError(
        `${paths.run}: the training ended without a model (${value.reason}${value.collapse === null ? "" : `: ${value.collapse.breaches.join("; ")}`}). Begin another round with other values.`,
      );
  }
}

/** The comparison with the model that the round began with. */
export const comparison: Node = {
  inputs: ({ settings, start, record }) => ({
    ...{ trained: String(record.nodes.training?.facts["model"]), model: localIdentity(start) },
    eval_prompts: digestOf("eval_prompts", settings.eval_prompts),
    ...judgedBy(settings),
  }),
  async run(work) {
    const { settings, dir, paths, start, record, onPhase } = work;
    const own = { ...(await local(exportOf(paths.run), onPhase)), name: roundName(dir) };
    if (localIdentity(own) !== record.nodes.training?.facts["model"])
      throw new ConfigError(`${paths.run}: expected the model that the round trained, it is another now.`);
    makeDirectory(paths.compare);
    const scoring = scoringOf(work, paths.compare);
    await using text = await openText(start.model, scoring.text);
    const prompts = await roundPrompts(settings.eval_prompts, text.encoder);
    const before = start.name === own.name ? { ...start, name: `${start.name} (before)` } : start;
    const contest: Contest = { settings, models: [own, before], prompts, scoring, dir: paths.compare };
    if (settings.judge === people) return peoplesComparison(work, contest);
    return settings.judge === null
      ? compared(work, await scoredContest(contest), ["compare/rewards.jsonl"])
      : compared(work, await judgedContest(contest, settings.judge), ["compare/results.json"]);
  },
};

async function peoplesComparison(work: RoundWork, contest: Contest): ReturnType<Node["run"]> {
  using store = makeWorkbench(work.settings.workbench);
  const result = await peoplesContest(contest, store);
  if (!("open" in result)) return compared(work, result, []);
  return {
    waitsFor: `${result.open} pairs of answers to the fixed prompts wait for a judgment. ${howToLabel(work.settings, work.dir)}`,
  };
}

function compared(
  { start, paths }: RoundWork,
  { outcome, without }: Result,
  made: readonly string[],
): Awaited<ReturnType<Node["run"]>> {
  const moved = displacementOf(paths.run);
  return {
    text: textOf(outcome, without, start.name),
    facts: {
      ...{ win_rate: outcome?.rate ?? null, low: outcome?.low ?? null, high: outcome?.high ?? null },
      ...{ prompts: outcome?.of ?? 0, without, against: start.name },
      ...{ chosen: moved?.chosen ?? null, rejected: moved?.rejected ?? null },
    },
    made,
  };
}

function textOf(outcome: Outcome | null, without: number, against: string): string {
  if (outcome === null) return `no result against ${against}: all ${without} pairs were skipped`;
  const percent = (share: number) => Math.round(100 * share);
  const { rate, low, high, of } = outcome;
  const left = without === 0 ? "" : `, ${without} more without a result`;
  return `${percent(rate)} % [${percent(low)}, ${percent(high)}] against ${against} on ${of} prompts${left}`;
}
