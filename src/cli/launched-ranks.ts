/** Commands that a launcher has started several times, each as a rank: one works so, the others say what to do instead. */
import type { Command } from "commander";
import { ConfigError } from "../base/errors.ts";
import { type Launch, readLaunch, startedBy } from "../distributed/launch.ts";

/** The commands that several ranks do together. */
const together = ["train", "score", "generate"];

/** From now on `preftune` refuses commands of one process where a launcher has started several. */
export function refuseSeveralRanks(preftune: Command): void {
  preftune.hook("preAction", (_, command) => {
    const name = nameOf(command);
    const launch = together.includes(name) ? null : launchOrNone();
    if (launch === null) return;
    throw new ConfigError(
      `preftune ${name} is one process, and this is one of ${launch.size} (${startedBy(launch)}). ` +
        `Start it by itself: ${alone(launch, name)}.`,
    );
  });
}

/** The place of this process among several; null where it is alone. Variables that make no sense matter to a training only. */
export function launchOrNone(): Launch | null {
  try {
    return readLaunch();
  } catch {
    return null;
  }
}

/** "evaluate mt-bench" */
export function nameOf(command: Command): string {
  const { parent } = command;
  return parent === null || parent.parent === null ? command.name() : `${nameOf(parent)} ${command.name()}`;
}

function alone({ launcher }: Launch, name: string): string {
  if (launcher === "srun") return `srun --ntasks=1 preftune ${name} ...`;
  if (launcher === "mpirun") return `mpirun -n 1 preftune ${name} ..., or without mpirun`;
  return launcher === "torchrun"
    ? `preftune ${name} ..., without torchrun`
    : `env -u RANK -u WORLD_SIZE preftune ${name} ...`;
}
