/** Which test files a run of `npm test` takes. */
import { globSync } from "node:fs";

/** Choice of test files. `filters`: paths, folders or parts of paths; all files when empty. */
export interface TestSelection {
  nightly: boolean;
  filters: readonly string[];
}

/** Whether `file` (relative, with forward slashes) is meant by one of the filters. */
export function matchesFilter(file: string, filters: readonly string[]): boolean {
  return filters.length === 0 || filters.some((filter) => file.includes(filter.replace(/^\.\//, "")));
}

/** Test files below `root`, relative to it, sorted. */
export function findTests(root: string, selection: TestSelection): string[] {
  const suffix = selection.nightly ? "nightly.ts" : "test.ts";
  const pattern = `{src,test,examples,scripts}/**/*.${suffix}`;
  return globSync(pattern, { cwd: root })
    .filter((file) => matchesFilter(file, selection.filters))
    .sort();
}
