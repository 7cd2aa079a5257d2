/**
 * The metrics of a run, `metrics.jsonl`: a JSON object per line with `global_step` and the keys of `metric-names.ts`.
 * Evaluation rows carry `eval_` keys. NaN, Infinity and -Infinity stand as bare words, as Python's `json` writes them.
 */
import { FormatError } from "../base/errors.ts";
import { JsonLinesWriter, readJsonLines } from "./json-lines.ts";

/** One row of metrics. */
export interface MetricRow {
  global_step: number;
  [key: string]: number | string | boolean | null;
}

/** Whether a key of a row measures time, memory or what an endpoint failed in, and so differs between two runs that are equal. */
export function isMeasurement(key: string): boolean {
  return /^(tokens_per_second|step_time|peak_memory_bytes|eval_runtime|eval_samples\/seconds|speed\/.*|(eval_)?rewards\/.*\/(seconds|retries))$/.test(
    key,
  );
}

/** Appends rows of metrics to a file. */
export class MetricsWriter {
  readonly #file: JsonLinesWriter;

  /** Opens `path` to append; a line torn by a crash is removed. */
  constructor(path: string) {
    this.#file = new JsonLinesWriter(path);
  }

  /** Appends one row, in one write. */
  write(row: MetricRow): void {
    this.#file.write(row);
  }

  /** Makes the rows so far safe against a power cut; called with every checkpoint. */
  sync(): void {
    this.#file.sync();
  }

  /** Syncs and closes the file. */
  close(): void {
    this.#file.close();
  }
}

/**
 * The rows of a metrics file; a torn last line is left out, a missing file has none.
 *
 * @throws {FormatError} naming file and line when a complete line is no row of metrics
 */
export function readMetrics(path: string): MetricRow[] {
  return readJsonLines(path).map(({ value, line }) => {
    if (Number.isNaN(stepOf(value))) {
      throw new FormatError(
        `${path}:${line}: expected an object with a number global_step, got another value.`,
      );
    }
    return value as MetricRow;
  });
}

/** True for rows of an evaluation. */
export function isEvalRow(row: MetricRow): boolean {
  return Object.keys(row).some((key) => key.startsWith("eval_"));
}

function stepOf(value: unknown): number {
  const step = typeof value === "object" && value !== null ? (value as MetricRow).global_step : undefined;
  return typeof step === "number" ? step : Number.NaN;
}
