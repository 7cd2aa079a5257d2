/** When a commit is slower than its parent: by more than runs of the parent differ among themselves. */
import { PreftuneError } from "../../src/base/errors.ts";
import { studentQuantile } from "../../src/stats/student.ts";
import { textTable } from "../../src/terminal/text-table.ts";

/** Processor time of one round, seconds: the parent, the commit, the parent again. */
export interface GateRound {
  before: number;
  commit: number;
  after: number;
}

/** What rounds say of one piece of work. */
export interface GateFigures {
  work: string;
  /** The commit's time over the parent's, geometric mean of the rounds. */
  ratio: number;
  /** What the ratio must not pass: that of the noise. */
  limit: number;
  isSlower: boolean;
}

/** Of so many comparisons of commits that change nothing one is called slower, at most: all its pieces of work together. */
const falseAlarms = 0.01;
/** Changes below this are not judged, however quiet the machine is. */
const least = 0.01;
/** Fewer rounds give no spread to judge by. */
export const fewestRounds = 4;

/**
 * The verdict on some rounds. A round's two runs of the parent give the spread of a single run; the commit is compared with their mean,
 * by Student's t of as many degrees of freedom as there are rounds. Each of `works` pieces of work may give its part of the false alarms.
 *
 * @param rounds - at least `fewestRounds`
 * @throws {PreftuneError} if a time is no positive number
 */
export function gateFigures(work: string, rounds: readonly GateRound[], works: number): GateFigures {
  const count = rounds.length;
  for (const [i, { before, commit, after }] of rounds.entries()) {
    if ([before, commit, after].every((time) => Number.isFinite(time) && time > 0)) continue;
    throw new PreftuneError(
      `${work}, round ${i + 1}: expected three processor times in seconds, got ${before}, ${commit}, ${after} ` +
        `(parent, commit, parent). Run the gate again; if it comes again, run \`npm run bench\` to see what the work prints.`,
    );
  }
  const mean = (of: (round: GateRound) => number) =>
    rounds.reduce((sum, round) => sum + of(round), 0) / count;
  // of the logarithm of a run's time: two runs differ by twice its variance
  const variance = mean(({ before, after }) => Math.log(after / before) ** 2) / 2;
  const change = mean(({ before, commit, after }) => Math.log(commit) - Math.log(before * after) / 2);
  const errors = studentQuantile(1 - falseAlarms / works, count);
  const noise = Math.max(least, errors * Math.sqrt((1.5 * variance) / count));
  return { work, ratio: Math.exp(change), limit: Math.exp(noise), isSlower: change > noise };
}

/** The verdicts as a table. */
export function gateTable(figures: readonly GateFigures[]): string {
  return textTable(
    ["work", "processor time\nover the parent's", "noise", "verdict"],
    figures.map(({ work, ratio, limit, isSlower }) => [
      ...[work, ratio.toFixed(3), `up to ${limit.toFixed(3)}`],
      isSlower ? "SLOWER" : "no slower",
    ]),
  );
}
