/** What the commands with a judge share: their options, and what they write and print at the end. */
import { join, resolve } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { type Command, InvalidArgumentError, Option } from "commander";
import { ConfigError } from "../base/errors.ts";
import { isRecord } from "../base/is-record.ts";
import { readFileBytes } from "../base/open-file.ts";
import { secretAmong } from "../config/request-fields.ts";
import { answererName, inFileName, parseAnswerer, parseEndpoint } from "../evaluate/answers/answerer.ts";
import type { JudgingOptions } from "../evaluate/answers/answers.ts";
import { type JudgedText, writeResults } from "../evaluate/judge/judged-texts.ts";
import type { JudgeSettings, Price } from "../evaluate/judge/judging.ts";
import type { PairReport } from "../evaluate/judge/pair-report.ts";
import type { Phases } from "../terminal/phases.ts";
import { finishFirst } from "./leave.ts";
import {
  atLeastZero,
  environmentOf,
  givenOption,
  type MachineOptions,
  positiveNumber,
  type TemplateOptions,
  takeDirAsOutput,
  templateOf,
  wholeNumber,
  withMachineOptions,
  withTemplateOptions,
} from "./options.ts";

/** The options of the judge. */
export interface JudgeEndpointOptions {
  judge: { baseUrl: string; model: string };
  judgeKeyEnv: string;
  judgeTemperature?: number;
  judgeMaxTokens?: number;
  judgeExtra: Record<string, unknown>;
  judgePrice?: Price;
  retriesWithoutVerdict: number;
  concurrency: number;
  timeout: number;
  maxRetries: number;
  requestsPerMinute?: number;
  tokensPerMinute?: number;
}

/** The shared options. */
export interface JudgeCliOptions extends JudgeEndpointOptions, MachineOptions, TemplateOptions {
  answerKeyEnv: string;
  answerExtra: Record<string, unknown>;
  maxNewTokens: number;
  seed: number;
  bootstrap: number;
  output?: string;
}

const judgeKeyOption = { name: "--judge-key-env", usual: "PREFTUNE_JUDGE_KEY" };
const answerKeyOption = { name: "--answer-key-env", usual: "PREFTUNE_ANSWER_KEY" };

/**
 * The key in `variable`; null where the usual one is not set.
 *
 * @throws {ConfigError} if a variable of the user's is not set. It is not shown: it may be the key itself, given by mistake
 */
function keyIn(variable: string, { name, usual }: { name: string; usual: string }): string | null {
  const key = process.env[variable] ?? null;
  if (key !== null || variable === usual) return key;
  throw new ConfigError(
    `${name}: expected the name of a variable that is set and holds the key; this one is not. Take it out to use ${usual}.`,
  );
}

/** Adds the options that say who judges and how. */
export function withJudge(command: Command, judge: Option): Command {
  const others = command.options.length;
  command.addOption(judge.argParser(endpoint));
  withJudging(command);
  const own = new Set(command.options.slice(others).map((option) => option.attributeName()));
  return command.hook("preAction", (_, called) => {
    if (called.getOptionValue(judge.attributeName()) !== undefined) return;
    const useless = givenOption(called, (name) => own.has(name));
    if (useless !== null)
      throw new ConfigError(`${useless} has no effect without --judge URL#MODEL. Give both, or take it out.`);
  });
}

function withJudging(command: Command): Command {
  return command
    .option(
      `${judgeKeyOption.name} <name>`,
      "environment variable with the judge's key",
      judgeKeyOption.usual,
    )
    .option("--judge-temperature <number>", "temperature of judgments; default: the benchmark's", atLeastZero)
    .option(
      "--judge-max-tokens <count>",
      "longest judgment in tokens; default: the benchmark's",
      wholeNumber(1),
    )
    .option(
      "--judge-extra <json>",
      "additional fields of the judge's requests; null removes one",
      jsonObject("--judge-extra", judgeKeyOption.name),
      {},
    )
    .option("--judge-price <in,out>", "price of a million input and output tokens, to report the cost", price)
    .option("--retries-without-verdict <count>", "repeat a judgment without a verdict", wholeNumber(0), 0)
    .option("--concurrency <count>", "requests to an endpoint at once", wholeNumber(1), 8)
    .option("--timeout <seconds>", "timeout of a request, at most 300", seconds, 120)
    .option(
      "--max-retries <count>",
      "retries after 429, 5xx, timeouts and malformed replies",
      wholeNumber(0),
      6,
    )
    .option("--requests-per-minute <count>", "rate limit of each endpoint", positiveNumber)
    .option("--tokens-per-minute <count>", "token rate limit of each endpoint", wholeNumber(1));
}

/** Adds the shared options, and those of the machine for local models. */
export function withJudgeOptions(command: Command, maxNewTokens = 1024): Command {
  const judge = new Option("--judge <url#model>", "OpenAI-style endpoint of the judge, and its model");
  withJudge(command, judge.makeOptionMandatory())
    .option(
      `${answerKeyOption.name} <name>`,
      "environment variable with the key of endpoints under test",
      answerKeyOption.usual,
    )
    .option(
      "--answer-extra <json>",
      "additional fields of requests to endpoints under test; null removes one",
      jsonObject("--answer-extra", answerKeyOption.name),
      {},
    )
    .option("--max-new-tokens <count>", "longest answer to generate", wholeNumber(1), maxNewTokens)
    .option("--seed <number>", "random seed of local models", wholeNumber(0), 42)
    .option("--bootstrap <rounds>", "bootstrap samples for intervals", wholeNumber(10), 1000)
    .option(
      "--output <dir>",
      "directory of answers, judgments, results and report; default: runs/COMMAND-NAME",
    );
  takeDirAsOutput(command);
  return withMachineOptions(withTemplateOptions(command, "of local models: "));
}

