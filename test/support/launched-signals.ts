/** Signals to a command that a launcher started: to the program, to the launcher, or to the group of both. */
import { readFileSync } from "node:fs";
import { isNightly } from "./campaign.ts";
import type { Running } from "./command.ts";
import { isGroupGone, until } from "./signalled.ts";

const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
const targets = ["program", "launcher", "group"] as const;
export type Signal = (typeof signals)[number];
export type Target = (typeof targets)[number];

/** Each signal to each target; in the short form three of them, which have each signal and each target once. */
export const signalCases: [Signal, Target][] = isNightly
  ? signals.flatMap((signal) => targets.map((target): [Signal, Target] => [signal, target]))
  : signals.map((signal, i): [Signal, Target] => [signal, targets[i] ?? "group"]);

/** The launcher's child: the program itself. */
export function programOf({ child }: Running): number {
  const children = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, "utf8");
  return Number(children.trim().split(" ")[0]);
}

export function send(running: Running, signal: Signal, target: Target): void {
  const { pid = 0 } = running.child;
  process.kill({ program: programOf(running), launcher: pid, group: -pid }[target], signal);
}

/** Waits until no process of the command is left: all are in its group. */
export async function allGone({ child }: Running): Promise<void> {
  await until(() => isGroupGone(child.pid as number), "every process of the command to end");
}

export const skipOffLinux: { skip: string | false } = {
  skip: process.platform === "linux" ? false : "looks into /proc",
};
