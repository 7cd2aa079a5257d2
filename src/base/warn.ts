/** Warnings of the library: Node's own, so that a program can listen to them; the command line prints them as notes. */

import { printable } from "./terminal-text.ts";

/** Type of preftune's warnings on `process.on("warning")`. */
const warningType = "PreftuneWarning";

const shown = new Set<string>();

/** Warns of something that is used in a way its owner may not expect; the same text once in a process. */
export function warn(text: string): void {
  if (shown.has(text)) return;
  shown.add(text);
  process.emitWarning(text, warningType);
}

/**
 * From now on warnings of this process are lines on standard error, without Node's process number and hints.
 *
 * @param withNotes - whether preftune's own are: of several ranks the first prints them, and what all do alike is said once
 */
export function printWarnings(withNotes: boolean = true): void {
  process.removeAllListeners("warning");
  process.on("warning", (warning) => {
    const isOurs = warning.name === warningType;
    if (isOurs && !withNotes) return;
    const line = isOurs ? `note: ${printable(warning.message)}` : String(warning);
    // a line of progress may stand there; it is drawn again
    process.stderr.write(`${process.stderr.isTTY ? "\r\u001b[K" : ""}preftune: ${line}\n`);
  });
}
