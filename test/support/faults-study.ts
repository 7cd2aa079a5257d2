/** Row 5, studies and sweeps: every system call that writes fails in turn, reported as an error or as the reason of a failed run. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { study } from "../../studies/study.ts";
import { figure, isNightly } from "./campaign.ts";
import { type FaultyCommand, failEachCall } from "./fault-loop.ts";
import { type RunFixture, runFixture } from "./runs.ts";
import { tinyStudy } from "./study.ts";

/** Without the places and times of its runs. */
const essence = (text: string, dir: string): string =>
  text.replaceAll(dir, "DIR").replace(/"seconds":[\d.]+/g, "");
const reports = (result: unknown): string[] =>
  (result as { summary: string }).summary.match(/^Failed: .*$/gm) ?? [];

/** A fixture of tiny runs, with a folder for the loops. */
export function loopFixture(): RunFixture {
  const fixture = runFixture({ rows: 4, held: 2, config: { num_hidden_layers: 1 } });
  mkdirSync(fixture.path("loops"));
  return fixture;
}

/** Makes calls of a command fail that writes its tables to `name` below a directory, and gives the figure. */
export async function failTables(
  { name, run }: Pick<FaultyCommand, "name" | "run">,
  fixture: RunFixture,
  { stride, first = 1, called = name }: { stride: number; first?: number; called?: string },
): Promise<void> {
  const outputs = [`${name}/results.jsonl`, `${name}/runs.jsonl`];
  const { calls, failed } = await failEachCall(
    { name, run, outputs, reports, essence },
    fixture.path("loops"),
    stride,
    first,
  );
  figure(
    5,
    `${called}: each system call that writes fails in one of the ways that it can (EIO, ENOSPC, EDQUOT, EROFS, EMFILE)`,
    `${failed} of ${calls.length} calls tried, all reported with path and what to do, same tables when done again`,
    stride === 1 ? "100 % of calls" : `every call from ${first} on by ${stride}`,
    failed === Math.ceil((calls.length - first + 1) / stride),
  );
}

/** Files of tests that share a study's calls: each takes minutes in the nightly run. */
const parts = 6;

/** One part of the calls of a study; in `npm test` a few calls, whatever the part. */
export async function failStudy(part: number): Promise<void> {
  using fixture = loopFixture();
  const run = (dir: string) => study({ ...tinyStudy(fixture, "stabiliser"), output: join(dir, "study") });
  const chosen = isNightly ? { first: part, stride: parts } : { stride: 400 };
  const called = `study, part ${part} of ${parts}`;
  await failTables({ name: "study", run }, fixture, { ...chosen, called });
}
