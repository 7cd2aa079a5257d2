/**
 * Loaded into the launcher and the program it starts: lets them end as they would where their terminal has been closed.
 * Node puts the terminal's modes back as it ends and aborts where that fails, so a terminal that is gone is replaced before.
 */
import { closeSync, openSync } from "node:fs";
import process from "node:process";
import { isatty } from "node:tty";
import { isMainThread } from "node:worker_threads";

const terminals = isMainThread ? [0, 1, 2].filter((descriptor) => isatty(descriptor)) : [];

process.on("exit", () => {
  for (const descriptor of terminals.filter((each) => !isatty(each))) {
    closeSync(descriptor);
    // takes the lowest number that is free: the one just closed
    openSync("/dev/null", "r+");
  }
});
