/**
 * The table of docs/reliability.md: each promise with the figures that the nightly run last printed for it. The result of each
 * file that was last taken is kept in docs/reliability.json, so that a file that was not run again keeps its figures, with the commit
 * that they are of.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type CampaignResult, type Figure, nameOf, readResult, withSkips } from "./campaign-results.ts";
import { findNightlyTests } from "./test-files.ts";
import { table } from "./write-docs.ts";

/** The promises, in the order of their numbers from 1 on. */
export const PROMISES: readonly string[] = [
  "Two runs of one configuration are equal bit for bit",
  "A run stopped at any step and resumed ends as one that was left alone, bit for bit",
  "So does one resumed twice or moved; cut into other micro-batches it ends within 1e-6",
  "SIGKILL at any moment loses at most the work since the last checkpoint",
  "Any system call may fail: what was there stays good, and the error names the path",
  "A full disk loses nothing, and the run continues when there is room",
  "So does a power cut: what was not synced may be lost or torn",
  "A flipped bit, a cut or a missing file in a run directory is seen",
  "Old checkpoints are removed, never the last good one",
  "NaN and infinite numbers change no weight, and stop a run after five in a row",
  "A spike of the loss or the gradient can be skipped, clean steps are not",
  "Losses are those of float64",
  "Padding, order, packing, shared prompts and chunks change no number",
  "What equal bits cost",
  "Long runs and long service hold their memory",
  "A crashed or hanging process is started again",
  "Signals stop a run with a checkpoint",
  "No file and no request crashes a parser, hangs it or eats the memory",
  "Hostile files are refused in words, in memory bounded by their size",
  "Without the key no door opens but /health",
  "No page of another site reaches the server",
  "Every number and size of a request has a limit",
  "Slow, silent and vanished clients hold up nobody",
  "A chat template cannot hang or fill the process that renders it",
  "Few packages, none that runs scripts, all with known licences",
  "What is held in fewer bits trains as float32 does",
  "A scale that is picked is the best one, and labels that are noise keep the start",
];

/** What the nightly run takes to run `file`: the part of its path that says which it is. */
function filterOf(file: string): string {
  return file.startsWith("test/campaign/")
    ? nameOf(file).replace(".alone", "")
    : file.replace(/\.test\.ts$/, "");
}

/** The figures of a row, then what their tests ask less; each with the commit that it is of, unless `isOfOne`. */
function cell(results: readonly CampaignResult[], isOfOne: boolean): string {
  const textOf = ({ what, reached, goal, held }: Figure, commit: string) =>
    `${what}: **${reached}** (goal: ${goal}${held ? "" : ", not reached"}${isOfOne ? "" : `; at ${commit}`})`;
  const lessOf = ({ less }: Figure, commit: string) =>
    less === undefined ? [] : [`Less than the first goal${isOfOne ? "" : ` at ${commit}`}: ${less}.`];
  const ofEach = <T>(show: (figure: Figure, commit: string) => T) =>
    results.flatMap(({ figures, commit }) => figures.map((figure) => show(figure, commit)));
  return [...ofEach(textOf), ...new Set(ofEach(lessOf).flat())].join("<br>");
}

function rowOf(promise: string, row: number, results: readonly CampaignResult[]): string[] {
  const own = results
    .map((result) => ({ ...result, figures: result.figures.filter((figure) => figure.row === row) }))
    .filter(({ figures }) => figures.length > 0);
  const names = own.map(({ file }) => filterOf(file));
  const command = names.length === 0 ? "" : `\`npm run test:nightly -- ${names.join(" ")}\``;
  const dates = [...new Set(own.map(({ date, commit }) => `${date}, ${commit}`))];
  const figures = cell(own, new Set(own.map(({ commit }) => commit)).size === 1) || "not measured";
  return [String(row), promise, figures, command, dates.join("<br>")];
}

/** The table, from results of the nightly run. */
export function reliabilityTable(results: readonly CampaignResult[]): string {
  const rows = PROMISES.map((promise, index) => rowOf(promise, index + 1, results));
  return table(["", "Promise", "Figures reached", "Command", "Date, commit"], rows);
}

