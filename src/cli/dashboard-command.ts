/** `preftune dashboard`. */
import type { Command } from "commander";
import { makeDirectory } from "../base/files.ts";
import { onStopSignals } from "../base/stop-signals.ts";
import { warn } from "../base/warn.ts";
import { wholeNumber } from "./options.ts";

/** Where runs are looked for unless directories are given. */
const usualDir = "runs";
const usualPort = 8720;

interface CliOptions {
  host: string;
  port: number;
  workbench?: string;
  allowedHosts: string[];
}

/** Adds the command to `preftune`. */
export function addDashboardCommand(preftune: Command): void {
  preftune
    .command("dashboard")
    .description("see runs in a browser while they run, start and stop them; see docs/dashboard.md")
    .argument("[dirs...]", `directories below which runs are looked for; default: ${usualDir}`)
    .option(
      "--workbench <dir>",
      "pairs to label and their versions; default: workbench in the first directory",
    )
    .option("--host <address>", "listening address; another than loopback needs --allowed-hosts", "127.0.0.1")
    .option("--port <number>", "port; 0 picks a free one", wholeNumber(0), usualPort)
    .option(
      "--allowed-hosts <names>",
      "names, separated by commas, by which it may be asked for besides localhost: of a proxy, or of this machine",
      (text: string) => text.split(",").map((name) => name.trim()),
      [],
    )
    .action(run);
}

async function run(dirs: string[], options: CliOptions): Promise<void> {
  const { startDashboard } = await import("../dashboard/dashboard.ts");
  if (dirs.length === 0) makeDirectory(usualDir);
  const onFault = (error: unknown): void =>
    warn(error instanceof Error ? (error.stack ?? error.message) : String(error));
  // as this command was started, without a shell
  const program = [process.execPath, ...process.execArgv, process.argv[1] ?? ""];
  const dashboard = await startDashboard({
    program,
    ...options,
    dirs: dirs.length === 0 ? [usualDir] : dirs,
    onFault,
  });
  if (dashboard.readOnly !== null) warn(dashboard.readOnly);
  process.stdout.write(`${dashboard.link()}\n`);
  if (process.stdin.isTTY === true) {
    process.stdout.write(
      "This address works once; Enter makes another one, Ctrl-C ends the dashboard. Runs continue without it.\n",
    );
    process.stdin.on("data", () => process.stdout.write(`${dashboard.link()}\n`));
  }
  await new Promise<void>((done) => {
    onStopSignals((count, status) => {
      if (count > 1) process.exit(status);
      done();
    });
  });
  process.stdin.pause();
  await dashboard.close();
}
