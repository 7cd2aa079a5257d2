/** `preftune report`. */
import { existsSync, readdirSync, statSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import type { Command } from "commander";
import { at } from "../base/at.ts";
import { ConfigError } from "../base/errors.ts";
import { writeComparison } from "../report/comparison.ts";
import { writeReport } from "../report/run-report.ts";
import { isRun, runPaths } from "../runs/run-directory.ts";
import { commandLine } from "./called-as.ts";

/** Runs that a hint names. */
const namedRuns = 6;

/** Adds the command to `preftune`. */
export function addReportCommand(preftune: Command): void {
  preftune
    .command("report")
    .description("write the report of a run at any time of it, or a comparison of several, as one HTML file")
    .argument("<runs...>", "run directories: running, stopped, failed, killed or finished")
    .option(
      "--output <file>",
      "the file; default: report.html in the run, comparison.html beside several runs",
    )
    .action((dirs: string[], { output }: { output?: string }) => {
      const runs = dirs.filter((dir, i) => dirs.findIndex((other) => resolve(other) === resolve(dir)) === i);
      for (const dir of runs) requireRun(dir);
      if (output !== undefined && !/\.html?$/.test(output))
        throw new ConfigError(`--output: expected a name that ends in .html, got "${output}".`);
      const path = runs.length === 1 ? writeReport(at(runs, 0), output ?? null) : comparisonOf(runs, output);
      process.stdout.write(`${relative(process.cwd(), path) || path}\n`);
    });
}

/** A run without a report is given one: the comparison leads there. */
function comparisonOf(runs: readonly string[], output: string | undefined): string {
  const path = output ?? join(commonParent(runs), "comparison.html");
  for (const dir of runs) if (!existsSync(runPaths(dir).report)) writeReport(dir);
  writeComparison(runs, path);
  return path;
}

/** The nearest directory that all runs lie below. */
function commonParent(runs: readonly string[]): string {
  const parents = runs.map((dir) => dirname(resolve(dir)).split("/"));
  const [first = [], ...others] = parents;
  const common = first.filter((_, i) =>
    others.every((parts) => parts.slice(0, i + 1).join("/") === first.slice(0, i + 1).join("/")),
  );
  return common.join("/") || "/";
}

/** @throws {ConfigError} naming the runs that lie in a directory which is none itself */
function requireRun(dir: string): void {
  if (isRun(dir)) return;
  if (!existsSync(dir) || !statSync(dir).isDirectory()) {
    throw new ConfigError(`${dir}: expected a run directory, there is none. Give the output_dir of a run.`);
  }
  const inside = readdirSync(dir)
    .map((name) => join(dir, name))
    .filter(isRun);
  const hint =
    inside.length === 0
      ? "Give the output_dir of a run."
      : `It holds ${inside.length === 1 ? "a run" : `${inside.length} runs`}: ${commandLine(["report", ...inside.slice(0, namedRuns)])}`;
  throw new ConfigError(`${dir}: expected a run directory, it has no run.json. ${hint}`);
}
