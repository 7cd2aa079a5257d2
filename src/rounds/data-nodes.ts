/** The nodes that lead from prompts to rows: prompts, answers, labels, pairs, data check. */
import { existsSync } from "node:fs";
import { relative } from "node:path";
import { at } from "../base/at.ts";
import { ConfigError, DataError } from "../base/errors.ts";
import { sha256, sha256File, writeFileAtomic } from "../base/files.ts";
import { counted } from "../base/number-text.ts";
import { isFolder, statsOf } from "../base/open-file.ts";
import { shellWord } from "../base/shell-word.ts";
import { DATA_KEYS } from "../config/data-keys.ts";
import { earlierValues, isLaterDefault } from "../config/earlier-values.ts";
import { CONFIG_KEYS, type FlatConfig, flatConfig } from "../config/keys.ts";
import { moduleFunctionOf } from "../config/reward-specs.ts";
import type { ConfigKey } from "../config/run-config.ts";
import { assertPreflight } from "../data/preflight.ts";
import { checkPromptLengths } from "../data/prompt-file.ts";
import { localIdentity } from "../evaluate/answers/local-answers.ts";
import { readQuestions } from "../evaluate/answers/questions.ts";
import { isAdapter } from "../formats/adapter.ts";
import { contextLength } from "../formats/model-config.ts";
import { askedQuantisation } from "../formats/quantisation.ts";
import { methodOf } from "../methods/index.ts";
import { baseOf } from "../online/reward-model.ts";
import { generateFile } from "../recipes/generate.ts";
import { readJsonLines } from "../runs/json-lines.ts";
import { openText } from "../text/open-text.ts";
import { prepareData, taskOf } from "../train/prepare-data.ts";
import { people, type RoundSettings, samplingKeys } from "../workbench/rounds/round-file.ts";
import { roundName } from "../workbench/rounds/round-record.ts";
import { saveVersion, versionPaths } from "../workbench/versions.ts";
import { makeWorkbench } from "../workbench/workbench-dir.ts";
import { type AnswerGroup, answerGroups, type RoundPrompt, roundPrompts } from "./answers.ts";
import {
  type ChosenPair,
  chosenPairs,
  judgedOf,
  putBeforePeople,
  rewardsByLabels,
  rowsByLabels,
  rowsByScores,
} from "./labelled.ts";
import type { Node, NodeResult, RoundWork } from "./round-work.ts";
import { type ScoringOptions, scoreGroups, scorerName } from "./scoring.ts";
import { trainingOf } from "./start.ts";

/** Prompts: both files read, none of one in the other. */
export const prompts: Node = {
  inputs: ({ settings }) => ({
    prompts: digestOf("prompts", settings.prompts),
    eval_prompts: digestOf("eval_prompts", settings.eval_prompts),
  }),
  async run({ settings, start, training }) {
    await using text = await openText(start.model, textOptions(training.config));
    if (!text.encoder.hasChatTemplate)
      throw new ConfigError(
        `${start.model}: expected a model with a chat template, which prompts and answers go through, it has none. Give chat_template under values.`,
      );
    const asked = await roundPrompts(settings.prompts, text.encoder);
    const fixed = await roundPrompts(settings.eval_prompts, text.encoder);
    await readQuestions(settings.eval_prompts);
    const { max_completion_length } = settings;
    checkPromptLengths(
      [...asked, ...fixed].map(({ where, ids }) => ({ where, ids: [...ids] })),
      max_completion_length,
      contextLength(text.config),
    );
    refuseOverlap(asked, fixed);
    return {
      text: `${asked.length} prompts, ${fixed.length} fixed ones`,
      facts: { prompts: asked.length, fixed: fixed.length },
      made: [],
    };
  },
};

