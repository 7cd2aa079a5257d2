/** Signals to a training that has taken its launcher's place, without a terminal. */
import { test } from "node:test";
import { signalMatrix } from "../support/signal-matrix.ts";
import { becomingLauncher } from "../support/signalled.ts";

const { name, command } = becomingLauncher;

test("no signal that asks to stop loses work, without a terminal, under a launcher that becomes the trainer", async () => {
  await signalMatrix({ name: `${name}, no terminal`, command, onTerminal: false }, 1);
});
