/**
 * The campaign: tests of docs/reliability.md's promises in two sizes. `npm test` runs the short form of each file in
 * test/campaign; `npm run test:nightly` (scripts/nightly.ts) runs the same files in full and collects the figures.
 */
import assert from "node:assert/strict";
import { appendFileSync } from "node:fs";
import type { Figure } from "../../scripts/campaign-results.ts";

/** Whether this is the nightly run. */
export const isNightly: boolean = process.env["PREFTUNE_NIGHTLY"] === "1";

/** What everything drawn at random in the campaign follows from: `PREFTUNE_SEED`, 1 unless it is set. */
export const campaignSeed: number = Number(process.env["PREFTUNE_SEED"] ?? 1);

/** `short` in `npm test`, `full` in the nightly run. */
export function amount(short: number, full: number): number {
  return isNightly ? full : short;
}

/**
 * A figure of a promise, printed and kept by the nightly run, and asserted to hold in both.
 *
 * @param row - number of the promise in docs/reliability.md, 1 to 27
 * @param what - what was done
 * @param held - whether `reached` is as good as `goal`
 * @param less - where the goal is less than was first aimed at: what is asked, `(first goal: …)`, and the reason
 */
// biome-ignore lint/complexity/useMaxParams: read as a sentence, with the verdict at its end
export function figure(
  row: number,
  what: string,
  reached: string,
  goal: string,
  held: boolean,
  less?: string,
): void {
  const entry: Figure = { row, what, reached, goal, held, ...(less === undefined ? {} : { less }) };
  const file = process.env["PREFTUNE_FIGURES"];
  if (isNightly && file !== undefined) appendFileSync(file, `${JSON.stringify(entry)}\n`);
  if (isNightly)
    process.stdout.write(`row ${row}: ${what}: ${reached} (goal: ${goal})${held ? "" : " NOT REACHED"}\n`);
  assert.ok(held, `row ${row}, ${what}: expected ${goal}, got ${reached}`);
}

/** Prints what it is given, at most every 20 seconds: how far a long test has come. */
export function progress(): (line: () => string) => void {
  let printed = performance.now();
  return (line) => {
    if (performance.now() - printed < 20_000) return;
    printed = performance.now();
    console.log(line());
  };
}

/**
 * Whether `check` ends without an error, which is printed otherwise: for counts of what held, of which a figure judges.
 *
 * @param what - what is checked, for the error
 */
export async function holds(what: string, check: () => void | Promise<void>): Promise<boolean> {
  try {
    await check();
    return true;
  } catch (error) {
    console.error(`${what}:`, error);
    return false;
  }
}
