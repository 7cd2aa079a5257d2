/** Keys of which each run of a grid has its own value, so that none can be given for all. */

const remedies = {
  seed: "Seeds count from 1: --seeds N of a study, seeds: N of a sweep, says how many.",
  output_dir: "--output names the folder of all runs.",
  resume_from_checkpoint: "The same command given again resumes what was interrupted.",
};

/** One of them. */
export type OwnKey = keyof typeof remedies;

/** What to do in place of giving `key` for all runs; null: it can be given. */
export function ownRemedy(key: string): string | null {
  return Object.hasOwn(remedies, key) ? remedies[key as OwnKey] : null;
}
