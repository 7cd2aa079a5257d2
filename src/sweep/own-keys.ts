/** Keys of which each run of a grid has its own value, so that none can be given for all. */

const remedies = {
  seed: "Seeds count from 1: --seeds N of a study, seeds: N of a sweep, says how many.",
  output_dir: "--output names the folder of all runs.",
  resume_from_checkpoint: "The same command given again resumes what was interrupted.",
};

/** One of them. */
export type OwnKey = keyof typeof remedies;

/** What is wrong with giving `key` for all runs, and what to do instead, to follow the place where it is given; null: it can be given. */
export function ownKeyProblem(key: string): string | null {
  if (!Object.hasOwn(remedies, key)) return null;
  return `each run has its own ${key}: take it out. ${remedies[key as OwnKey]}`;
}