/** Answers of the model that the round begins with, by `generate`. */
export const answers: Node = {
  inputs: ({ settings, start, training: { config } }) => ({
    prompts: digestOf("prompts", settings.prompts),
    model: localIdentity(start),
    ...Object.fromEntries(samplingKeys.map((key) => [key, String(settings[key])])),
    text: sha256(JSON.stringify(textOptions(config))),
  }),
  async run({ settings, start, paths, training: { config }, onPhase }) {
    const { top_k: topK, top_p: topP, min_p: minP, repetition_penalty: penalty } = settings;
    await generateFile({
      ...{ model: start.model, adapters: start.adapter === null ? [] : [start.adapter] },
      ...{ prompts: settings.prompts, limit: null, output: paths.answers },
      ...environmentOf(config),
      ...textOptions(config),
      quantise: askedQuantisation(config),
      sampling: {
        ...{ n: settings.num_generations, maxNewTokens: settings.max_completion_length },
        ...{ temperature: settings.temperature, minP, stop: [], seed: settings.seed, logprobs: null },
        topK: topK === 0 ? null : topK,
        topP: topP === 1 ? null : topP,
        repetitionPenalty: penalty === 1 ? null : penalty,
      },
      onPhase,
      onProgress: ({ done, total }) => onPhase("prompts answered", done, total),
    });
    const lines = readJsonLines(paths.answers).map(({ value }) => value as { answers: { ended: boolean }[] });
    const all = lines.flatMap((line) => line.answers);
    const cut = all.filter(({ ended }) => !ended).length;
    return {
      text: `${all.length} answers${cut === 0 ? "" : `, ${cut} cut`}`,
      facts: { answers: all.length, cut },
      made: ["answers.jsonl"],
    };
  },
};

/** Labels: rewards of the answers, or what people say. */
export const labels: Node = {
  inputs: ({ settings, paths }) => ({
    answers: sha256File(paths.answers),
    ...judgedBy(settings),
  }),
  async run(work) {
    const { settings, paths } = work;
    const { groups, counts } = await usableGroups(work);
    if (groups.length === 0)
      throw new DataError(
        `${paths.answers}: expected two answers or more to a prompt, of which pairs are made, no prompt has them: of ${counts.answers} answers ` +
          `${counts.cut} were cut, ${counts.empty} are empty and ${counts.repeated} repeat another. Raise max_completion_length, num_generations or temperature, in a new round.`,
      );
    if (settings.judge === people) return peoplesLabels(work, groups);
    const rewards = await scoreGroups(groups, settings, scoringOf(work, work.dir));
    // JSON has no NaN: null
    const lines = groups.map(
      (group, i) =>
        `${JSON.stringify({ index: group.index, answers: group.answers, rewards: at(rewards, i) })}\n`,
    );
    writeFileAtomic(paths.scores, lines.join(""));
    const unscored = rewards.flat().filter(Number.isNaN).length;
    const scored = rewards.flat().length - unscored;
    return {
      text: `${scored} of ${counts.answers} answers scored`,
      facts: { scorer: scorerName(settings), scored, unscored },
      made: ["scores.jsonl"],
    };
  },
};

function peoplesLabels({ settings, dir }: RoundWork, groups: readonly AnswerGroup[]): NodeResult {
  using store = makeWorkbench(settings.workbench);
  const items = new Set(putBeforePeople(store, groups, voiceOf(settings)));
  const wanted = settings.labels ?? items.size;
  if (wanted > items.size)
    throw new ConfigError(`labels: expected at most ${items.size}, the pairs of this round, got ${wanted}.`);
  const judged = judgedOf(store, [...items]);
  const said = `${judged} of ${items.size} pairs judged by people`;
  if (judged >= wanted) return { text: said, facts: { scorer: people, judged, pairs: items.size }, made: [] };
  return { waitsFor: `${said}, ${wanted} are needed. ${howToLabel(settings, dir)}` };
}

/** What people do, and the command that continues. */
export function howToLabel({ workbench }: RoundSettings, dir: string): string {
  return `Judge them on the Label screen of \`preftune dashboard --workbench ${shellWord(workbench)}\`, then continue: preftune round ${shellWord(dir)}`;
}

