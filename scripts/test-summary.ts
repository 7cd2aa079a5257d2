/** Collects what node's test runner reports and says it in few lines: one per test file, failures in full at the end. */
import { inspect } from "node:util";

/** A test that failed. */
export interface Failure {
  file: string;
  name: string;
  error: string;
}

/** Counts of one test file or of all. */
export interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

/** Outcome of one test file. */
export interface FileResult extends Counts {
  file: string;
  durationMs: number;
}

/** Everything the summary is made from. */
export interface TestRun {
  files: FileResult[];
  failures: Failure[];
  /** Reason -> how many tests were skipped for it. */
  skips: Map<string, number>;
}

/** What the runner adds to an error; the last two where the process of a file ended badly. */
export type TestError = Error & { failureType?: string; exitCode?: number; signal?: string | null };

/** The part of a `test:pass` or `test:fail` event that counts. */
export interface TestEvent {
  name: string;
  file?: string | undefined;
  nesting: number;
  skip?: string | boolean | undefined;
  todo?: string | boolean | undefined;
  details: { type?: string | undefined; duration_ms: number; error?: TestError | undefined };
}

/** A run in which nothing has happened yet. */
export function newTestRun(): TestRun {
  return { files: [], failures: [], skips: new Map() };
}

/** The result of `file` in `run`, made when it is not there. */
export function fileResult(run: TestRun, file: string): FileResult {
  const known = run.files.find((result) => result.file === file);
  if (known !== undefined) return known;
  const fresh = { file, passed: 0, failed: 0, skipped: 0, durationMs: 0 };
  run.files.push(fresh);
  return fresh;
}

function errorText(error: TestError | undefined): string {
  const { exitCode, signal } = error ?? {};
  if (typeof signal === "string") return `the process of this file was ended by ${signal}`;
  if (typeof exitCode === "number") return `the process of this file ended with status ${exitCode}`;
  const cause = error?.cause ?? error;
  if (!(cause instanceof Error)) return String(cause ?? "no reason was given");
  return inspect(cause, { depth: 3 });
}

/** A suite fails because a test in it failed, which is reported by itself. */
function isEcho(event: TestEvent): boolean {
  return event.details.error?.failureType === "subtestsFailed";
}

/** Adds a finished test to the run. Suites count only when they fail by themselves, in a hook say. */
export function addTest(run: TestRun, event: TestEvent, passed: boolean): void {
  const isSuite = event.details.type === "suite";
  if (passed ? isSuite : isEcho(event)) return;
  const result = fileResult(run, event.file ?? event.name);
  const { skip, todo } = event;
  if (skip !== undefined && skip !== false) {
    result.skipped += 1;
    const reason = typeof skip === "string" && skip !== "" ? skip : "no reason given";
    run.skips.set(reason, (run.skips.get(reason) ?? 0) + 1);
  } else if (passed) result.passed += 1;
  else if (todo === undefined || todo === false) {
    result.failed += 1;
    run.failures.push({ file: result.file, name: event.name, error: errorText(event.details.error) });
  }
}

/** Adds a file's own end. The runner reports it by itself only when the process failed or no test was in it. */
export function addFile(run: TestRun, file: string, event: TestEvent, passed: boolean): void {
  fileResult(run, file).failed += 1;
  const error = passed ? "there is no test in this file" : errorText(event.details.error);
  run.failures.push({ file, name: "the file itself", error });
}

/** The counts of all files together. */
export function totals(run: TestRun): Counts {
  const sum = (field: keyof Counts) => run.files.reduce((total, file) => total + file[field], 0);
  return { passed: sum("passed"), failed: sum("failed"), skipped: sum("skipped") };
}

/** `3 passed, 0 failed`: the closing line, always of this form. What was skipped is told above it with its reasons. */
export function countsLine(counts: Counts): string {
  return `${counts.passed} passed, ${counts.failed} failed`;
}

/** `  1.2 s  src/base/files.test.ts  12 tests` for a file that is through. */
export function fileLine(result: FileResult): string {
  const seconds = `${(result.durationMs / 1000).toFixed(1)} s`.padStart(8);
  const tests = result.passed + result.failed + result.skipped;
  const extra = [
    result.failed > 0 ? `${result.failed} FAILED` : "",
    result.skipped > 0 ? `${result.skipped} skipped` : "",
  ];
  const notes = extra.filter(Boolean).map((note) => `, ${note}`);
  return `${seconds}  ${result.file}  ${tests} ${tests === 1 ? "test" : "tests"}${notes.join("")}`;
}

function indent(text: string): string {
  return text
    .split("\n")
    .map((line) => `    ${line}`)
    .join("\n");
}

/** What stands below the lines per file: skip reasons, slowest files, failures in full, and the closing counts alone on a line. */
export function summaryText(run: TestRun): string {
  const lines: string[] = [];
  if (run.skips.size > 0) {
    lines.push("", "Skipped:", ...[...run.skips].map(([reason, count]) => `  ${count} × ${reason}`));
  }
  const slowest = run.files
    .filter((file) => file.durationMs >= 1000)
    .sort((a, b) => b.durationMs - a.durationMs);
  if (slowest.length > 1) lines.push("", "Slowest files:", ...slowest.slice(0, 10).map(fileLine));
  for (const failure of run.failures) {
    lines.push("", `FAILED ${failure.file}: ${failure.name}`, indent(failure.error));
  }
  lines.push("", countsLine(totals(run)));
  return `${lines.join("\n")}\n`;
}
