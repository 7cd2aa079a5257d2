/** `preftune track`. */
import { type Command, Option } from "commander";
import { EndpointError } from "../base/errors.ts";
import { trackRun } from "../trackers/track-run.ts";
import { remoteTrackers } from "../trackers/tracker.ts";

/** Adds the command to `preftune`. */
export function addTrackCommand(preftune: Command): void {
  preftune
    .command("track")
    .description("send the rows of a run that trackers do not have, as report_to does while it trains")
    .argument("<run>", "run directory")
    .addOption(
      new Option("--to <trackers...>", "where to")
        .choices(["tensorboard", ...remoteTrackers])
        .makeOptionMandatory(),
    )
    .option("--project <name>", "in place of the run's own")
    .action(async (dir: string, { to, project }: { to: string[]; project?: string }) => {
      const onTrouble = (text: string): void => {
        process.stderr.write(`preftune: note: ${text}; trying again\n`);
      };
      const reports = await trackRun(dir, { trackers: to, project: project ?? null, onTrouble });
      if (to.includes("tensorboard")) process.stdout.write("tensorboard: all rows\n");
      for (const { tracker, sent, unsent } of reports) {
        process.stdout.write(`${tracker}: ${sent} of ${sent + unsent} rows\n`);
      }
      const troubles = reports.filter(({ trouble }) => trouble !== null);
      if (troubles.length === 0) return;
      const said = troubles.map(({ tracker, trouble }) => `${tracker}: ${trouble}`).join("\n");
      throw new EndpointError(`${said}\nThe same command sends what is missing.`, null);
    });
}
