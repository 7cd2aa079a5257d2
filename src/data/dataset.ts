/** From sources to examples ready for training: read, understand, encode, fit to length, split, check. */
import { setImmediate as turn } from "node:timers/promises";

import { ConfigError, DataError } from "../base/errors.ts";
import { EmptyAnswerError } from "../text/source-rows.ts";
import { meaningHint } from "./column-hints.ts";
import { ColumnTally } from "./column-tally.ts";
import { encodeRows, type RowProblem, type SourceEncoder } from "./encoder.ts";
import { describeOrigin, type Example, type RawRow } from "./example.ts";
import { FindingList } from "./findings.ts";
import { fingerprintOf } from "./fingerprint.ts";
import type { LabelWeights } from "./labels.ts";
import { openSources, type ReadProgress, type WeightedSource } from "./mixing.ts";
import {
  type LengthLimit,
  lengthLimit,
  lengthWords,
  type OverflowPolicy,
  sequenceLength,
  truncateExample,
} from "./overflow.ts";
import { type LoadCounts, type PreflightReport, preflight, sharedPrompts } from "./preflight.ts";
import { withColumnsOf } from "./prompt-rows.ts";
import { rowFaults, type TokenizerFacts } from "./row-checks.ts";
import { messageKeys, rowNotes } from "./row-notes.ts";
import { requireSize, sizeOf } from "./row-size.ts";
import { type NormalRow, normaliseRow, type Task } from "./rows.ts";
import type { PassedOver } from "./sources.ts";
import { splitByPrompt } from "./split.ts";
import { goodFirst, unpaired } from "./unpair.ts";
import { MarkedBadError } from "./unpaired.ts";

/** What data to prepare, and how. */
export interface DatasetOptions {
  sources: readonly WeightedSource[];
  /** Rows for evaluation from separate files. Not together with `eval_fraction`. */
  evalSources?: readonly WeightedSource[];
  /** Fraction of rows held out, split by prompt; 0 (default) holds out none. */
  eval_fraction?: number;
  task: Task;
  encoder: SourceEncoder;
  facts: TokenizerFacts;
  /** Decides mixture draws and the held-out prompts. */
  seed: number;
  /** Tokens of prompt and longest answer; at least 8. Null (default): no limit. */
  max_length?: number | null;
  /** Tokens of the model's context, which bounds rows as well. Null (default): unknown. */
  context?: number | null;
  /** Keep the truncated tokens (`trace.uncut`), to show them. Default false. */
  keepUncut?: boolean;
  /** What happens to longer rows. Default "error". */
  overflow?: OverflowPolicy;
  /** What happens to rows with errors. Default "error". "drop" leaves them out and counts them. */
  invalid_rows?: "error" | "drop";
  /** What prompts and answers of plain strings are; see `RowOptions.strings`. Null (default): text, with a warning. */
  plain_strings?: "text" | "chat" | null;
  /** Whether pairs are split into two labelled rows; see `RowOptions.unpair`. Default false. */
  unpair?: boolean;
  /** See `RowOptions.rating_threshold`. */
  rating_threshold?: number | null;
  /** What good and bad answers count, to be compared with how many there are. Null (default): unknown. */
  labelWeights?: LabelWeights | null;
  /** Whether all rows are to be measured on, none to be trained on: then one label may be alone. Default false. */
  isMeasured?: boolean;
  /** Whether the chat template reads a key of messages that preftune knows nothing of. Default: any. */
  readsMessageKey?: (key: string) => boolean;
  /** Training rows to read at most: the first ones, or a draw when sources have weights. */
  max_train_rows?: number | null;
  /** Evaluation rows to read at most, from `evalSources`. */
  max_eval_rows?: number | null;
  /** Called after every piece of a file, also when no rows come of it, and at the end. */
  onProgress?: (progress: ReadProgress) => void;
}

