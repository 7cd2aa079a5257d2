/** `preftune study NAME`: the runs of a study in one folder, its tables and its report. */
import { join } from "node:path";
import { ConfigError } from "preftune";
import {
  type Condition,
  type ConfigValues,
  checkOverrides,
  checkTrials,
  comparisonsOf,
  type GridOptions,
  gridPaths,
  lockFolder,
  type Measured,
  ownKeyProblem,
  readKey,
  readMeasured,
  runGrid,
  type Trial,
  type TrialOutcome,
  trialsOf,
  type WrittenOutcome,
  writeOutcome,
} from "preftune/sweep";
import { leastSets } from "./analyses/comparison-count.ts";
import { chosenMethods } from "./chosen-methods.ts";
import type { Asked, StudyDefinition } from "./definition.ts";
import { judgedSections, type StudyJudge } from "./judged.ts";
import type { StudyName } from "./names.ts";
import { type SetupOptions, type StudySetup, setUpStudy } from "./setup.ts";
import { STUDIES } from "./studies.ts";
import { trainingSets } from "./training-sets.ts";

/** Options of {@link study}. */
export interface StudyOptions extends Omit<SetupOptions, "seeds"> {
  name: StudyName;
  /** Folder for all that it writes; an interrupted study resumes there. */
  output: string;
  /** A reward model's directory, for the study that may train against one; null for none. */
  rewardModel: string | null;
  /** Whether pairs are the start's own answers, and by which reward function; null for rows as they are. */
  ownAnswers: OwnAnswers | null;
  /** Which of the study's methods are run, with what they are compared with; empty for all. */
  methods: readonly string[];
  /** Training seeds; null for the study's own number. */
  seeds: number | null;
  /** Folders of other studies, see {@link GridOptions}. */
  reuse: readonly string[];
  /** Learning rates that are swept; null for the study's own. */
  learningRates: readonly number[] | null;
  /** Judges the sampled answers; null for none. */
  judge: StudyJudge | null;
  /** The command line, for the report. */
  command: string;
  /** See {@link GridOptions}. */
  signal?: AbortSignal;
  runTask?: GridOptions["runTask"];
}

/** Pairs of the start's own answers. */
export interface OwnAnswers {
  /** `FILE#NAME` of the reward function that distinguishes them; null on generated data: the right answer. */
  reward: string | null;
}

/** Evaluations during training, besides those at the start and the end. */
const cadence: Record<StudyDefinition["evaluations"], ConfigValues> = {
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
  checkOverrides(options.overrides);
  refuseOwnKeys(options);
  refuseUnused(options, definition);
  refuseRewardModel(options, definition.takesRewardModel ?? false);
  refuseMethods(options, definition);
  options.out.write(`${definition.title}\n`);
  const { name, budget, ownAnswers } = options;
  const facts = { study: name, budget, ...(ownAnswers === null ? {} : { own_answers: ownAnswers.reward }) };
  const lock = lockFolder(options.output, facts);
  try {
    const count = options.seeds ?? definition.seeds[options.budget];
    tellFewSets(definition, count, options.out);
    const searchSeeds = definition.search?.seeds[options.budget] ?? 0;
    const planned = planOf(definition, options, { count, searchSeeds });
    const { asked } = planned;
    const setup = await startOf(planned, { options, count });
    const place = { ...planned, setup };
    // the search has the first seeds: more seeds for the conditions later leave it as it was
    const searched =
      definition.search === undefined || searchSeeds === 0
        ? null
        : await run(place, definition.search.conditions(asked), { first: 1, count: searchSeeds });
    const all = definition.conditions({ ...asked, searched: searched?.measured ?? null });
    const conditions = chosenMethods(name, definition, { conditions: all, methods: options.methods });
    const { outcomes, measured } = await run(place, conditions, { first: searchSeeds + 1, count });
    const { title, question, metrics, referenceOf } = definition;
    const contests = comparisonsOf(measured.values(), measured, referenceOf);
    const verdicts = await judgedSections(contests, options.output, options.judge);
    return writeOutcome({
      dir: options.output,
      text: { title, question, note: setup.note, command: options.command },
      outcomes,
      conditions,
      measured,
      metrics,
      referenceOf,
      ...(definition.groupOf === undefined ? {} : { groupOf: definition.groupOf }),
      sections: [...definition.sections(measured, searched?.measured ?? null), ...verdicts],
    });
  } finally {
    lock.release();
  }
}

/** A study over training sets says before it begins that it has few. */
function tellFewSets({ dividesRows }: StudyDefinition, count: number, out: StudyOptions["out"]): void {
  if (dividesRows !== true || count >= leastSets) return;
  out.write(
    `note: intervals are over training sets, and over ${count} they say little. Take ${leastSets} or more: --seeds ${leastSets}.\n`,
  );
}

/** A study that has what it trains. */
interface StudyPlace {
  definition: StudyDefinition;
  setup: StudySetup;
  options: StudyOptions;
  asked: Omit<Asked, "searched">;
}

