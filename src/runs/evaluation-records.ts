/**
 * What a run's evaluations give besides metrics, `evaluations.jsonl`: a JSON object per evaluation, from which the report
 * draws how the pairs moved, how likely rejected tokens are, and what the model answers.
 */
import { FormatError } from "../base/errors.ts";
import { JsonLinesWriter, readJsonLines } from "./json-lines.ts";

/** Counts of log-probabilities: bin i holds those from −width·(i+1) up to −width·i, the last one also all below. */
export interface LogProbHistogram {
  /** Nats. */
  width: number;
  counts: number[];
}

/** An answer that was sampled at an evaluation. */
export interface RecordedAnswer {
  text: string;
  /** False when it was cut at the length limit. */
  ended: boolean;
  /** What it was given, in an on-policy run; null: it could not be scored. */
  reward?: number | null;
}

/** A held-out row: `file:line`, and the first 16 digits of the SHA-256 of its tokens, by which runs match it. */
export type RecordedRow = [place: string, key: string];

/** A token that became less likely, with the text around it. */
export interface RecordedToken {
  /** `file:line` */
  row: string;
  before: string;
  token: string;
  after: string;
  /** Change of its log-prob since the start, and the log-prob as it is now, nats. */
  change: number;
  logp: number;
}

/** Pairs whose change is recorded at most. */
export const mostPairs = 500;

/** One evaluation. */
export interface EvaluationRecord {
  global_step: number;
  /** Log-probs of rejected tokens; null for runs without rejected answers. */
  rejected_logps: LogProbHistogram | null;
  /** Change of [chosen, rejected] mean log-prob per token since the start, nats; of some of the pairs. */
  pair_changes: [number, number][];
  /** Which rows these are, in the same order. Not in runs of earlier versions. */
  pair_rows?: RecordedRow[];
  /** Chosen − rejected mean log-prob per token of the same pairs as they are now, nats. */
  pair_margins?: number[];
  /** Which prompt each of them answers, a number: pairs of one prompt are no independent draws. Not in runs of earlier versions. */
  pair_prompts?: number[];
  /** How many more of these pairs have a change that is no finite number; left out where none has. */
  pairs_not_finite?: number;
  /** The tokens of chosen answers that lost most since the start, worst first, one of an answer. Not in runs of earlier versions. */
  fallen_tokens?: RecordedToken[];
  /** What text the change of other text is of. */
  other_text?: string;
  /** The step from which on it was measured. */
  other_text_start?: number;
  /** The step from which on gold is of these reward functions, and the one from which on samples are of these prompts. */
  gold_start?: number;
  watch_start?: number;
  /** The watched prompts and the answers to each; empty without a watch. */
  samples: { prompt: string; answers: RecordedAnswer[] }[];
  /**
   * Of an on-policy run: for each held-out prompt the mean over its completions, by metric: reward, gold (where there is one),
   * kl_init, entropy, distinct, length; and chosen_delta, by how much the good completion's mean log-prob moved since the start.
   */
  prompts?: Readonly<Record<string, readonly number[]>>;
}

/** Appends `record` to the file at `path`. */
export function appendEvaluation(path: string, record: EvaluationRecord): void {
  const file = new JsonLinesWriter(path);
  try {
    file.write(record);
  } finally {
    file.close();
  }
}

/**
 * The evaluations in a file; none when it does not exist.
 *
 * @throws {FormatError} naming file and line when a complete line is no such record
 */
export function readEvaluations(path: string): EvaluationRecord[] {
  return readJsonLines(path).map(({ value, line }) => {
    if (isRecord(value)) return value;
    throw new FormatError(
      `${path}:${line}: expected an evaluation with global_step, pair_changes and samples, got another value. The file was changed or damaged.`,
    );
  });
}

function isRecord(value: unknown): value is EvaluationRecord {
  if (typeof value !== "object" || value === null) return false;
  const {
    global_step: step,
    pair_changes: changes,
    pair_rows: rows = [],
    pair_margins: margins = [],
    pair_prompts: prompts = [],
    fallen_tokens: fallen = [],
    samples,
    rejected_logps: logps,
  } = value as EvaluationRecord;
  return (
    typeof step === "number" &&
    isListOf(rows, (row) => isListOf(row, (x) => typeof x === "string")) &&
    [margins, prompts].every((list) => isListOf(list, (x) => typeof x === "number")) &&
    isListOf(fallen, isToken) &&
    isListOf(
      changes,
      (pair) => isListOf(pair, (x) => typeof x === "number") && (pair as number[]).length === 2,
    ) &&
    (logps === null ||
      (typeof logps?.width === "number" && isListOf(logps.counts, (x) => typeof x === "number"))) &&
    isListOf(samples, isSample)
  );
}

function isToken(value: unknown): boolean {
  const { row, before, token, after, change, logp } = (value ?? {}) as RecordedToken;
  const isText = [row, before, token, after].every((text) => typeof text === "string");
  return isText && typeof change === "number" && typeof logp === "number";
}

function isSample(value: unknown): boolean {
  const { prompt, answers } = (value ?? {}) as EvaluationRecord["samples"][number];
  return (
    typeof prompt === "string" &&
    isListOf(answers, (answer) => typeof (answer as RecordedAnswer | null)?.text === "string")
  );
}

function isListOf(value: unknown, test: (part: unknown) => boolean): boolean {
  return Array.isArray(value) && value.every(test);
}
