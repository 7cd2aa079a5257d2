/**
 * The quick start, from nothing: its own data, a random Llama-shaped model, SFT, then every method over pairs from that one
 * checkpoint with the same data, seed and steps. Each stage runs in a separate process.
 */

import { join, relative } from "node:path";
import { at } from "../base/at.ts";
import { writeFileAtomic } from "../base/files.ts";
import { stringifyNumbers } from "../base/json-numbers.ts";
import { formatDuration } from "../base/number-text.ts";
import { deriveSeed } from "../base/random.ts";
import { comparedMethods, labelsOf, type MethodName, methods, wordList } from "../methods/index.ts";
import type { ProgressStream } from "../terminal/status-line.ts";
import { fastSize, fullSize, type ToySize } from "../toy/sizes.ts";
import { jsonLines, makeData, type ToyData, tokenizerText } from "../toy/toy-data.ts";
import { writeToyData } from "../toy/toy-files.ts";
import { type QuickstartPaths, stages, takePlace } from "./place.ts";
import { answerLines, legend, type QuickstartText, resultTable, writeQuickstartReport } from "./results.ts";
import type { StageResult, StageTask } from "./stage.ts";
import { type MethodMetrics, metricsOf, sentences } from "./stage-metrics.ts";
import { runInProcess } from "./stage-process.ts";

/** Options of `quickstart`. */
export interface QuickstartOptions {
  /** Directory for all that it writes. */
  output: string;
  seed: number;
  /** A few steps of a smaller model: to see that it works, not what comes out. */
  fast: boolean;
  out: ProgressStream;
}

/** The result. */
export interface QuickstartOutcome {
  metrics: MethodMetrics[];
  report: string;
  seconds: number;
}

/** Values of the preference stages. */
const recipe: string = join(import.meta.dirname, "../../recipes/quickstart.yaml");

/**
 * Runs the quick start and writes what it finds to `out`.
 *
 * @throws {PreftuneError} if the directory is not its own, or a stage fails
 */
export async function quickstart({ output, seed, fast, out }: QuickstartOptions): Promise<QuickstartOutcome> {
  const began = performance.now();
  const size = fast ? fastSize : fullSize;
  const { paths, lock } = takePlace(output, { seed, fast });
  try {
    const data = makeData({ ...size.data, seed });
    writeData(paths, data);
    out.write(`${introduction(data, fast)}\n\n`);
    const results: StageResult[] = [];
    for (const [i, stage] of stages.entries()) {
      const title = `[${i + 1}/${stages.length}] ${methods[stage].label}`;
      results.push(await runInProcess(title, taskOf(stage, paths, { data, seed, size }), out));
    }
    const metrics = metricsOfAll(results, data);
    const [sft, ...others] = metrics as [MethodMetrics, ...MethodMetrics[]];
    const said = sentences(sft, others, data.evaluation.length);
    writeFileAtomic(paths.results, `${stringifyNumbers({ seed, fast, metrics })}\n`);
    writeAnswers(paths, results, data);
    writeQuickstartReport(paths, metrics, {
      ...{ intro: introduction(data, fast), said },
      asked: askedOf(results, data),
    });
    const seconds = (performance.now() - began) / 1000;
    out.write(
      `\n${resultTable(metrics)}\n\n${legend.join("\n")}\n\n${said.join("\n")}\n\n${firstAnswers(results, data)}\n\n`,
    );
    out.write(
      `Report with curves: ${relative(process.cwd(), paths.report)}   (all in ${formatDuration(seconds)})\n`,
    );
    return { metrics, report: paths.report, seconds };
  } finally {
    lock.release();
  }
}

function introduction({ sft, train, evaluation }: ToyData, fast: boolean): string {
  const trial = fast
    ? "\nThis is the fast form, a few steps of a very small model: its metrics mean nothing."
    : "";
  return (
    `A random model learns to answer questions about islands from ${sft.length} rows, many flawed (SFT).\n` +
    `${wordList(labelsOf(comparedMethods))} then each train it on the same ${train.length} pairs of a right and a flawed answer;\n` +
    `${evaluation.length} pairs with other questions are held out.${trial}`
  );
}

function writeData({ data: dir }: QuickstartPaths, data: ToyData): void {
  writeFileAtomic(join(dir, "world.json"), `${JSON.stringify({ smallestFirst: data.world }, null, 2)}\n`);
  writeToyData(dir, data);
}

function taskOf(
  stage: MethodName,
  paths: QuickstartPaths,
  { data, seed, size }: { data: ToyData; seed: number; size: ToySize },
): StageTask {
  const common = { output_dir: paths.run(stage), objective: stage, seed: deriveSeed(seed, 3) % 2 ** 31 };
  const heldOut = join(paths.data, "eval.jsonl");
  const measured = { heldOut, answersPerPrompt: size.answersPerPrompt };
  if (stage === "sft") {
    const values = {
      ...size.sft,
      ...common,
      model_name_or_path: paths.base,
      train_data: join(paths.data, "sft.jsonl"),
    };
    return { config: { values }, base: { shape: size.shape, text: tokenizerText(data) }, ...measured };
  }
  const values = {
    ...common,
    model_name_or_path: join(paths.run("sft"), "model"),
    train_data: join(paths.data, "train.jsonl"),
    eval_data: heldOut,
  };
  return { config: { file: recipe, values }, base: null, ...measured };
}

function metricsOfAll(results: readonly StageResult[], { evaluation }: ToyData): MethodMetrics[] {
  const right = evaluation.map(({ chosen }) => chosen[0]?.content ?? "");
  const labels = labelsOf(stages);
  const sft = results[0]?.measurement ?? null;
  return results.map((result, i) => metricsOf(at(labels, i), result, i === 0 ? null : sft, right));
}

/** Every sampled answer, beside the question and the right answer. */
function writeAnswers(
  paths: QuickstartPaths,
  results: readonly StageResult[],
  { evaluation }: ToyData,
): void {
  for (const [i, { measurement }] of results.entries()) {
    const rows = measurement.answers.map(({ pair, text, stopId }) => ({
      question: evaluation[pair]?.prompt[0]?.content,
      right: evaluation[pair]?.chosen[0]?.content,
      answer: text,
      ended: stopId !== null,
    }));
    writeFileAtomic(join(paths.run(at(stages, i)), "answers.jsonl"), jsonLines(rows));
  }
}

/** Questions whose answers the report shows. */
const shownQuestions = 6;

/** The first questions with what every stage answered first. */
function askedOf(results: readonly StageResult[], { evaluation }: ToyData): QuickstartText["asked"] {
  return evaluation.slice(0, shownQuestions).map((pair, i) => ({
    question: pair.prompt[0]?.content ?? "",
    right: pair.chosen[0]?.content ?? "",
    answers: results.map(({ measurement }) => {
      const answer = measurement.answers.find((one) => one.pair === i);
      return { text: answer?.text ?? "", ended: answer?.stopId !== null };
    }),
  }));
}

function firstAnswers(results: readonly StageResult[], { evaluation }: ToyData): string {
  const [first] = evaluation;
  const labels = labelsOf(stages);
  const answers = results.map(({ measurement }, i) => ({
    name: at(labels, i),
    text: measurement.answers[0]?.text ?? "",
  }));
  return answerLines(first?.prompt[0]?.content ?? "", [
    { name: "right", text: first?.chosen[0]?.content ?? "" },
    ...answers,
  ]);
}