/** Examples ready for training. */
export interface Dataset {
  examples: Example[];
  /** Null when no evaluation was asked for. */
  evalExamples: Example[] | null;
  report: PreflightReport;
  /** SHA-256 over all token ids and the options that made them. */
  fingerprint: string;
}

/**
 * The examples of `options.sources`. Faults of rows are in the report, all together: pass it to `assertPreflight`.
 *
 * @throws DataError when a file is missing, damaged or malformed; ConfigError when options contradict each other
 * @throws FormatError when the tokenizer or chat template cannot be used
 */
export async function prepareDataset(options: DatasetOptions): Promise<Dataset> {
  checkOptions(options);
  const loader = new Loader(options);
  let examples = await loader.load(options.sources, options.max_train_rows ?? null);
  let evalExamples: Example[] | null = null;
  if (options.evalSources !== undefined) {
    evalExamples = await loader.load(options.evalSources, options.max_eval_rows ?? null);
    evalExamples = loader.withoutShared(examples, evalExamples);
  } else if ((options.eval_fraction ?? 0) > 0) {
    const split = splitByPrompt(examples, options.eval_fraction ?? 0, options.seed);
    examples = split.train;
    evalExamples = split.evaluation;
  }
  const { findings, counts, columns } = loader;
  const report = preflight(examples, evalExamples, options.facts, {
    findings,
    counts,
    columns: columns.counts(),
    labelWeights: options.labelWeights ?? null,
    isMeasured: options.isMeasured ?? false,
  });
  const fingerprint = fingerprintOf([...examples, ...(evalExamples ?? [])], {
    train: examples.length,
    text: options.encoder.fingerprint(),
    task: options.task,
    // these names are part of the digest: others would make every saved run another one
    maxLength: counts.lengthLimit?.tokens ?? null,
    overflow: options.overflow ?? "error",
    invalidRows: options.invalid_rows ?? "error",
    evalFraction: options.eval_fraction ?? 0,
    seed: options.seed,
  });
  const rows =
    options.task === "prompt"
      ? withAllColumns(examples, evalExamples, options.evalSources !== undefined)
      : { examples, evalExamples };
  return { ...rows, report, fingerprint };
}

/** Rows for rewards with all columns of their data set; what is held out of it is of the same one. */
function withAllColumns(
  examples: Example[],
  evalExamples: Example[] | null,
  areApart: boolean,
): Pick<Dataset, "examples" | "evalExamples"> {
  const held = evalExamples ?? [];
  const all = [...examples, ...held];
  return {
    examples: withColumnsOf(areApart ? examples : all, examples),
    evalExamples: evalExamples === null ? null : withColumnsOf(areApart ? held : all, held),
  };
}

function checkOptions({
  sources,
  evalSources,
  eval_fraction = 0,
  max_length = null,
  ...others
}: DatasetOptions): void {
  if (sources.length === 0) throw new ConfigError("data: expected at least one source of rows, got none.");
  if (!(eval_fraction >= 0 && eval_fraction < 1)) {
    throw new ConfigError(`eval_fraction: expected a number from 0 to below 1, got ${eval_fraction}.`);
  }
  if (evalSources !== undefined && eval_fraction > 0) {
    throw new ConfigError(
      "eval_fraction: expected 0 where evaluation rows come from separate files. Leave one out.",
    );
  }
  if (max_length !== null && !(Number.isSafeInteger(max_length) && max_length >= 8)) {
    throw new ConfigError(`max_length: expected a whole number of at least 8, got ${max_length}.`);
  }
  for (const [name, limit] of Object.entries({
    max_train_rows: others.max_train_rows,
    max_eval_rows: others.max_eval_rows,
  })) {
    if (limit === undefined || limit === null || (Number.isSafeInteger(limit) && limit >= 1)) continue;
    throw new ConfigError(`${name}: expected a whole number of at least 1, got ${limit}.`);
  }
}

/** Rows that go to the encoder at once, and characters of them: the event loop turns in between. */
const rowsAtOnce = 64;
const charactersAtOnce = 64 * 1024;

