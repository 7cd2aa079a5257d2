/**
 * `npm run test:nightly [-- FILTER ... --jobs N --again --list]`: every test that has a longer form than in `npm test`, in full:
 * the campaign of test/campaign, with a line for each figure, and others (families, GGUF, the package's tarball). Files that passed
 * on this commit are not run again (`--again`: they are), so a run that was stopped continues where it was. A file passed when all of
 * its tests did; one with tests that were skipped is reported with the reasons, and run again next time. Files named `*.alone.test.ts` measure times and run
 * with nothing beside them. Logs and results are kept in .preftune/nightly. `--take-results` takes the last
 * ones into docs/reliability.json and docs/reliability.md (an older one, or one of changed files, only when it is named);
 * `--write-docs` writes the page from that file. Both run nothing.
 */
import { execFileSync } from "node:child_process";
import { createWriteStream, mkdirSync, rmSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { run } from "node:test";
import { parseArgs } from "node:util";
import {
  type CampaignResult,
  endOf,
  isDone,
  nameOf,
  readFigures,
  readResult,
  resultLines,
  writeResult,
} from "./campaign-results.ts";
import { longestFirst, takeResults, writeReliability } from "./reliability-table.ts";
import { findNightlyTests } from "./test-files.ts";
import { report } from "./test-reporter.ts";

const root = join(import.meta.dirname, "..");
const folder = join(root, ".preftune", "nightly");

/** No file of the campaign may take longer than this, in minutes; those that repeat many trainings, or build an image, may take three hours. */
const limitMinutes = 60;
const longLimitMinutes = 180;

function isLong(file: string): boolean {
  const isLongCampaign = /^(under-load|ranks-storm|faults-round|faults-rollouts|signals-node.*|container)$/;
  return isLongCampaign.test(nameOf(file)) || !file.startsWith("test/campaign/");
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    jobs: { type: "string", default: "2" },
    again: { type: "boolean", default: false },
    list: { type: "boolean", default: false },
    "take-results": { type: "boolean", default: false },
    "write-docs": { type: "boolean", default: false },
  },
});

function git(...args: string[]): string {
  return execFileSync("git", args, { cwd: root, encoding: "utf8" }).trim();
}

/** The commit of this checkout; a + where it differs from that in more than documents. */
function commitName(): string {
  try {
    const changed = git("status", "--porcelain", "--", ".", ":!docs", ":!*.md");
    return `${git("rev-parse", "--short=10", "HEAD")}${changed === "" ? "" : "+"}`;
  } catch {
    return "unknown";
  }
}

/** Whether nothing but documents differs between the commit of a result and this one. */
function isSameCode(from: string, to: string): boolean {
  if (from.endsWith("+") || to.endsWith("+") || from === "unknown") return false;
  if (from === to) return true;
  try {
    return git("diff", "--name-only", from, to, "--", ".", ":!docs", ":!*.md") === "";
  } catch {
    return false;
  }
}

const stop = new AbortController();

/** Runs one file in a separate process, its output into a log. */
async function runFile(file: string, commit: string): Promise<CampaignResult> {
  const name = nameOf(file);
  const figures = join(folder, `${name}.figures`);
  rmSync(figures, { force: true });
  const began = performance.now();
  const log = createWriteStream(join(folder, `${name}.log`));
  const minutes = isLong(file) ? longLimitMinutes : limitMinutes;
  const events = run({
    files: [join(root, file)],
    cwd: root,
    env: { ...process.env, PREFTUNE_NIGHTLY: "1", PREFTUNE_FIGURES: figures, PREFTUNE_COMMIT: commit },
    signal: AbortSignal.any([stop.signal, AbortSignal.timeout(minutes * 60_000)]),
  });
  const outcome = await report(events, root, (text) => log.write(text));
  log.end();
  return {
    file,
    ...endOf(outcome),
    seconds: (performance.now() - began) / 1000,
    date: new Date().toISOString().slice(0, 10),
    commit,
    processor: `${cpus()[0]?.model ?? "unknown"}, ${cpus().length} cores`,
    figures: readFigures(figures),
  };
}

