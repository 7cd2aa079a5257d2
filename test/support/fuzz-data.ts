/** Fuzzing of data files: valid seeds, mutated byte by byte and by structure, and what every reading of them is held to. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { PreftuneError } from "../../src/base/errors.ts";
import { Random } from "../../src/base/random.ts";
import type { RawRow } from "../../src/data/example.ts";
import { readRows } from "../../src/data/sources.ts";
import { amount, campaignSeed, figure, progress } from "./campaign.ts";
import { residentMiB } from "./memory.ts";
import { scratch } from "./scratch.ts";

/** A file format under test. */
export interface FuzzTarget {
  /** For the figure: "JSON lines". */
  name: string;
  /** Ending of the files, such as "jsonl". */
  ending: string;
  /** Valid files. */
  seeds: readonly Buffer[];
  /** Pieces of the format that are put in or doubled. */
  pieces: readonly Buffer[];
  /** Number of the part, where the inputs are dealt out to several files of tests: each draws others. */
  part?: number;
  /** Says what is wrong with the rows that a file was read as, or null. */
  untrue?: (rows: readonly RawRow[], file: Buffer) => string | null;
}

/** What became of the inputs. */
interface Tally {
  inputs: number;
  accepted: number;
  faults: string[];
  slowestMs: number;
  /** Highest memory held above that at the beginning, in MiB. */
  memoryMiB: number;
}

/** Memory that reading may hold above that at the beginning, in MiB. */
const mostMiB = 256;

/** Mutates and reads `short` inputs, `full` ones in the nightly run, and tells the figure of row 18. */
export async function fuzz(target: FuzzTarget, short: number, full: number): Promise<void> {
  const folder = mkdtempSync(join(scratch(), "preftune-fuzz-"));
  try {
    const tally = await run(target, join(folder, `x.${target.ending}`), amount(short, full));
    const { inputs, accepted, faults, slowestMs, memoryMiB } = tally;
    for (const fault of faults.slice(0, 5)) process.stdout.write(`${fault}\n`);
    figure(
      18,
      `${target.name}: mutated files${target.part === undefined ? "" : `, part ${target.part}`}`,
      `${inputs.toLocaleString("en")} inputs, ${accepted.toLocaleString("en")} read, ${faults.length} crashes, hangs or wrong rows, ` +
        `slowest ${(slowestMs / 1000).toFixed(2)} s, ${Math.round(memoryMiB)} MiB at most`,
      `0 crashes, 0 hangs above 1 s, at most ${mostMiB} MiB`,
      faults.length === 0 && memoryMiB <= mostMiB,
      `memory is held to ${mostMiB} MiB (first goal: twice the file), since the inputs are small and a process varies by more`,
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function run(target: FuzzTarget, path: string, inputs: number): Promise<Tally> {
  const random = new Random(campaignSeed + 1000 * (target.part ?? 0));
  const tally: Tally = { inputs: 0, accepted: 0, faults: [], slowestMs: 0, memoryMiB: 0 };
  const before = residentMiB();
  const tell = progress();
  for (let i = 0; i < inputs && tally.faults.length < 5; i++) {
    tally.inputs++;
    const file = mutated(target, random);
    writeFileSync(path, file);
    const began = process.cpuUsage();
    const fault = await faultOf(target, path, file, tally);
    const { user, system } = process.cpuUsage(began);
    tally.slowestMs = Math.max(tally.slowestMs, (user + system) / 1000);
    if (user + system > 1e6) tally.faults.push(`input ${i}: ${(user + system) / 1e6} s: ${shown(file)}`);
    if (fault !== null) tally.faults.push(`input ${i}: ${fault}: ${shown(file)}`);
    if (i % 1000 === 0) tally.memoryMiB = Math.max(tally.memoryMiB, residentMiB() - before);
    tell(() => `${target.name}: ${i} of ${inputs}`);
  }
  tally.memoryMiB = Math.max(tally.memoryMiB, residentMiB() - before);
  return tally;
}

/** What is wrong with how the file was read, or null: any error but preftune's own, one without the file's name, untrue rows. */
async function faultOf(target: FuzzTarget, path: string, file: Buffer, tally: Tally): Promise<string | null> {
  const rows: RawRow[] = [];
  try {
    for await (const row of readRows({ path })) rows.push(row);
  } catch (error) {
    if (!(error instanceof PreftuneError)) return `threw ${error instanceof Error ? error.stack : error}`;
    return error.message.includes(path) ? null : `names no file: ${error.message}`;
  }
  tally.accepted++;
  return (
    rows.map((row) => rowFault(row, path)).find((fault) => fault !== null) ??
    target.untrue?.(rows, file) ??
    null
  );
}

/** What is wrong with how the fault of a row is reported, or null. */
function rowFault(row: RawRow, path: string): string | null {
  try {
    void row.value;
    return null;
  } catch (error) {
    if (!(error instanceof PreftuneError))
      return `a row threw ${error instanceof Error ? error.stack : error}`;
    return error.message.startsWith(`${path}:`) ? null : `a row's fault names no file: ${error.message}`;
  }
}

/** The values of the rows that have one. */
export function valuesOf(rows: readonly RawRow[]): (Record<string, unknown> | null)[] {
  return rows.map((row) => {
    try {
      return row.value;
    } catch {
      return null;
    }
  });
}

function shown(file: Buffer): string {
  return file.length > 400
    ? `${file.subarray(0, 400).toString("base64")}... (${file.length} bytes)`
    : file.toString("base64");
}

/** A seed with one to four changes. */
function mutated({ seeds, pieces }: FuzzTarget, random: Random): Buffer {
  let file: Buffer = Buffer.from(random.pick(seeds));
  for (let left = 1 + random.below(4); left > 0; left--) file = changed(file, seeds, pieces, random);
  return file;
}

const interesting = [0x00, 0x01, 0x7f, 0x80, 0xff, 0x0a, 0x0d, 0x22, 0x5c, 0x2c, 0x5b, 0x5d, 0x7b, 0x7d];

function changed(file: Buffer, seeds: readonly Buffer[], pieces: readonly Buffer[], random: Random): Buffer {
  const at = random.below(file.length + 1);
  const end = Math.min(file.length, at + random.below(16));
  const join3 = (middle: Buffer, from: number): Buffer =>
    Buffer.concat([file.subarray(0, at), middle, file.subarray(from)]);
  switch (random.below(9)) {
    case 0:
      if (at < file.length) file[at] = (file[at] ?? 0) ^ (1 << random.below(8));
      return file;
    case 1:
      if (at < file.length) file[at] = random.pick(interesting);
      return file;
    case 2:
      if (at < file.length) file[at] = random.below(256);
      return file;
    case 3:
      return join3(Buffer.alloc(0), end);
    case 4:
      return join3(file.subarray(at, end), at);
    case 5:
      return file.subarray(0, at);
    case 6: {
      const other = random.pick(seeds);
      return join3(other.subarray(random.below(other.length + 1)), end);
    }
    default:
      return pieces.length === 0 ? file : join3(random.pick(pieces), random.below(2) === 0 ? at : end);
  }
}
