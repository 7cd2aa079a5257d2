/**
 * The reporter of `npm test`, over the events of node's test runner: a line for each file as it ends; then why tests were
 * skipped, the slowest files, the failures in full, and the counts alone on the last line.
 */
import { relative, resolve } from "node:path";
import { inspect } from "node:util";

/** What the runner adds to an error; the last two when a file's process ended badly. */
type TestError = Error & { failureType?: string; exitCode?: number | null; signal?: string | null };

/** The end of a test, of a suite, or of a file's process: what is read of node's `test:complete`. */
export interface TestEnd {
  name: string;
  file?: string;
  nesting: number;
  skip?: string | boolean;
  todo?: string | boolean;
  details: { passed: boolean; duration_ms: number; type?: string; error?: TestError };
}

/** The events that are read here; the runner sends others as well. */
export type RunnerEvent =
  | { type: "test:complete"; data: TestEnd }
  | { type: "test:stdout" | "test:stderr"; data: { message: string } }
  // of a test's `diagnostic`; the runner's own name no file
  | { type: "test:diagnostic"; data: { message: string; file?: string } };

/** Counts of one file or of all. */
interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

interface FileResult extends Counts {
  file: string;
  durationMs: number;
}

/** Everything that is printed at the end. */
interface Results {
  files: Map<string, FileResult>;
  /** File, test and error of each failure. */
  failures: string[];
  /** Reason -> how many tests were skipped for it. */
  skips: Map<string, number>;
  /** What tests report of themselves: figures, say. */
  notes: string[];
}

/** How many tests passed, failed and were skipped, reason -> how many of these, and what tests report of themselves. */
export type Outcome = Counts & Pick<Results, "skips" | "notes">;

/**
 * The outcome of all files. The lines of the run are written as its events come in.
 *
 * @param root - folder that the files are named from
 */
export async function report(
  events: AsyncIterable<RunnerEvent>,
  root: string,
  write: (text: string) => void,
): Promise<Outcome> {
  const results: Results = { files: new Map(), failures: [], skips: new Map(), notes: [] };
  for await (const { type, data } of events) {
    if (type === "test:stdout" || type === "test:stderr") write(data.message);
    if (type === "test:diagnostic" && data.file !== undefined) {
      results.notes.push(data.message);
      write(`${data.message}\n`);
    }
    if (type !== "test:complete") continue;
    const file = relative(root, data.file ?? data.name);
    const result = results.files.get(file) ?? { file, passed: 0, failed: 0, skipped: 0, durationMs: 0 };
    results.files.set(file, result);
    if (data.nesting === 0 && resolve(root, data.name) === resolve(root, file)) {
      addFile(results, result, data);
      write(`${fileLine(result)}\n`);
    } else addTest(results, result, data);
  }
  addEmptyFiles(results);
  write(summary(results));
  return { ...totals(results), skips: results.skips, notes: results.notes };
}

function fail({ failures }: Results, result: FileResult, name: string, error: string): void {
  result.failed += 1;
  failures.push(`FAILED ${result.file}: ${name}\n${error.replace(/^/gm, "    ")}`);
}

/** A suite counts only when it fails by itself, in a hook say: that a test in it failed is reported with the test. */
function addTest(results: Results, result: FileResult, { details, name, skip, todo }: TestEnd) {
  const { error } = details;
  if (details.passed ? details.type === "suite" : error?.failureType === "subtestsFailed") return;
  if (skip !== undefined && skip !== false) {
    result.skipped += 1;
    const reason = typeof skip === "string" && skip !== "" ? skip : "no reason given";
    results.skips.set(reason, (results.skips.get(reason) ?? 0) + 1);
  } else if (details.passed) result.passed += 1;
  else if (todo === undefined || todo === false) fail(results, result, name, errorText(error));
}

/** A file's process ended: badly for another reason than a test that failed, say. */
function addFile(results: Results, result: FileResult, { details }: TestEnd): void {
  result.durationMs = details.duration_ms;
  const { error } = details;
  if (!details.passed && error?.failureType !== "subtestsFailed")
    fail(results, result, "the file itself", errorText(error));
}

/** Files without a test. Known at the end alone: under load, ends of tests come after the end of their file's process. */
function addEmptyFiles(results: Results): void {
  for (const result of results.files.values()) {
    if (result.passed + result.failed + result.skipped > 0) continue;
    fail(results, result, "the file itself", "there is no test in this file");
  }
}

function errorText(error: TestError | undefined): string {
  const { exitCode, signal } = error ?? {};
  if (typeof signal === "string") return `the process of this file was ended by ${signal}`;
  if (typeof exitCode === "number") return `the process of this file ended with status ${exitCode}`;
  if (error?.failureType === "testAborted") return `this file was ended: ${error.message}`;
  const cause = error?.cause ?? error;
  return cause instanceof Error ? inspect(cause, { depth: 3 }) : String(cause ?? "no reason was given");
}

function totals({ files }: Results): Counts {
  const sum = (field: keyof Counts) => [...files.values()].reduce((total, file) => total + file[field], 0);
  return { passed: sum("passed"), failed: sum("failed"), skipped: sum("skipped") };
}

/** `     1.2 s  src/base/files.test.ts  12 tests, 1 FAILED`. */
function fileLine({ file, passed, failed, skipped, durationMs }: FileResult): string {
  const tests = passed + failed + skipped;
  const notes = `${failed > 0 ? `, ${failed} FAILED` : ""}${skipped > 0 ? `, ${skipped} skipped` : ""}`;
  const seconds = `${(durationMs / 1000).toFixed(1)} s`.padStart(8);
  return `${seconds}  ${file}  ${tests} ${tests === 1 ? "test" : "tests"}${notes}`;
}

function summary(results: Results): string {
  const skips = [...results.skips].map(([reason, count]) => `  ${count} × ${reason}`);
  const slow = [...results.files.values()].filter(({ durationMs }) => durationMs >= 1000);
  const slowest = slow.sort((a, b) => b.durationMs - a.durationMs).slice(0, 10);
  const { passed, failed } = totals(results);
  const parts = [
    ...(skips.length > 0 ? [["Skipped:", ...skips].join("\n")] : []),
    ...(slowest.length > 1 ? [["Slowest files:", ...slowest.map(fileLine)].join("\n")] : []),
    ...results.failures,
    `${passed} passed, ${failed} failed`,
  ];
  return parts.map((part) => `\n${part}\n`).join("");
}