function tell(result: CampaignResult): void {
  process.stdout.write(`${resultLines(result).join("\n")}\n`);
  if (result.status === "failed")
    process.stdout.write(`        log: .preftune/nightly/${nameOf(result.file)}.log\n`);
}

/** Works through `files`, `jobs` at a time. */
async function runAll(files: string[], jobs: number, commit: string): Promise<CampaignResult[]> {
  const results: CampaignResult[] = [];
  const queue = [...files];
  const worker = async (): Promise<void> => {
    for (let file = queue.shift(); file !== undefined && !stop.signal.aborted; file = queue.shift()) {
      process.stdout.write(`        ${nameOf(file)} begins, ${queue.length} to follow\n`);
      const result = await runFile(file, commit);
      if (stop.signal.aborted) return;
      writeResult(folder, result);
      results.push(result);
      tell(result);
    }
  };
  await Promise.all(Array.from({ length: jobs }, worker));
  return results;
}

async function main(): Promise<number> {
  if (values["write-docs"]) {
    writeReliability(root);
    return 0;
  }
  const files = findNightlyTests(root, positionals);
  if (files.length === 0) {
    process.stderr.write(
      `expected tests with a nightly form whose path contains ${positionals.join(" or ")}, found none\n`,
    );
    return 2;
  }
  if (values["take-results"]) {
    const left = takeResults(root, folder, positionals.length === 0 ? [] : files);
    for (const line of left) process.stdout.write(`not taken: ${line}\n`);
    if (left.length > 0 && positionals.length === 0)
      process.stdout.write("--take-results NAME takes one of these all the same\n");
    return 0;
  }
  if (values.list) {
    process.stdout.write(`${files.join("\n")}\n`);
    return 0;
  }
  return runDue(files);
}

/** Runs those of `files` that are not done, and gives the exit status. */
async function runDue(files: readonly string[]): Promise<number> {
  mkdirSync(folder, { recursive: true });
  const commit = commitName();
  const kept = files
    .map((file) => readResult(folder, file))
    .filter((result) => result !== null)
    .filter((result) => !values.again && isDone(result) && isSameCode(result.commit, commit));
  for (const result of kept) tell(result);
  const due = longestFirst(
    root,
    files.filter((file) => !kept.some((result) => result.file === file)),
  );
  const alone = (file: string) => file.endsWith(".alone.test.ts");
  process.stdout.write(`${files.length} files, ${kept.length} of them done before on this code\n`);
  const jobs = Math.max(1, Number(values.jobs) || 1);
  const results = [
    ...kept,
    ...(await runAll(due.filter(alone), 1, commit)),
    ...(await runAll(
      due.filter((file) => !alone(file)),
      jobs,
      commit,
    )),
  ];
  const count = (status: CampaignResult["status"]) =>
    results.filter((result) => result.status === status).length;
  const [skipped, inPart] = [count("skipped"), count("skipped in part")];
  if (skipped + inPart > 0)
    process.stdout.write(`${skipped} files skipped, ${inPart} more in part, for the reasons above\n`);
  process.stdout.write(`${count("passed")} passed, ${count("failed")} failed\n`);
  return stop.signal.aborted ? 130 : count("failed") === 0 ? 0 : 1;
}

for (const name of ["SIGINT", "SIGTERM", "SIGHUP"]) {
  process.once(name, () => {
    stop.abort();
    process.stdout.write("stopped; npm run test:nightly continues with the files that are not done\n");
  });
}
// as in `npm test`: several processes on few cores
process.env["OMP_NUM_THREADS"] ??= "1";
process.env["MKL_NUM_THREADS"] ??= "1";
process.exitCode = await main();
