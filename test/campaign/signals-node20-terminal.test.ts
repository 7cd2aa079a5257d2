/** Signals to a training whose launcher stays beside it, on a terminal. */
import { test } from "node:test";
import { signalMatrix } from "../support/signal-matrix.ts";
import { noTerminal, stayingLauncher } from "../support/signalled.ts";

const { name, command } = stayingLauncher();

test("no signal that asks to stop loses work, on a terminal, under a launcher that stays", {
  skip: noTerminal() ?? false,
}, async () => {
  await signalMatrix({ name: `${name}, on a terminal`, command, onTerminal: true }, 2);
});
