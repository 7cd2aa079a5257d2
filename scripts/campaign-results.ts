/** What the nightly run keeps of each file of the campaign, and the lines that it prints of it. */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Outcome } from "./test-reporter.ts";

/** A figure that a test reached, as the nightly run keeps it. */
export interface Figure {
  /** The promise's number in docs/reliability.md. */
  row: number;
  /** What was done, in a few words. */
  what: string;
  reached: string;
  goal: string;
  held: boolean;
  /** What the test asks that is less than was first aimed at, with that goal and the reason; left out where it is not less. */
  less?: string;
}

/** How a file of the campaign ended. */
export interface CampaignResult {
  file: string;
  /** `failed`: a test in it failed, or its process ended badly; `skipped`: no test of it ran; `passed`: every one did. */
  status: "passed" | "failed" | "skipped" | "skipped in part";
  /** Why tests were skipped -> how many; left out where none was. */
  skips?: Record<string, number>;
  /** What its tests report of themselves; left out where they do not. */
  notes?: string[];
  seconds: number;
  /** Day on which it ran, as 2026-11-26. */
  date: string;
  /** The commit that it ran on, ten digits, with a + where files were changed since. */
  commit: string;
  processor: string;
  figures: Figure[];
}

/** How a file ended whose tests came to `outcome`. */
export function endOf({
  passed,
  failed,
  skips,
  notes,
}: Outcome): Pick<CampaignResult, "status" | "skips" | "notes"> {
  const withoutFailure = passed === 0 ? "skipped" : skips.size === 0 ? "passed" : "skipped in part";
  return {
    status: failed > 0 ? "failed" : withoutFailure,
    ...(skips.size === 0 ? {} : { skips: Object.fromEntries(skips) }),
    ...(notes.length === 0 ? {} : { notes }),
  };
}

/** Whether the nightly run need not run a file again on the same code: what a test was skipped for the want of may be there by now. */
export function isDone({ status }: CampaignResult): boolean {
  return status === "passed";
}

/** `container (5 × missing: buildah)`: a file, or another name for it, with the tests that were skipped. */
export function withSkips(name: string, { skips = {} }: CampaignResult): string {
  const reasons = Object.entries(skips).map(([reason, count]) => `${count} × ${reason}`);
  return reasons.length === 0 ? name : `${name} (${reasons.join("; ")})`;
}

/** Where the result of `file` lies in `folder`. */
function placeOf(folder: string, file: string): string {
  return join(folder, `${nameOf(file)}.json`);
}

/** `kill-storm` of test/campaign/kill-storm.test.ts, `serve-families` of test/serve/families.test.ts. */
export function nameOf(file: string): string {
  return file
    .replace(/^test\/(campaign\/)?/, "")
    .replaceAll("/", "-")
    .replace(/\.test\.ts$/, "");
}

/** The result kept in `folder`, or null where there is none that can be read. */
export function readResult(folder: string, file: string): CampaignResult | null {
  try {
    return JSON.parse(readFileSync(placeOf(folder, file), "utf8")) as CampaignResult;
  } catch {
    return null;
  }
}

/** Keeps a result. */
export function writeResult(folder: string, result: CampaignResult): void {
  mkdirSync(folder, { recursive: true });
  const place = placeOf(folder, result.file);
  writeFileSync(`${place}.new`, `${JSON.stringify(result, null, 2)}\n`);
  renameSync(`${place}.new`, place);
}

/** The figures that a test file's process has written so far. */
export function readFigures(path: string): Figure[] {
  try {
    const lines = readFileSync(path, "utf8").split("\n").filter(Boolean);
    return lines.map((line) => JSON.parse(line) as Figure);
  } catch {
    return [];
  }
}

/** `row 4  kill-storm  1000 kills: 0 lost  (goal: 0 of 1,000)  412 s` for each figure, or why there is none. */
export function resultLines(result: CampaignResult): string[] {
  const time = `${Math.round(result.seconds)} s`;
  const head = (row: string) => `${row.padEnd(6)}  ${nameOf(result.file)}  `;
  const lines = result.figures.map(
    ({ row, what, reached, goal, held }) =>
      `${head(`row ${row}`)}${what}: ${reached} (goal: ${goal})${held ? "" : "  NOT REACHED"}  ${time}`,
  );
  if (result.status !== "passed")
    lines.push(`${head("")}${withSkips(result.status.toUpperCase(), result)}  ${time}`);
  else if (lines.length === 0) lines.push(`${head("")}passed, no figures  ${time}`);
  lines.push(...(result.notes ?? []).map((note) => `        ${note}`));
  return lines;
}
