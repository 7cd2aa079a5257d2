/** The command line: errors become one clear message and an exit status. */
import { CommanderError } from "commander";
import { exitCodes, PreftuneError } from "../base/errors.ts";
import { goOnWithoutOutput } from "../base/lost-output.ts";
import { endIfStopped } from "../base/stop-signals.ts";
import { printable } from "../base/terminal-text.ts";
import { printWarnings } from "../base/warn.ts";
import { writeErrorFile } from "../distributed/error-file.ts";
import { launchOrNone } from "./launched-ranks.ts";
import { program } from "./program.ts";

/** Exit status of an error: commander's own for help and usage, the class's for the user's, 1 for our bugs. */
function report(given: unknown): number {
  // an error of what was put away afterwards, as on a disk that is still full, comes with the one that began it
  let error = given;
  while (error instanceof SuppressedError) error = error.suppressed;
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : exitCodes.ConfigError;
  if (error instanceof PreftuneError) {
    process.stderr.write(`preftune: ${printable(error.message)}\n${moreOn(error)}`);
    writeErrorFile(error, error.message);
    return error.exitCode;
  }
  const text = `this is a bug, please report it (docs/troubleshooting.md#a-bug).\n${error instanceof Error ? error.stack : error}`;
  process.stderr.write(`preftune: ${text}\n`);
  writeErrorFile(error, text);
  return 1;
}

/** Where the manual says more, for errors whose message comes from torch or a child process and names no remedy. */
function moreOn({ exitCode, name }: PreftuneError): string {
  return exitCode === 1 ? `See docs/troubleshooting.md#${name.toLowerCase()}\n` : "";
}

goOnWithoutOutput();
const launch = launchOrNone();
printWarnings(launch === null || launch.rank === 0);
try {
  const words = process.argv.slice(2);
  await (await program(words)).parseAsync(words, { from: "user" });
} catch (error) {
  process.exitCode = report(error);
}
endIfStopped();
// torchrun sends SIGTERM to ranks that end beside one that failed: Node would give the signal its default back, and lose the status
if (launch !== null) process.exit();