/** The processors, and what the table does not show. */
function remarks(results: readonly CampaignResult[], files: readonly string[]): string {
  const processors = [...new Set(results.map(({ processor }) => processor))].join("; ");
  const ended = (status: CampaignResult["status"]) =>
    results
      .filter((result) => result.status === status)
      .map((result) => withSkips(filterOf(result.file), result));
  const notRun = files.filter((file) => !results.some((result) => result.file === file)).map(filterOf);
  const list = (what: string, names: string[]) =>
    names.length === 0 ? [] : [`${what}: ${names.join(", ")}.`];
  return [
    `Measured on ${processors}.`,
    ...list("Failed when last run", ended("failed")),
    ...list("Skipped", ended("skipped")),
    ...list("Skipped in part", ended("skipped in part")),
    ...list("Not run yet", notRun),
  ].join("\n\n");
}

/** What docs/reliability.md has between its marks: the table, and what it does not show of `files`, which the nightly run takes. */
export function figuresText(results: readonly CampaignResult[], files: readonly string[]): string {
  return `\n${reliabilityTable(results)}\n\n${remarks(results, files)}\n\n`;
}

/** Where {@link figuresText} stands in docs/reliability.md. */
export const figuresPlace: RegExp = /(?<=<!-- figures -->\n)[\s\S]*?(?=<!-- end -->)/;

/** Writes the table of docs/reliability.md from docs/reliability.json, and takes out of both what files had that are no longer there. */
export function writeReliability(root: string): void {
  write(root, publishedIn(root));
}

/**
 * Takes the results in `folder` into docs/reliability.json and the table: a newer one in place of an older one, but none of a checkout
 * with changes over one of a commit, and no skipped file over one that ran.
 *
 * @param asked - files whose results are taken whatever they are, and no others; empty for all files by these rules
 * @returns a line for each result that was left, with the reason
 */
export function takeResults(root: string, folder: string, asked: readonly string[] = []): string[] {
  const results = new Map(publishedIn(root).map((result) => [result.file, result]));
  const left: string[] = [];
  const isAsked = asked.length > 0;
  for (const file of isAsked ? asked : findNightlyTests(root, [])) {
    const here = readResult(folder, file);
    const before = results.get(file);
    const reason = here === null || before === undefined || isAsked ? null : reasonAgainst(here, before);
    if (here !== null && reason === null) results.set(file, here);
    else if (reason !== null || isAsked) left.push(`${nameOf(file)}: ${reason ?? "not run here"}`);
  }
  write(root, [...results.values()]);
  return left;
}

/** Why `here` is not to replace what is published; null where it is, or where both are the same. */
function reasonAgainst(here: CampaignResult, before: CampaignResult): string | null {
  const isOfCommit = ({ commit }: CampaignResult) => !commit.endsWith("+") && commit !== "unknown";
  if (here.date < before.date) return `of ${here.date}, the published one is of ${before.date}`;
  if (!isOfCommit(here) && isOfCommit(before)) return `of a checkout with changes (${here.commit})`;
  if (here.status === "skipped" && before.status !== "skipped") return "skipped, the published one ran";
  return null;
}

/** `files`, those that took longest in the published results first, so that none runs on alone; before them those without a result. */
export function longestFirst(root: string, files: readonly string[]): string[] {
  const seconds = new Map(publishedIn(root).map((result) => [result.file, result.seconds]));
  const secondsOf = (file: string) => seconds.get(file) ?? Number.MAX_VALUE;
  return files.toSorted((a, b) => secondsOf(b) - secondsOf(a));
}

function publishedIn(root: string): CampaignResult[] {
  const path = join(root, "docs", "reliability.json");
  return existsSync(path) ? (JSON.parse(readFileSync(path, "utf8")) as CampaignResult[]) : [];
}

function write(root: string, published: readonly CampaignResult[]): void {
  const files = findNightlyTests(root, []);
  const results = files.flatMap((file) => published.find((result) => result.file === file) ?? []);
  const path = join(root, "docs", "reliability.md");
  const text = readFileSync(path, "utf8");
  if (!figuresPlace.test(text))
    throw new Error(`${path}: expected "<!-- figures -->" and "<!-- end -->", found none`);
  writeFileSync(join(root, "docs", "reliability.json"), `${JSON.stringify(results, null, 2)}\n`);
  writeFileSync(
    path,
    text.replace(figuresPlace, () => figuresText(results, files)),
  );
}