/** Pairs as a version of the workbench. */
export const pairs: Node = {
  inputs: ({ settings, paths }) => ({
    answers: sha256File(paths.answers),
    scores: settings.judge === people ? people : sha256File(paths.scores),
    pairs: settings.pairs,
    reward_gap: String(settings.reward_gap),
  }),
  async run(work) {
    const { settings, dir, paths } = work;
    const { groups, counts } = await usableGroups(work);
    using store = makeWorkbench(settings.workbench);
    const isByPeople = settings.judge === people;
    const voice = voiceOf(settings);
    const rewards = isByPeople ? rewardsByLabels(store, groups, voice) : rewardsIn(paths.scores);
    const chosen = chosenPairs(groups, rewards, settings, voice);
    requirePairs(chosen, groups, settings);
    const { rows, ...made } = isByPeople
      ? rowsByLabels(store, chosen)
      : rowsByScores(store, chosen, { scorer: scorerName(settings), voice });
    const version = await saveVersion(settings.workbench, rows, {
      by: "round",
      sources: { prompts: sha256File(settings.prompts), answers: sha256File(paths.answers) },
      rules: {
        round: roundName(dir),
        ...judgedBy(settings),
        pairs: settings.pairs,
        reward_gap: settings.reward_gap,
      },
      counts: { ...counts, ...made },
    });
    const left = made.contradicted;
    return {
      text: `${rows.length} pairs of ${made.prompts} prompts${left === 0 ? "" : `, ${left} left out: labels say otherwise`}`,
      facts: { version: version.digest, pairs: rows.length, ...made },
      made: [relative(dir, versionPaths(settings.workbench, version.digest).rows)],
    };
  },
};

function requirePairs(
  chosen: readonly ChosenPair[],
  groups: readonly AnswerGroup[],
  { reward_gap, pairs: which }: RoundSettings,
): void {
  if (chosen.length > 0) return;
  throw new DataError(
    `expected pairs of answers whose rewards are more than reward_gap ${reward_gap} apart, found none in ${groups.length} prompts (pairs: ${which}). ` +
      "Give a smaller reward_gap and run it again, or begin another round with more answers (num_generations) or another judge.",
  );
}

/** The check that runs before every training. */
export const dataCheck: Node = {
  inputs: (work) => ({
    version: versionOf(work),
    data: configDigest(work, work.record.nodes.data_check?.inputs["data"], [
      ...(Object.keys(DATA_KEYS) as ConfigKey[]),
      ...(["seed", "objective"] as const),
    ]),
  }),
  async run(work) {
    const { settings, start, paths, onPhase } = work;
    const { config } = trainingOf(settings, start, { rows: rowsPath(work) });
    const task = taskOf(methodOf(config.method.objective).over, false);
    const { dataset } = await prepareData({ ...config, task }, onPhase);
    const { report } = dataset;
    writeFileAtomic(paths.check, `${JSON.stringify(report, null, 2)}\n`);
    assertPreflight(report);
    const { train: rows, evaluation } = report.counts;
    const warnings = report.findings.filter(({ severity }) => severity === "warning").length;
    return {
      text: `${rows} rows, ${evaluation} held out, ${counted(warnings, "warning")}`,
      facts: { rows, held: evaluation, warnings },
      made: ["data-check.json"],
    };
  },
};

/** Digest of the version that the round made. */
export function versionOf({ record }: RoundWork): string {
  return String(record.nodes.pairs?.facts["version"]);
}

/** The file of the version's rows. */
export function rowsPath(work: RoundWork): string {
  return versionPaths(work.settings.workbench, versionOf(work)).rows;
}

/**
 * Digest of the training's configuration, or of some of its keys.
 *
 * @param known - that of a finished node; the same where an earlier version took it of the same values
 */
