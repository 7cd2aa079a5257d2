/** Signals to a training whose launcher stays beside it, without a terminal. */
import { test } from "node:test";
import { signalMatrix } from "../support/signal-matrix.ts";
import { stayingLauncher } from "../support/signalled.ts";

const { name, command } = stayingLauncher();

test("no signal that asks to stop loses work, without a terminal, under a launcher that stays", async () => {
  await signalMatrix({ name: `${name}, no terminal`, command, onTerminal: false }, 2);
});