/** Node's fetch waits no longer than 300 s for the beginning of an answer. */
function seconds(text: string): number {
  const value = positiveNumber(text);
  if (value <= 300) return value;
  throw new InvalidArgumentError(
    "Expected at most 300 seconds. Let the judge write less: --judge-max-tokens.",
  );
}

function endpoint(text: string): { baseUrl: string; model: string } {
  try {
    return parseEndpoint(text);
  } catch (error) {
    if (error instanceof ConfigError) throw new InvalidArgumentError(error.message);
    throw error;
  }
}

/** Reads the fields that `option` gives, of an endpoint whose key `keyOption` names. */
function jsonObject(option: string, keyOption: string): (text: string) => Record<string, unknown> {
  return (text) => {
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      // The message below says what is wrong.
    }
    if (!isRecord(value)) throw new InvalidArgumentError(`Expected a JSON object such as {"seed": 1}.`);
    requireNoKey(value, option, keyOption);
    return value;
  };
}

/** Requests' fields stand in reports. What is refused is not shown: commander's own error would. */
function requireNoKey(fields: Record<string, unknown>, option: string, keyOption: string): void {
  const key = secretAmong(fields);
  if (key === undefined) return;
  throw new ConfigError(
    `${option}: "${key}" would stand in reports. Take it out, and give the key by ${keyOption}.`,
  );
}

function price(text: string): Price {
  const [prompt, completion, ...more] = text.split(",").map((part) => atLeastZero(part));
  if (prompt !== undefined && completion !== undefined && more.length === 0) return { prompt, completion };
  throw new InvalidArgumentError("Expected two prices such as 2.5,10.");
}

/**
 * The output directory: --output, or one named after the command and the models under test.
 *
 * @param named - the models that it is named after
 * @param answerers - all that are compared
 * @throws {ConfigError} if that name's has results of others: of another directory with the same name
 */
export function directoryOf(
  { output }: JudgeCliOptions,
  command: string,
  named: readonly string[],
  answerers: readonly string[] = named,
): string {
  if (output !== undefined) return output;
  const names = named.map((text) => answererName(parseAnswerer(text)));
  const dir = join("runs", inFileName([command, ...names].join("-")));
  const others = answerersIn(dir);
  if (others === null || isDeepStrictEqual(others, placesOf(answerers))) return dir;
  throw new ConfigError(
    `${join(dir, "results.json")} has the results of ${others.join(" and ")}, not of ${answerers.join(" and ")}, whose ` +
      "default directory has the same name. Name another: --output DIR",
  );
}

/** Models under test in a form that is one for each: whole paths, or an endpoint and its model. */
function placesOf(answerers: readonly string[]): string[] {
  return answerers.map((text) => (parseAnswerer(text).kind === "endpoint" ? text : resolve(text)));
}

/** Whose results a directory has; null: none, or those of a version that did not say. */
function answerersIn(dir: string): string[] | null {
  try {
    const results: unknown = JSON.parse(readFileBytes(join(dir, "results.json")).toString());
    const answerers = isRecord(results) ? results["answerers"] : null;
    return Array.isArray(answerers) ? answerers.map(String) : null;
  } catch {
    // there is none, or a damaged one, which says nothing and is written again
    return null;
  }
}

/** Who judges and how, as recipes take it. Keys come from the environment, never from the command line. */
export function judgeOf(cli: JudgeEndpointOptions): JudgeSettings {
  return {
    judge: {
      ...cli.judge,
      apiKey: keyIn(cli.judgeKeyEnv, judgeKeyOption),
      temperature: cli.judgeTemperature ?? null,
      maxTokens: cli.judgeMaxTokens ?? null,
      retriesWithoutVerdict: cli.retriesWithoutVerdict,
      extra: cli.judgeExtra,
      price: cli.judgePrice ?? null,
    },
    limits: {
      timeoutMs: 1000 * cli.timeout,
      maxRetries: cli.maxRetries,
      requestsPerMinute: cli.requestsPerMinute ?? null,
      tokensPerMinute: cli.tokensPerMinute ?? null,
    },
    concurrency: cli.concurrency,
  };
}

/** The shared options as recipes take them. */
export function judgingOf(cli: JudgeCliOptions, dir: string, phases: Phases): JudgingOptions {
  return {
    ...environmentOf(cli),
    ...judgeOf(cli),
    answerKey: keyIn(cli.answerKeyEnv, answerKeyOption),
    answerExtra: cli.answerExtra,
    bootstrapRounds: cli.bootstrap,
    maxNewTokens: cli.maxNewTokens,
    seed: cli.seed,
    ...templateOf(cli),
    dir,
    onPhase: phases.listen,
  };
}

/** Writes what judging came to, with the answerers as the user named them and `page` as the report, then prints `tables`. */
export function finishJudging(
  results: { answerers: readonly string[]; texts: readonly JudgedText[] },
  dir: string,
  page: string,
  tables: string,
): void {
  finishFirst();
  const placed = { ...results, answerers: placesOf(results.answerers) };
  const paths = writeResults(dir, placed, page);
  process.stdout.write(`${tables}\n\n${paths.join("\n")}\n`);
}

/** {@link finishJudging} for a comparison in pairs. */
export async function finishPairs(
  report: PairReport,
  answerers: readonly string[],
  dir: string,
): Promise<void> {
  const { pairPage, pairReportText } = await import("../evaluate/judge/pair-report.ts");
  finishJudging({ ...report, answerers }, dir, pairPage(report), pairReportText(report));
}
