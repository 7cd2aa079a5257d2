/** A rank that prepares the rows that PLAN says, for tests: prints a line of JSON, what it got each time, or its error. */
import { readdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { exitCodes, PreftuneError } from "../../src/base/errors.ts";
import { sha256 } from "../../src/base/files.ts";
import { loadConfig } from "../../src/config/load-config.ts";
import type { Dataset } from "../../src/data/dataset.ts";
import { oncePerHost } from "../../src/distributed/once-per-host.ts";
import type { RankGroup } from "../../src/distributed/rank-group.ts";
import { failingTogether } from "../../src/distributed/together.ts";
import { openRanks } from "../../src/recipes/ranks.ts";
import { rowFolder } from "../../src/setup/places.ts";
import { type DataSelection, prepareData } from "../../src/train/prepare-data.ts";
import { prepareOnRanks } from "../../src/train/shared-rows.ts";

/** What is done before rows are prepared once more: the first of a host does it. */
export type RowEdit = "nothing" | "cut short" | "change a bit" | "change a row";

/** What a rank does. */
export interface RowsPlan {
  values: Record<string, unknown>;
  /** Default: rows are prepared once. */
  edits?: RowEdit[];
  /** The first rank of a host is at work for so many seconds. */
  worksFor?: number;
}

/** What a rank got. */
export interface RowsGot {
  /** Rows that it tokenised itself, as it said. */
  tokenised: number;
  /** Its other phases. */
  said: string[];
  /** Of the rows, as plain data. */
  digest: string;
  /** Files of rows that it has mapped. */
  mapped: number;
  /** Those that there are. */
  files: number;
}

/** SHA-256 of all that a data set holds. */
export function digestOf({ examples, evalExamples, report, fingerprint }: Dataset): string {
  // keys in one order, whichever way an example was made
  const plain = (value: unknown): unknown => {
    if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
    return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
  };
  return sha256(
    JSON.stringify({ examples, evalExamples, report, fingerprint }, (_key, value) => plain(value)),
  );
}

/** What the run's rows are in one process. */
export async function digestAlone(values: Record<string, unknown>): Promise<string> {
  return digestOf((await prepareData(selectionOf(values))).dataset);
}

function selectionOf(values: Record<string, unknown>): DataSelection {
  return { ...loadConfig({ values }).config, task: "preference", now: new Date(0) };
}

const rowFiles = (): string[] => readdirSync(rowFolder()).map((name) => join(rowFolder(), name));

function edit(what: RowEdit, values: Record<string, unknown>): void {
  if (what === "nothing") return;
  const path = what === "change a row" ? String(values["train_data"]) : (rowFiles()[0] ?? "");
  const bytes = readFileSync(path);
  if (what === "cut short") {
    truncateSync(path, bytes.length - 100);
    return;
  }
  if (what === "change a bit") bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 4;
  else bytes[bytes.indexOf("chosen") + 10] = "X".charCodeAt(0);
  writeFileSync(path, bytes);
}

async function prepared(group: RankGroup, { values }: RowsPlan): Promise<RowsGot> {
  let tokenised = 0;
  const said: string[] = [];
  const onPhase = (label: string, done: number): void => {
    if (label === "rows tokenised") tokenised = done;
    if (label !== "rows tokenised") said.push(label);
  };
  const { dataset } = await prepareOnRanks(group, selectionOf(values), onPhase);
  const digest = digestOf(dataset);
  const maps = readFileSync("/proc/self/maps", "utf8");
  const files = rowFiles();
  return {
    tokenised,
    said,
    digest,
    mapped: files.filter((path) => maps.includes(path)).length,
    files: files.length,
  };
}

async function main(plan: RowsPlan): Promise<RowsGot[]> {
  const { group } = await openRanks(loadConfig({ values: plan.values }), { endsProcess: true });
  using _ = group;
  if (group === null) throw new TypeError("expected several ranks");
  return await failingTogether(group, async () => {
    if (plan.worksFor !== undefined) {
      process.stdout.write("begins\n");
      await oncePerHost(group, () => sleep(1000 * (plan.worksFor ?? 0)));
    }
    const all: RowsGot[] = [];
    for (const what of plan.edits ?? ["nothing"]) {
      if (group.hosts.some(([first]) => first === group.rank)) edit(what, plan.values);
      group.barrier();
      all.push(await prepared(group, plan));
      group.barrier();
    }
    return all;
  });
}

if (process.env["PLAN"] !== undefined) {
  try {
    process.stdout.write(`${JSON.stringify(await main(JSON.parse(process.env["PLAN"])))}\n`);
  } catch (error) {
    const { name, message } = error as Error;
    process.stdout.write(`${JSON.stringify({ name, message })}\n`);
    process.exitCode = error instanceof PreftuneError ? error.exitCode : 1;
    if (process.exitCode === exitCodes.LostRankError) setTimeout(() => process.exit(), 1000);
  }
}
