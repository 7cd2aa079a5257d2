/** `preftune study NAME`: the runs of a study in one folder, its tables and its report. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { ConfigError } from "../src/base/errors.ts";
import { makeDirectory, readJsonFile, writeFileAtomic } from "../src/base/files.ts";
import { loadConfig } from "../src/runs/config-load.ts";
import { RunLock } from "../src/runs/run-lock.ts";
import type { Cell, Values } from "../src/sweep/cell.ts";
import type { Condition, StudyDefinition } from "../src/sweep/section.ts";
import { cellId, type GridOptions, gridPlaces, runGrid, wordsOf } from "../src/sweep/grid.ts";
import { type GroundOptions, makeGround } from "./ground.ts";
import { judgedSections, type StudyJudge } from "./judged.ts";
import { comparisonsOf, readMeasured } from "../src/sweep/measured.ts";
import { type WrittenOutcome, writeOutcome } from "../src/sweep/outcome.ts";
import { STUDIES, type StudyName } from "./studies.ts";

/** Options of {@link study}. */
export interface StudyOptions extends Omit<GroundOptions, "seeds"> {
  name: StudyName;
  /** Folder for all that it writes; a study that was cut off there goes on. */
  output: string;
  /** Words of the command line for all runs, key and value. */
  overrides: readonly (readonly [string, string])[];
  /** Training seeds; null for the study's own number. */
  seeds: number | null;
  /** Folders of other studies, see {@link GridOptions}. */
  reuse: readonly string[];
  /** Judges the sampled answers; null for none. */
  judge: StudyJudge | null;
  /** The command line, for the report. */
  command: string;
  /** See {@link GridOptions}. */
  signal?: AbortSignal;
  runTask?: GridOptions["runTask"];
}

/** Evaluations during training, besides those at the start and the end. */
const cadence: Record<StudyDefinition["evaluations"], Values> = {
  few: { eval_strategy: "steps", eval_steps: 1_000_000, eval_on_start: true },
  some: { eval_strategy: "steps", eval_steps: 10, eval_on_start: true },
  "every step": { eval_strategy: "steps", eval_steps: 1, eval_on_start: true },
};

/**
 * Runs a study and writes what it finds.
 *
 * @throws {PreftuneError} if the folder is another study's, or a configuration is wrong; failed runs are reported, not thrown
 */
export async function study(options: StudyOptions): Promise<WrittenOutcome> {
  const definition: StudyDefinition = STUDIES[options.name];
  if (options.judge !== null && !definition.needsAnswers) throw nothingToJudge(options.name);
  refuseUnused(options, definition);
  options.out.write(`${definition.title}\n`);
  const lock = takeFolder(options.output, { study: options.name, budget: options.budget });
  try {
    const count = options.seeds ?? definition.seeds[options.budget];
    const ground = await makeGround(options.output, { ...options, seeds: count });
    if (definition.needsTwoSets === true && ground.sets.length < 2) {
      throw new ConfigError(
        `${options.name} compares two preference sets: give --data, --eval-data, --other-data and --other-eval-data.`,
      );
    }
    const conditions = definition.conditions({ budget: options.budget, sets: ground.sets });
    const shared = (seed: number): Values => ({
      ...ground.valuesOf(seed),
      ...cadence[definition.evaluations],
      ...(definition.needsAnswers ? ground.watch : {}),
    });
    const cells = cellsOf(conditions, count, { file: ground.file, shared, words: options.overrides });
    checkCells(cells);
    const places = gridPlaces(options.output);
    const { out, reuse, signal, runTask } = options;
    const runs = `${conditions.length} conditions × ${count} ${count === 1 ? "seed" : "seeds"}: ${cells.length} runs`;
    out.write(`${runs}, ${ground.jobs} at a time, in ${places.dir}\n`);
    const outcomes = await runGrid(cells, places, {
      jobs: ground.jobs,
      out,
      reuse,
      signal,
      ...(runTask ? { runTask } : {}),
    });
    const measured = readMeasured(places, outcomes);
    const { title, question, figures, referenceOf } = definition;
    const contests = comparisonsOf(measured.values(), measured, referenceOf);
    const verdicts = await judgedSections(contests, options.output, options.judge);
    return writeOutcome({
      dir: options.output,
      text: { title, question, said: ground.said, command: options.command },
      outcomes,
      conditions,
      measured,
      figures,
      referenceOf,
      sections: [...definition.sections(measured), ...verdicts],
    });
  } finally {
    lock.release();
  }
}

