/**
 * The table of docs/reliability.md: each promise with the figures that the nightly run last printed for it. The last result
 * of each file of the campaign is kept in docs/reliability.json, so that a file that was not run again keeps its figures, with
 * the commit that they are of.
 */
import { existsSync, globSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type CampaignResult, type Figure, nameOf, readResult } from "./campaign-results.ts";
import { table } from "./write-docs.ts";

/** The promises, in the order of their numbers from 1 on. */
export const PROMISES: readonly string[] = [
  "Two runs of one configuration are equal bit for bit",
  "A run stopped at any step and resumed ends as one that was left alone, bit for bit",
  "So does one resumed twice, moved, or cut into other micro-batches",
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
  "Hostile files are refused in words before anything is allocated",
  "Without the key no door opens but /health",
  "No page of another site reaches the server",
  "Every number and size of a request has a limit",
  "Slow, silent and vanished clients hold up nobody",
  "A chat template cannot hang or fill the process that renders it",
  "Few packages, none that runs scripts, all with known licences",
  "What is held in fewer bits trains as float32 does",
  "A scale that is picked is the best one, and labels that are noise keep the start",
];

/** The last result of each file that is still there: those in `folder`, else those of docs/reliability.json. */
function lastResults(root: string, folder: string): CampaignResult[] {
  const kept = join(root, "docs", "reliability.json");
  const before = existsSync(kept) ? (JSON.parse(readFileSync(kept, "utf8")) as CampaignResult[]) : [];
  return globSync("test/campaign/*.test.ts", { cwd: root })
    .sort()
    .map((file) => readResult(folder, file) ?? before.find((result) => result.file === file))
    .filter((result) => result !== undefined);
}

function cell(figures: readonly Figure[]): string {
  const text = figures.map(
    ({ what, reached, goal, held }) =>
      `${what}: **${reached}** (goal: ${goal}${held ? "" : ", not reached"})`,
  );
  return text.join("<br>");
}

function rowOf(promise: string, row: number, results: readonly CampaignResult[]): string[] {
  const own = results
    .map((result) => ({ ...result, figures: result.figures.filter((figure) => figure.row === row) }))
    .filter(({ figures }) => figures.length > 0);
  const names = own.map(({ file }) => nameOf(file).replace(".alone", ""));
  const command = names.length === 0 ? "" : `\`npm run test:nightly -- ${names.join(" ")}\``;
  const dates = own.map(({ date, commit }) => `${date}, ${commit}`);
  const reached = cell(own.flatMap(({ figures }) => figures));
  return [String(row), promise, reached || "not measured", command, [...new Set(dates)].join("<br>")];
}

/** The table, from results of the nightly run. */
export function reliabilityTable(results: readonly CampaignResult[]): string {
  const rows = PROMISES.map((promise, index) => rowOf(promise, index + 1, results));
  return table(["", "Promise", "Figures reached", "Command", "Date, commit"], rows);
}

/** The processors, and what the table does not show. */
function remarks(results: readonly CampaignResult[]): string {
  const processors = [...new Set(results.map(({ processor }) => processor))].join("; ");
  const failed = results.filter(({ status }) => status === "failed").map(({ file }) => nameOf(file));
  const skipped = results.filter(({ status }) => status === "skipped").map(({ file }) => nameOf(file));
  const list = (what: string, names: string[]) =>
    names.length === 0 ? [] : [`${what}: ${names.join(", ")}.`];
  const lines = [...list("Failed when last run", failed), ...list("Skipped for want of a tool", skipped)];
  return [`Measured on ${processors}.`, ...lines].join(" ");
}

/** Takes the results in `folder` into docs/reliability.json, and writes the table of docs/reliability.md from them. */
export function writeReliability(root: string, folder: string): void {
  const results = lastResults(root, folder);
  writeFileSync(join(root, "docs", "reliability.json"), `${JSON.stringify(results, null, 2)}\n`);
  const path = join(root, "docs", "reliability.md");
  const text = readFileSync(path, "utf8");
  const marks = /(?<=<!-- figures -->\n)[\s\S]*?(?=<!-- end -->)/;
  if (!marks.test(text))
    throw new Error(`${path}: expected "<!-- figures -->" and "<!-- end -->", found none`);
  const written = `\n${reliabilityTable(results)}\n\n${remarks(results)}\n\n`;
  writeFileSync(
    path,
    text.replace(marks, () => written),
  );
}
