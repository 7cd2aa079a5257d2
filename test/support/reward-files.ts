/** Reward functions of a user, good and bad, written to a folder of the test that becomes its working directory. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import type { RewardInput } from "../../src/rewards/reward-function.ts";
import type { CallTimer } from "../../src/rewards/reward-worker.ts";

/** Writes the files into a new working directory, which is removed after the tests of the file. */
export function inFolderOf(files: Readonly<Record<string, string>>): void {
  const before = process.cwd();
  const folder = mkdtempSync(join(tmpdir(), "preftune-rewards-"));
  process.chdir(folder);
  for (const [name, content] of Object.entries(files)) writeFileSync(name, content);
  after(() => {
    process.chdir(before);
    rmSync(folder, { recursive: true, force: true });
  });
}

/** A reward of 1 for a completion, or what the completion asks for. */
export const obedient = `
export function obey({ completions }) {
  return completions.map((text) => {
    switch (text) {
      case "null": return null;
      case "nan": return NaN;
      case "infinite": return -Infinity;
      case "throw": throw new Error("I was asked to");
      case "exit": process.exit(3);
      case "abort": process.abort();
      case "hang": for (;;);
      case "never": throw new Error("this one is async");
      case "loud": console.log("x".repeat(1_000_000)); return 0;
      default: return text.length;
    }
  });
}
export async function later({ completions, step }) {
  await new Promise((resolve) => setTimeout(resolve, 1));
  if (completions.includes("never")) await new Promise(() => {});
  return completions.map((text) => text.length + step);
}
export const bestOfGroup = ({ completions }) => {
  if (completions.includes("throw")) throw new Error("one is missing");
  if (completions.includes("hang")) for (;;);
  const longest = Math.max(...completions.map((text) => text.length));
  return completions.map((text) => (text.length === longest ? 1 : 0));
};
export const expression = ({ completions }) => completions.map((text) => (/^(a+)+$/.test(text) ? 1 : 0));
export const short = () => [1];
export const huge = () => new Array(1e7);
export const nothing = () => {};
export const single = () => 1;
export const words = ({ completions }) => completions.map((text) => (text === "word" ? "x" : 1));
export const typed = ({ completions }) => Float32Array.from(completions, (text) => text.length);
export default ({ completions }) => { console.log("seen", completions.length); return completions.map(() => 0); };
export const number = 3;
export class Judge {}
`;

/** Text completions as a call of reward functions has them; each of 3 tokens. */
export function inputOf(
  completions: readonly string[],
  columns: Readonly<Record<string, readonly unknown[]>> = {},
): RewardInput {
  return {
    prompts: completions.map(() => "p"),
    completions,
    completion_ids: completions.map(() => [5, 6, 7]),
    columns,
    step: 4,
  };
}

/** The time of a call is over, at once, where one of its completions is among `texts`, on which it must hang; that of others never is. */
export function hangsOn(...texts: string[]): CallTimer {
  return ({ input }, onLimit) => {
    if (input.completions.some((each) => texts.includes(each as string))) setImmediate(onLimit);
    return () => {};
  };
}
