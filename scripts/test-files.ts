/** Which test files a run of `npm test` takes. */
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** Whether `file` (relative, with forward slashes) is meant by one of the filters; by none of none, every file is. */
export function matchesFilter(file: string, filters: readonly string[]): boolean {
  return filters.length === 0 || filters.some((filter) => file.includes(filter.replace(/^\.\//, "")));
}

/**
 * Test files below `root` that the filters mean (paths, folders or parts of paths), relative to it: those beside the sources, which
 * take a second, last, so that no core waits for another's long file at the end.
 */
export function findTests(root: string, filters: readonly string[]): string[] {
  return ["{test,studies}", "{src,examples,scripts}"].flatMap((folders) =>
    globSync(`${folders}/**/*.test.ts`, { cwd: root })
      .filter((file) => matchesFilter(file, filters))
      .sort(),
  );
}

/** Those that the nightly run takes: the files of test/campaign, and others that ask for its size (test/support/campaign.ts). */
export function findNightlyTests(root: string, filters: readonly string[]): string[] {
  return findTests(root, filters).filter(
    (file) =>
      file.startsWith("test/campaign/") ||
      /\bisNightly\b|\bamount\(/.test(readFileSync(join(root, file), "utf8")),
  );
}