export function configDigest(
  { training: { config } }: RoundWork,
  known: string | undefined,
  keys: readonly ConfigKey[] = CONFIG_KEYS,
): string {
  const digest = (values: FlatConfig): string =>
    sha256(
      JSON.stringify(
        keys.filter((key) => !isLaterDefault(key, values[key])).map((key) => values[key] ?? null),
      ),
    );
  const values = flatConfig(config);
  const earlier = digest({ ...values, ...earlierValues(config) });
  return earlier === known ? earlier : digest(values);
}

/** What scoring needs. @param dir - where a judge's replies are kept */
export function scoringOf({ start, training: { config }, onPhase }: RoundWork, dir: string): ScoringOptions {
  return {
    ...{ model: start.model, text: textOptions(config), environment: environmentOf(config) },
    ...{ dir, onPhase },
  };
}

type Training = RoundWork["training"]["config"];

function textOptions({ chat_template: chatTemplate, enable_thinking: enableThinking }: Training) {
  return { chatTemplate, enableThinking };
}

function environmentOf({ device, dtype, threads }: Training) {
  return { device, dtype, threads };
}

/** Who judges, and how, for a node's inputs. */
export function judgedBy(settings: RoundSettings): Record<string, string> {
  const { judge, judge_mode, judge_extra, reward_funcs, reward_model, reward_weights } = settings;
  if (judge === people) return { judge };
  if (judge !== null) {
    return {
      judge,
      judge_mode,
      ...(judge_extra === null ? {} : { judge_extra: JSON.stringify(judge_extra) }),
    };
  }
  if (reward_model !== null) return { reward_model, reward_model_weights: weightsOf(reward_model) };
  const files = (reward_funcs ?? []).map((spec) => moduleFunctionOf(spec)?.file ?? null);
  const digests = files.map((file) => (file !== null && existsSync(file) ? sha256File(file) : ""));
  return { reward_funcs: JSON.stringify([reward_funcs, reward_weights, digests]) };
}

/** Digest of a reward model's files, of an adapter with those of its base; empty where there is none. */
function weightsOf(dir: string): string {
  if (!isFolder(dir)) return "";
  return localIdentity(isAdapter(dir) ? { model: baseOf(dir), adapter: dir } : { model: dir, adapter: null });
}

/** What the model that answers is called in labels. */
function voiceOf({ model }: RoundSettings): string {
  return roundName(model);
}

/** The prompts with two answers or more that are of use. */
async function usableGroups({
  settings,
  start,
  paths,
  training,
}: RoundWork): ReturnType<typeof answerGroups> {
  await using text = await openText(start.model, textOptions(training.config));
  const asked = await roundPrompts(settings.prompts, text.encoder);
  const { groups, counts } = await answerGroups(paths.answers, asked, text.encoder);
  return { groups: groups.filter((group) => group.answers.length > 1), counts };
}

function rewardsIn(path: string): number[][] {
  return readJsonLines(path).map(({ value }) =>
    (value as { rewards: (number | null)[] }).rewards.map((reward) => reward ?? Number.NaN),
  );
}

/** Digest of a file that the round reads. @throws {ConfigError} where there is none */
export function digestOf(key: string, path: string): string {
  if (statsOf(path)?.isFile() === true) return sha256File(path);
  throw new ConfigError(
    `${key}: ${path}: expected a file of prompts, there is ${existsSync(path) ? "a directory" : "none"}. Check the path.`,
  );
}

/** @throws {DataError} where a prompt that is trained on is among the fixed ones */
function refuseOverlap(asked: readonly RoundPrompt[], fixed: readonly RoundPrompt[]): void {
  const known = new Map(asked.map(({ ids, where }) => [ids.join(), where]));
  const both = fixed.filter(({ ids }) => known.has(ids.join()));
  if (both.length === 0) return;
  const { where, ids } = at(both, 0);
  throw new DataError(
    `${both.length} of the ${fixed.length} fixed prompts are trained on too, the first is ${where}, the same as ${known.get(ids.join())}. ` +
      "A comparison on them says nothing: take them out of one of the files.",
  );
}
