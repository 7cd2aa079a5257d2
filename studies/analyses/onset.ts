/**
 * Whether signs on given answers tell that sampled answers will go bad: which comes first in a run, and how well a sign early in the
 * run tells runs that end badly from others. Numbers in, numbers out.
 */

/** One evaluation. Changes are since the start, nats. */
export interface Reading {
  step: number;
  drift: number;
  tail: number;
  chosen: number;
  margin: number;
  /** Whether the sampled answers are bad. */
  isBad: boolean;
}

/** The evaluations of a run, in order, its start first. */
export type Course = readonly Reading[];

/** Something that can be read off given answers; the larger, the worse. */
export interface Sign {
  name: string;
  of: (reading: Reading) => number;
  /** Above it the sign warns. */
  bound: number;
}

/** In how many runs a sign warned, and when. */
export interface Warnings {
  /** Runs whose answers went bad: it warned at an earlier evaluation, at the same one, later or never. */
  before: number;
  together: number;
  after: number;
  /** Runs whose answers stayed good: it warned, or not. */
  falsely: number;
  silent: number;
}

/** The first step at which `test` holds; null where it never does. */
export function firstStep(course: Course, test: (reading: Reading) => boolean): number | null {
  return course.find(test)?.step ?? null;
}

/** Whether the sign warns at a reading: a change that is no number is worse than any. */
export function warns({ of, bound }: Omit<Sign, "name">): (reading: Reading) => boolean {
  return (reading) => !(of(reading) <= bound);
}

/** Counts over runs. */
export function warningsOf(courses: readonly Course[], sign: Omit<Sign, "name">): Warnings {
  const counts: Warnings = { before: 0, together: 0, after: 0, falsely: 0, silent: 0 };
  for (const course of courses) {
    const bad = firstStep(course, ({ isBad }) => isBad);
    const warned = firstStep(course, warns(sign));
    if (bad === null) counts[warned === null ? "silent" : "falsely"] += 1;
    else if (warned === null || warned > bad) counts.after += 1;
    else counts[warned < bad ? "before" : "together"] += 1;
  }
  return counts;
}

/** How well a sign tells early which runs will end badly. */
export interface EarlySign {
  /** Runs that were good up to the reading: those that went bad later, and the others. */
  bad: number;
  good: number;
  /** Probability that the sign is worse in one of the former than in one of the latter, ties counting half; NaN without either. */
  auc: number;
}

/** @param share - of the run that has passed when the sign is read, at the first evaluation from there on */
export function earlySign(courses: readonly Course[], of: Sign["of"], share: number): EarlySign {
  const [bad, good]: [number[], number[]] = [[], []];
  for (const course of courses) {
    const read = course.findIndex(({ step }) => step >= share * (course.at(-1)?.step ?? 0) && step > 0);
    const reading = course[read];
    if (reading === undefined || course.slice(0, read + 1).some(({ isBad }) => isBad)) continue;
    const isLost = course.slice(read + 1).some(({ isBad }) => isBad);
    const value = of(reading);
    // what is no number is worse than any that is
    (isLost ? bad : good).push(Number.isNaN(value) ? Number.POSITIVE_INFINITY : value);
  }
  const wins = bad.flatMap((a) => good.map((b) => (a === b ? 0.5 : Number(a > b))));
  const auc = wins.reduce((sum, win) => sum + win, 0) / wins.length;
  return { bad: bad.length, good: good.length, auc };
}