/** Reads rows into examples and keeps account of those that give none. */
class Loader {
  readonly findings: FindingList = new FindingList();
  readonly columns: ColumnTally = new ColumnTally();
  readonly counts: LoadCounts;
  readonly #options: DatasetOptions;

  constructor(options: DatasetOptions) {
    this.#options = options;
    const limit = lengthLimit(options.max_length ?? null, options.context ?? null);
    this.counts = { read: 0, dropped: {}, notDrawn: 0, stoppedAtMaxRows: false, lengthLimit: limit };
  }

  async load(sources: readonly WeightedSource[], maxRows: number | null): Promise<Example[]> {
    const { onProgress, seed } = this.#options;
    const examples: Example[] = [];
    let batch: NormalRow[] = [];
    let characters = 0;
    const take = (example: Example | null) => {
      if (example !== null) examples.push(example);
    };
    const flush = async (): Promise<void> => {
      for (const result of await encodeRows(batch, this.#options.encoder)) {
        if ("code" in result) this.#reject(result);
        else for (const answer of this.#answersOf(result)) take(this.#accept(answer));
      }
      batch = [];
      characters = 0;
      await turn();
    };
    const names = { file_passed_over: new Set<string>(), variants_together: new Set<string>() };
    const onPassedOver: PassedOver = (name, code) => void names[code].add(name);
    const mix = {
      maxRows,
      seed,
      counts: this.counts,
      onPassedOver,
      ...(onProgress === undefined ? {} : { onRead: onProgress }),
    };
    for await (const { row, source } of openSources(sources, mix)) {
      const normal = this.#normalise(row, source);
      if (normal === null) continue;
      batch.push(normal);
      characters += sizeOf(normal.source ?? normal.tokens);
      if (batch.length === rowsAtOnce || characters >= charactersAtOnce) await flush();
    }
    await flush();
    for (const code of ["file_passed_over", "variants_together"] as const) {
      const { size } = names[code];
      if (size > 0) this.findings.addOverall(code, "warning", size, `: ${[...names[code]].join(", ")}`);
    }
    return this.#unpairs ? goodFirst(examples) : examples;
  }

  get #unpairs(): boolean {
    return this.#options.task === "labelled" && this.#options.unpair === true;
  }

  /** The rows that an encoded row makes. */
  #answersOf(example: Example): Example[] {
    return this.#unpairs ? unpaired(example) : [example];
  }

  /** `evaluation`, less the rows whose prompt is trained on where faulty rows are to be dropped. */
  withoutShared(train: readonly Example[], evaluation: Example[]): Example[] {
    if (this.#options.invalid_rows !== "drop") return evaluation;
    const shared = new Set(sharedPrompts(train, evaluation));
    for (const { origin } of shared) {
      this.#drop({ origin, code: "prompt_in_both_splits", message: "" });
    }
    return evaluation.filter((example) => !shared.has(example));
  }

  #normalise(row: RawRow, source: WeightedSource): NormalRow | null {
    const { task, plain_strings = null, unpair = false, rating_threshold = null } = this.#options;
    try {
      requireSize(row);
      const strings = plain_strings === null ? {} : { strings: plain_strings };
      const how = { unpair, rating_threshold, mayTakeText: true, ...strings };
      const normal = normaliseRow(row, { ...how, ...source, task });
      this.#note(row, normal);
      return normal;
    } catch (error) {
      if (!(error instanceof DataError)) throw error;
      if (task === "sft" && error instanceof MarkedBadError) {
        return this.#drop({ origin: row.origin, code: "marked_bad", message: "" });
      }
      const code = error instanceof EmptyAnswerError ? "empty_answer" : "invalid_row";
      this.#reject({ origin: row.origin, code, message: error.message });
      return null;
    }
  }

