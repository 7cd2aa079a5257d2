/** `preftune push`. */
import { type Command, Option } from "commander";
import { formatBytes } from "../base/file-io.ts";
import type { PushResult } from "../hub/push.ts";
import { Phases } from "../terminal/phases.ts";

interface CliOptions {
  public?: true;
  dryRun?: true;
  printCard?: true;
  export?: "adapter" | "model";
  baseModel?: string;
  license?: string;
}

/** Adds the command to `preftune`. */
export function addPushCommand(preftune: Command): void {
  preftune
    .command("push")
    .description(
      "push what a run exported to the hub, with a card made of the run; private unless asked otherwise",
    )
    .argument("<run>", "directory of a finished run")
    .argument("<owner/name>", "the model repository; it is made where there is none")
    .option("--public", "a new repository is public, and one that is public may be written to")
    .option("--dry-run", "list what would change, and change nothing")
    .option("--print-card", "print the card, and send nothing")
    .addOption(
      new Option("--export <what>", "which export, where a run has both").choices(["adapter", "model"]),
    )
    .option(
      "--base-model <owner/name>",
      "where the base model is on the hub, where the run had it in a directory",
    )
    .option("--license <id>", "as the hub names it; default: the base model's")
    .action(async (run: string, repo: string, cli: CliOptions) => {
      const { pushRun, runFiles } = await import("../recipes/push.ts");
      const options = {
        what: cli.export ?? null,
        baseModel: cli.baseModel ?? null,
        license: cli.license ?? null,
      };
      if (cli.printCard === true) {
        process.stdout.write((await runFiles(run, options)).card);
        return;
      }
      const phases = new Phases();
      const result = await pushRun(run, repo, {
        ...options,
        isPublic: cli.public === true,
        isDryRun: cli.dryRun === true,
        onPhase: (...phase) => phases.listen(...phase),
      });
      report(result, cli.dryRun === true);
    });
}

function report({ steps, repo, isPublic, wasThere, commit }: PushResult, isDryRun: boolean): void {
  for (const { change, size, path } of steps) {
    process.stdout.write(`${change.padEnd(8)} ${formatBytes(size).padStart(10)}  ${path}\n`);
  }
  const where = `${repo} (${isPublic ? "public" : "private"}${wasThere ? "" : ", new"})`;
  if (commit !== null) process.stdout.write(`pushed to ${where}: commit ${commit}\n`);
  else if (isDryRun) process.stdout.write(`dry run: nothing was sent to ${where}\n`);
  else process.stdout.write(`${where} has all of it already\n`);
}