/** Training seeds: so many, from the `first` on. */
interface Seeds {
  first: number;
  count: number;
}

/** The runs of `conditions` with each of the seeds. */
function trialsIn(
  { definition, setup, options, asked }: StudyPlace,
  conditions: readonly Condition[],
  seeds: Seeds,
): Trial[] {
  const shared = (seed: number): ConfigValues => ({
    ...setup.valuesOf(seed),
    ...cadence[definition.evaluations],
    ...definition.values?.(asked),
    ...(definition.needsAnswers ? setup.watch : {}),
  });
  return trialsOf(conditions, seeds, { file: setup.file, shared, overrides: options.overrides });
}

/** Runs `conditions` with the training seeds from `first`. */
async function run(
  place: StudyPlace,
  conditions: readonly Condition[],
  seeds: Seeds,
): Promise<{ outcomes: TrialOutcome[]; measured: Measured }> {
  const { setup, options } = place;
  const trials = trialsIn(place, conditions, seeds);
  checkTrials(trials);
  const paths = gridPaths(options.output, new URL("extras.ts", import.meta.url).href);
  const { out, reuse, signal, runTask } = options;
  const { count } = seeds;
  const isEach = trials.length === conditions.length * count;
  const each = `${isEach ? "" : "at most "}${count} ${count === 1 ? "seed" : "seeds"}`;
  const runs = `${conditions.length} conditions × ${each}: ${trials.length} runs`;
  if (trials.length > 0) out.write(`${runs}, ${setup.jobs} at a time, in ${paths.dir}\n`);
  const outcomes = await runGrid(trials, paths, {
    jobs: setup.jobs,
    out,
    reuse,
    signal,
    ...(runTask ? { runTask } : {}),
  });
  return { outcomes, measured: readMeasured(paths, outcomes) };
}

/** What own answers are made of, which the runs do not train on. */
const rowKeys: ReadonlySet<string> = new Set(["eval_data", "columns", "seed"]);

/**
 * What a study is to train and on what, before any of it is made.
 *
 * @throws {ConfigError} for what no run could be made of
 */
function planOf(
  definition: StudyDefinition,
  given: StudyOptions,
  { count, searchSeeds }: { count: number; searchSeeds: number },
): StudyPlace {
  const { name, budget, rewardModel, ownAnswers, config } = given;
  // a model's own answers are of one model
  const seeds = ownAnswers === null ? count + searchSeeds : 1;
  const setup = setUpStudy(given.output, { ...given, seeds });
  const { sets, prompts } = setup;
  if (definition.needsTwoSets === true && sets.length < 2) {
    throw new ConfigError(
      `${name} compares two preference sets: give --data, --eval-data, --other-data and --other-eval-data.`,
    );
  }
  const overrides = given.overrides.filter(([key]) => ownAnswers === null || !rowKeys.has(key));
  const options = { ...given, overrides };
  const learningRates = given.learningRates ?? definition.learningRates ?? [];
  const fromAdapter = readKey("adapter_name_or_path", inputOf(setup, overrides)) !== null;
  const asked = {
    budget,
    rewardModel,
    sets,
    prompts,
    learningRates,
    fromAdapter,
    hasConfig: config !== null,
  };
  const place = { definition, setup, options, asked };
  const conditions = definition.conditions({ ...asked, searched: null });
  refuseDecided(given, conditions);
  // where models are made first; own answers bring other rows
  if (prompts !== null && ownAnswers === null) checkTrials(trialsIn(place, conditions, { first: 1, count }));
  return place;
}

/** What the study trains and on what, for `count` training seeds, made. */
async function startOf(
  { definition, setup }: StudyPlace,
  { options, count }: { options: StudyOptions; count: number },
): Promise<StudySetup> {
  const { output, overrides, ownAnswers } = options;
  await setup.make();
  const own = ownAnswers === null ? setup : await withOwnAnswers(setup, ownAnswers, { options, count });
  return definition.dividesRows === true
    ? divided(own, { output, overrides: ownAnswers === null ? overrides : [] }, count)
    : own;
}

/** What the runs of the first training seed are configured from, before a condition changes anything. */
function inputOf({ file, valuesOf }: StudySetup, overrides: StudyOptions["overrides"]) {
  return { ...(file === null ? {} : { file }), values: valuesOf(1), overrides };
}

/** With pairs of the start's own answers in place of the rows, enough for `count` training sets. */
async function withOwnAnswers(
  setup: StudySetup,
  { reward }: OwnAnswers,
  { options, count }: { options: StudyOptions; count: number },
): Promise<StudySetup> {
  const values = { ...setup.valuesOf(1), ...setup.prompts, output_dir: join(options.output, "setup", "own") };
  const isGenerated = setup.prompts !== null;
  if (reward === null && !isGenerated) {
    throw new ConfigError(
      "--own-answers: expected a reward function that distinguishes your model's answers: --own-answers rewards.ts#name (docs/rewards.md). On generated data it is the right answer.",
    );
  }
  const { output, overrides, out, signal } = options;
  const input = { ...inputOf(setup, overrides), values };
  const { ownPairs } = await import("./own-pairs.ts");
  const own = await ownPairs(output, input, {
    reward: reward ?? `${join(import.meta.dirname, "rewards.ts")}#exact`,
    max_completion_length: isGenerated ? 48 : 96,
    ...{ sets: count, out, signal },
  });
  return {
    ...setup,
    valuesOf: () => ({ ...setup.valuesOf(1), ...own.values }),
    note: `${setup.note} ${own.note}`,
  };
}