  /** What of the row was read, and what a user may have meant otherwise. */
  #note(row: RawRow, { origin, source, columns }: NormalRow): void {
    const { facts, plain_strings = null, task } = this.#options;
    this.columns.add(columns);
    for (const column of columns.doubtful) {
      const hint = meaningHint(column, columns.used);
      this.findings.addAbout(column, "column_passed_over", "warning", { origin, hint });
    }
    const { readsMessageKey = () => true } = this.#options;
    for (const key of messageKeys(source).filter((key) => !readsMessageKey(key))) {
      this.findings.addAbout(key, "message_key_unread", "warning", { origin, hint: "" });
    }
    const isTextDoubtful = plain_strings === null && (facts.hasChatTemplate ?? false);
    for (const code of rowNotes(row, source, { task, isTextDoubtful }))
      this.findings.add(code, "warning", origin);
  }

  /** The example as it will be used, or null. */
  #accept(example: Example): Example | null {
    const { facts, invalid_rows, task } = this.#options;
    const fitted = task === "prompt" ? this.#fitPrompt(example) : this.#fit(example);
    if (fitted === null) return null;
    const [fault] = invalid_rows === "drop" ? rowFaults(fitted, facts) : [];
    return fault === undefined ? fitted : this.#drop({ origin: example.origin, code: fault, message: "" });
  }

  /** `example` within the longest length, or null. */
  #fit(example: Example): Example | null {
    const { overflow = "error" } = this.#options;
    const problem = this.#tooLong(example);
    if (problem === null) return example;
    if (overflow === "drop") return this.#drop(problem);
    if (overflow === "error") return this.#fail(problem);
    if (problem.code === "longer_than_context") this.#warn(problem);
    return this.#cut(example);
  }

  /** A prompt within the longest length, whatever its good completion is; that one too, or left out. */
  #fitPrompt(example: Example): Example | null {
    const { completions, sampledPromptIds, ...rest } = example;
    const alone = this.#fit({ ...rest, promptIds: sampledPromptIds ?? rest.promptIds, completions: [] });
    if (alone === null || completions.length === 0) return alone;
    const problem = this.#tooLong(example);
    if (problem !== null && this.#options.overflow !== "truncate") {
      this.findings.add(
        "good_completion_too_long",
        "warning",
        example.origin,
        ` (first: ${problem.message})`,
      );
      return alone;
    }
    const pair = problem === null ? example : this.#cut(example);
    return pair.promptIds === alone.promptIds ? pair : { ...pair, sampledPromptIds: alone.promptIds };
  }

  #cut(example: Example): Example {
    const { facts, keepUncut = false } = this.#options;
    const limit = this.counts.lengthLimit?.tokens ?? Number.POSITIVE_INFINITY;
    const cut = truncateExample(example, limit, facts.bosTokenId);
    return keepUncut ? { ...cut, trace: { ...cut.trace, uncut: example } } : cut;
  }

  #tooLong(example: Example): RowProblem | null {
    const limit = this.counts.lengthLimit;
    return limit !== null && sequenceLength(example) > limit.tokens ? tooLong(example, limit) : null;
  }

  #reject(problem: RowProblem): null {
    return this.#options.invalid_rows === "drop" ? this.#drop(problem) : this.#fail(problem);
  }

  #fail({ code, origin, message }: RowProblem): null {
    this.findings.add(code, "error", origin, ` (first: ${message})`);
    return null;
  }

  #warn({ code, origin, message }: RowProblem): void {
    this.findings.add(code, "warning", origin, `; cut (first: ${message})`);
  }

  #drop({ code, origin, message }: RowProblem): null {
    const detail = message === "" ? "; dropped" : `; dropped (first: ${message})`;
    this.findings.addDropped(code, origin, detail);
    this.counts.dropped[code] = (this.counts.dropped[code] ?? 0) + 1;
    return null;
  }
}

function tooLong(example: Example, limit: LengthLimit): RowProblem {
  const { origin } = example;
  const message = `${describeOrigin(origin)} has ${lengthWords(sequenceLength(example), limit)}`;
  return { origin, code: limit.by === "context" ? "longer_than_context" : "too_long", message };
}
