/** Signals to a training that has taken its launcher's place, on a terminal. */
import { test } from "node:test";
import { signalMatrix } from "../support/signal-matrix.ts";
import { becomingLauncher, noTerminal } from "../support/signalled.ts";

const { name, command } = becomingLauncher;

test("no signal that asks to stop loses work, on a terminal, under a launcher that becomes the trainer", {
  skip: noTerminal() ?? false,
}, async () => {
  await signalMatrix({ name: `${name}, on a terminal`, command, onTerminal: true }, 1);
});