/** With a training set for each seed in place of all rows. */
async function divided(
  setup: StudySetup,
  { output, overrides }: Pick<StudyOptions, "output" | "overrides">,
  count: number,
): Promise<StudySetup> {
  const values = setup.valuesOf(1);
  const columns = readKey("columns", inputOf(setup, overrides)) ?? {};
  const files = await trainingSets(output, values, count, columns);
  return {
    ...setup,
    valuesOf: (seed) => ({ ...setup.valuesOf(seed), train_data: files[seed - 1] }),
    note: `${setup.note} Training rows are divided into ${count} disjoint sets.`,
  };
}

/** Methods that the study does not have, before models are made and answers sampled. */
function refuseMethods(
  { name, budget, methods, model, config, learningRates, rewardModel }: StudyOptions,
  definition: StudyDefinition,
): void {
  if (methods.length === 0) return;
  const asked = {
    ...{
      budget,
      sets: [],
      searched: null,
      rewardModel,
      prompts: model === null && config === null ? {} : null,
    },
    learningRates: learningRates ?? definition.learningRates ?? [],
  };
  chosenMethods(name, definition, { conditions: definition.conditions(asked), methods });
}

function refuseRewardModel({ rewardModel, config, model }: StudyOptions, takes: boolean): void {
  if (rewardModel === null || (takes && (config ?? model) !== null)) return;
  throw new ConfigError(
    "--reward-model has no effect here. It is for the study online on your rows: give --model, --data and --eval-data with it.",
  );
}

/** What is given for all runs and would reach none, since each condition has a value for it. */
function refuseDecided({ name, overrides }: StudyOptions, conditions: readonly Condition[]): void {
  const given = overrides.find(([key]) => conditions.every(({ changes }) => key in changes))?.[0];
  if (given === undefined) return;
  throw new ConfigError(
    `${name} decides ${given} itself, for each of its conditions: take --${given} out. \`preftune train\` repeats one run with another value.`,
  );
}

/** A key of which each run has its own value. */
function refuseOwnKeys({ overrides, ownAnswers }: StudyOptions): void {
  for (const [key] of overrides) {
    // the seed of own answers is one for all runs
    const problem = key === "seed" && ownAnswers !== null ? null : ownKeyProblem(key);
    if (problem !== null) throw new ConfigError(`--${key}: ${problem}`);
  }
}

/** What the study would not use. */
function refuseUnused(
  { name, otherData, otherEvalData, overrides, learningRates, ownAnswers }: StudyOptions,
  { needsTwoSets, learningRates: swept, dividesRows, decides = [] }: StudyDefinition,
): void {
  if (learningRates !== null && swept === undefined)
    throw new ConfigError(
      `${name} sweeps no learning rates: --learning-rates has no effect here. Give --learning_rate.`,
    );
  const decided = [
    ...(swept === undefined ? [] : ["learning_rate"]),
    ...(dividesRows === true ? ["train_data"] : []),
    ...decides,
  ];
  const given = overrides.find(([key]) => decided.includes(key))?.[0];
  if (given !== undefined)
    throw new ConfigError(`${name} decides ${given} itself: take --${given} out.${insteadOf(given)}`);
  if (ownAnswers !== null && dividesRows !== true)
    throw new ConfigError(
      `${name} trains on rows as they are: --own-answers has no effect here. It is for ${able(({ dividesRows: divides }) => divides)}.`,
    );
  if (needsTwoSets === true || (otherData ?? otherEvalData) === null) return;
  throw new ConfigError(
    `${name} has one preference set: --other-data and --other-eval-data have no effect here. They are for ${able(({ needsTwoSets: two }) => two)}.`,
  );
}

/** What says it to a study in place of a key that it decides. */
function insteadOf(key: string): string {
  if (key === "learning_rate") return " --learning-rates 5e-4,1e-3,2e-3 says which are swept.";
  return key === "train_data" ? " --data names the rows that it divides." : "";
}

/** The names of the studies that `does` holds of. */
function able(does: (definition: StudyDefinition) => boolean | undefined): string {
  return Object.entries(STUDIES)
    .flatMap(([study, definition]) => (does(definition) === true ? [study] : []))
    .join(", ");
}

function nothingToJudge(name: string): ConfigError {
  return new ConfigError(
    `${name} samples no answers that --judge could read. Studies that do: ${able(({ needsAnswers }) => needsAnswers)}.`,
  );
}