/** Rows that the study would not look at. */
function refuseUnused(
  { name, otherData, otherEvalData }: StudyOptions,
  { needsTwoSets }: StudyDefinition,
): void {
  if (needsTwoSets === true || (otherData ?? otherEvalData) === null) return;
  const able = Object.entries(STUDIES).flatMap(([other, { needsTwoSets: two }]) =>
    two === true ? [other] : [],
  );
  throw new ConfigError(
    `${name} has one preference set: --other-data and --other-eval-data have no effect here. They are for ${able.join(", ")}.`,
  );
}

function nothingToJudge(name: string): ConfigError {
  const able = Object.entries(STUDIES).flatMap(([other, { needsAnswers }]) => (needsAnswers ? [other] : []));
  return new ConfigError(
    `${name} samples no answers that --judge could read. Studies that do: ${able.join(", ")}.`,
  );
}

/** The runs: every condition with every seed, seeds in the outer turn so that a study cut short has all conditions. */
export function cellsOf(
  conditions: readonly Condition[],
  seeds: number,
  { file, shared, words }: { file: string | null; shared: (seed: number) => Values; words: Cell["words"] },
): Cell[] {
  return Array.from({ length: seeds }, (_, i) => i + 1).flatMap((seed) =>
    conditions.map(({ name, changes, measuresCoupling = false }) => ({
      id: cellId(name, seed),
      condition: name,
      seed,
      file,
      values: shared(seed),
      words,
      changes,
      measuresCoupling: measuresCoupling && seed === 1,
    })),
  );
}

/**
 * Reads every configuration before the first run begins.
 *
 * @throws {ConfigError} naming the run and what is wrong with it
 */
export function checkCells(cells: readonly Cell[]): void {
  for (const { id, file, values, words, seed, changes } of cells) {
    const input = {
      ...(file === null ? {} : { file }),
      values: { ...values, seed, output_dir: id },
      overrides: [...words, ...wordsOf(changes)],
    };
    let config: ReturnType<typeof loadConfig>["config"];
    try {
      ({ config } = loadConfig(input));
    } catch (error) {
      if (error instanceof ConfigError)
        throw new ConfigError(`run ${id}: ${error.message}`, { cause: error });
      throw error;
    }
    if (config.eval_data === null || config.eval_fraction > 0) {
      throw new ConfigError(
        `run ${id}: expected held-out rows of their own, so that runs are compared on the same pairs. Give eval_data, and eval_fraction 0.`,
      );
    }
    if (config.objective === "sft") {
      throw new ConfigError(`run ${id}: expected an objective on pairs, got sft: nothing could be compared.`);
    }
  }
}

const format = "preftune study";

/**
 * Makes `dir` if need be and takes its lock.
 *
 * @param facts - what the folder holds; another study is not written over
 * @throws {ConfigError} if it holds something else
 */
export function takeFolder(dir: string, facts: Readonly<Record<string, unknown>>): RunLock {
  makeDirectory(dir);
  const lock = new RunLock(join(dir, "study.lock"));
  const path = join(dir, "study.json");
  const wanted = { format, ...facts };
  try {
    if (!existsSync(path)) writeFileAtomic(path, `${JSON.stringify(wanted, null, 2)}\n`);
    else if (JSON.stringify(readJsonFile(path)) !== JSON.stringify(wanted)) {
      throw new ConfigError(
        `${dir}: expected a new folder, or one of the same study to go on with; it holds ${JSON.stringify(readJsonFile(path))}, not ` +
          `${JSON.stringify(wanted)}. It is left as it is: give another with --output.`,
      );
    }
    return lock;
  } catch (error) {
    lock.release();
    throw error;
  }
}
