/** The judge of a command, with its judgments kept, counted and priced. */
import { join } from "node:path";
import { EndpointError } from "../../base/errors.ts";
import type { PhaseListener } from "../../base/phase-listener.ts";
import { lockOutput } from "../../runs/run-lock.ts";
import { oneLine } from "../../terminal/text-table.ts";
import { Endpoint, type EndpointOptions } from "../endpoint/endpoint.ts";
import type { OptionNames } from "../endpoint/refusals.ts";
import { Judge, type JudgeReport } from "./judge.ts";
import { JudgmentStore } from "./judgment-store.ts";

/** Prices of a judge, in the user's currency for a million tokens. */
export interface Price {
  prompt: number;
  completion: number;
}

/** A judge and its settings. */
export interface JudgeSettings {
  judge: {
    baseUrl: string;
    model: string;
    apiKey: string | null;
    /** Null: what the benchmark asks for. */
    temperature: number | null;
    /** Longest judgment; null: what the benchmark asks for. */
    maxTokens: number | null;
    retriesWithoutVerdict: number;
    /** Further fields of requests. */
    extra: Readonly<Record<string, unknown>>;
    price: Price | null;
  };
  /** Limits, for each endpoint. */
  limits: Pick<EndpointOptions, "timeoutMs" | "maxRetries" | "requestsPerMinute" | "tokensPerMinute">;
  /** Judgments asked for at once. */
  concurrency: number;
  /** What the user calls the settings above, for messages; left out: the commands' options. */
  optionNames?: OptionNames;
}

/** An open judge; disposing of it closes its store. */
export interface Judging extends Disposable {
  judge: Judge;
  report: () => JudgeReport;
  /** Reports how many judgments are done. */
  onJudged: (done: number, total: number) => void;
}

/** Default settings of a judge: MT-Bench's. */
const defaults = { temperature: 0, maxTokens: 2048 };

const commandNames: OptionNames = { extra: "--judge-extra", maxTokens: "--judge-max-tokens" };

/**
 * Opens the judge, with the judgments kept in `dir/judgments.sqlite`.
 *
 * @param benchmark - settings of the benchmark
 * @throws {ConfigError} if its address cannot be used
 * @throws {FileError} if judgments cannot be kept
 * @throws {RunLockedError} if another process has opened it
 */
export function openJudging(
  options: JudgeSettings & { dir: string; onPhase?: PhaseListener },
  benchmark: typeof defaults = defaults,
): Judging {
  const { judge: settings, limits, dir, optionNames = commandNames } = options;
  const { baseUrl, model, apiKey, extra, retriesWithoutVerdict, price } = settings;
  const temperature = settings.temperature ?? benchmark.temperature;
  const maxTokens = settings.maxTokens ?? benchmark.maxTokens;
  const endpoint = new Endpoint({ baseUrl, model, apiKey, extra, ...limits });
  // two at once would ask, and pay for, the same twice
  const lock = lockOutput(join(dir, "judgments.lock"));
  const store = storeIn(dir, lock);
  const judge = new Judge({
    ...{ endpoint, store, temperature, maxTokens, retriesWithoutVerdict, optionNames },
  });
  const cost = (): number | null => {
    if (price === null || endpoint.spent.uncounted > 0) return null;
    const { promptTokens, completionTokens } = endpoint.spent;
    return (promptTokens * price.prompt + completionTokens * price.completion) / 1e6;
  };
  return {
    judge,
    report: () => ({
      model,
      endpoint: endpoint.baseUrl,
      temperature,
      maxTokens,
      ...judge.counts,
      cost: cost(),
    }),
    onJudged: (done, total) => {
      const spent = cost();
      const least = endpoint.spent.unanswered > 0 ? "at least " : "";
      const note = spent === null || spent === 0 ? "" : `cost ${least}${spent.toPrecision(3)}`;
      options.onPhase?.("judgments", done, total, note);
    },
    [Symbol.dispose]() {
      store.close();
      lock[Symbol.dispose]();
    },
  };
}

function storeIn(dir: string, lock: Disposable): JudgmentStore {
  try {
    return new JudgmentStore(join(dir, "judgments.sqlite"));
  } catch (error) {
    lock[Symbol.dispose]();
    throw error;
  }
}

/**
 * @throws {EndpointError} when no judgment has a verdict: statistics of no verdicts mean nothing
 */
export function requireVerdicts(
  verdicts: number,
  { judgments, unparsable, refused, firstRefusal, firstUnparsable, endpoint }: JudgeReport,
): void {
  if (verdicts > 0) return;
  const refusal = firstRefusal === null ? "" : ` The first refusal: ${firstRefusal}`;
  const answer =
    firstUnparsable === null ? "" : ` The first answer without a verdict: "${oneLine(firstUnparsable, 300)}"`;
  const remedy =
    unparsable === 0
      ? ""
      : " Choose a judge that follows its prompt; all its answers are in judgments.sqlite.";
  throw new EndpointError(
    `${endpoint}: expected verdicts, got none in ${judgments} judgments: ${unparsable} answers could not be read as one, ` +
      `${refused} requests were refused.${refusal}${answer}${remedy}`,
    null,
  );
}
