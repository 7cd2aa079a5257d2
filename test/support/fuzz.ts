/** Fuzzing of what reads files: inputs mutated from sound ones, by structure and by bytes, each of which must be read or refused by name. */
import { deriveSeed, Random } from "../../src/base/random.ts";
import { campaignSeed, progress } from "./campaign.ts";
import { collectGarbage, memory } from "./memory.ts";

/** A parser under test. */
export interface FuzzTarget<T> {
  /** The next input. */
  make: (random: Random) => T;
  /** Reads it. */
  feed: (input: T) => void;
  /** Whether an error is a refusal rather than a fault. */
  isRefusal: (error: unknown) => boolean;
  show: (input: T) => string;
}

/** The result. */
export interface FuzzOutcome {
  inputs: number;
  accepted: number;
  /** The first faults, with their inputs. */
  faults: string[];
  faultCount: number;
  /** Inputs that took a second of computing. */
  hangs: number;
  slowestMs: number;
  /** Peak of the process above what it had after the first thousand inputs, in MiB. */
  peakMebibytes: number;
}

/**
 * Feeds `count` inputs, which follow from `PREFTUNE_SEED` (default 1) and their number alone.
 *
 * @param first - number of the first input
 */
export function fuzz<T>(what: string, count: number, target: FuzzTarget<T>, first = 0): FuzzOutcome {
  const outcome: FuzzOutcome = {
    inputs: count,
    accepted: 0,
    faults: [],
    faultCount: 0,
    hangs: 0,
    slowestMs: 0,
    peakMebibytes: 0,
  };
  const tell = progress();
  let before = peakMebibytes();
  for (let i = 0; i < count; i++) {
    const input = target.make(new Random(deriveSeed(campaignSeed, first + i)));
    feedOne(first + i, input, target, outcome);
    if (i % 1000 === 0) collectGarbage();
    if (i === 1000) before = peakMebibytes();
    tell(
      () =>
        `${what}: ${i} of ${count} inputs, ${outcome.faultCount} faults, slowest ${Math.round(outcome.slowestMs)} ms`,
    );
  }
  outcome.peakMebibytes = peakMebibytes() - before;
  return outcome;
}

function feedOne<T>(i: number, input: T, target: FuzzTarget<T>, outcome: FuzzOutcome): void {
  let { ms, error } = fed(input, target);
  // what a limit stops may have computed for longer where the load of the machine changed meanwhile: the least of three
  for (let again = 0; again < 2 && ms > 1000; again++) ms = Math.min(ms, fed(input, target).ms);
  if (error === null) outcome.accepted++;
  else if (!target.isRefusal(error.cause)) {
    const { cause } = error;
    outcome.faultCount++;
    const stack = cause instanceof Error ? (cause.stack ?? cause.message).slice(0, 600) : String(cause);
    if (outcome.faults.length < 5)
      outcome.faults.push(`input ${i}: ${stack}\n${target.show(input).slice(0, 3000)}`);
  }
  if (ms > outcome.slowestMs) outcome.slowestMs = ms;
  if (ms > 1000) outcome.hangs++;
}

/** What an input takes of this thread, and what it throws. */
function fed<T>(input: T, { feed }: FuzzTarget<T>): { ms: number; error: { cause: unknown } | null } {
  const began = process.threadCpuUsage();
  let error: { cause: unknown } | null = null;
  try {
    feed(input);
  } catch (cause) {
    error = { cause };
  }
  const { user, system } = process.threadCpuUsage(began);
  return { ms: (user + system) / 1000, error };
}

/** Highest resident memory of this process so far; 0 where the system does not tell. */
function peakMebibytes(): number {
  try {
    return Math.round(memory("VmHWM") / 2 ** 20);
  } catch {
    return 0;
  }
}

/** "1000000 inputs, 0 crashes, 0 above 1 s, slowest 12 ms, memory +3 MiB". */
export function reached({ inputs, faultCount, hangs, slowestMs, peakMebibytes: peak }: FuzzOutcome): string {
  return `${inputs} inputs, ${faultCount} crashes, ${hangs} above 1 s, slowest ${Math.round(slowestMs)} ms, memory +${peak} MiB`;
}

/** Whether nothing crashed, nothing took a second and memory stayed below 256 MiB. */
export function isUnharmed({ faultCount, hangs, peakMebibytes: peak }: FuzzOutcome): boolean {
  return faultCount === 0 && hangs === 0 && peak < 256;
}

const strange: readonly unknown[] = [
  null,
  true,
  false,
  0,
  -0,
  -1,
  1,
  0.5,
  2,
  7,
  255,
  65_536,
  2 ** 31,
  2 ** 32,
  2 ** 53,
  -(2 ** 53),
  1e308,
  -1e308,
  5e-324,
  "",
  " ",
  "a",
  "0",
  "null",
  "__proto__",
  "constructor",
  "toString",
  "length",
  "../x",
  "/etc/passwd",
  "\u0000",
  "\ud800",
  "😀",
  "a".repeat(2000),
  "(a+)+$",
  "[",
  "(?<",
  [],
  {},
  [[]],
  [null],
  [{}],
  { type: "x" },
  { type: null },
  { content: 1 },
];

type Container = unknown[] | Record<string, unknown>;

/** A copy of a JSON value with one to four things in it replaced, removed, doubled, or moved. */
export function mutateJson(random: Random, value: unknown): unknown {
  const copy: unknown = structuredClone(value);
  for (let left = 1 + random.below(4); left > 0; left--) mutateOnce(random, copy);
  return random.below(200) === 0 ? random.pick(strange) : copy;
}

function mutateOnce(random: Random, root: unknown): void {
  const place = placeIn(random, root);
  if (place === null) return;
  const [holder, key] = place;
  const record = holder as Record<string, unknown>;
  switch (random.below(6)) {
    case 0:
      if (Array.isArray(holder)) holder.splice(Number(key), 1);
      else delete record[key];
      break;
    case 1:
      if (Array.isArray(holder)) holder.splice(Number(key), 0, structuredClone(record[key]));
      else set(record, String(random.pick(strange)), structuredClone(record[key]));
      break;
    case 2: {
      const other = placeIn(random, root);
      if (other !== null) set(record, key, structuredClone((other[0] as Record<string, unknown>)[other[1]]));
      break;
    }
    default:
      set(record, key, changed(random, record[key]));
  }
}

/** Own keys only: `__proto__` becomes a member as JSON.parse makes it. */
function set(holder: Record<string, unknown>, key: string, value: unknown): void {
  Object.defineProperty(holder, key, { value, writable: true, enumerable: true, configurable: true });
}

function changed(random: Random, value: unknown): unknown {
  if (typeof value === "number" && random.below(2) === 0) {
    return random.pick([value + 1, value - 1, -value, value * 2, value / 2, value * 1e6]);
  }
  if (typeof value === "string" && random.below(2) === 0) return mutateText(random, value, [value]);
  return structuredClone(random.pick(strange));
}

/** A place in a JSON value: walks down at random, so that what is near the root is met as often as long lists. */
function placeIn(random: Random, root: unknown): [Container, string] | null {
  let holder: unknown = root;
  let place: [Container, string] | null = null;
  while (typeof holder === "object" && holder !== null) {
    const keys = Object.keys(holder);
    if (keys.length === 0) break;
    const key = random.pick(keys);
    place = [holder as Container, key];
    if (random.below(4) === 0) break;
    holder = (holder as Record<string, unknown>)[key];
  }
  return place;
}

/** A copy of a text with one to four pieces changed, removed, doubled, or taken from `words`. */
export function mutateText(random: Random, text: string, words: readonly string[]): string {
  let changing = text;
  for (let left = 1 + random.below(4); left > 0; left--) {
    const at = random.below(changing.length + 1);
    const end = Math.min(changing.length, at + random.below(random.below(3) === 0 ? 60 : 6));
    const piece = changing.slice(at, end);
    const instead = [
      "",
      piece + piece,
      random.pick(words),
      piece + random.pick(words),
      String.fromCharCode(random.below(128)),
      String.fromCharCode(random.below(65_536)),
      piece.repeat(random.below(20)),
      String(random.pick(strange)).slice(0, 40),
    ];
    changing = changing.slice(0, at) + random.pick(instead) + changing.slice(end);
  }
  return changing;
}

/** What `mutateText` puts into JSON. */
export const jsonWords: readonly string[] = [
  ...[",", "{", "}", "[", "]", '"', ":", '"type"', "null", "1e999", "NaN", "\\ud800", "\\u0000", "../"],
];

/** The same of YAML. */
export const yamlWords: readonly string[] = [
  "\n",
  ": ",
  "- ",
  "[",
  "]",
  "{",
  "}",
  "&a ",
  "*a",
  "!!int ",
  "? ",
  "|\n",
  ">-\n",
  "'",
  '"',
  "#",
  "<<: ",
  "%YAML 1.1\n",
  "---\n",
  "\t",
  "null",
  "1e999",
  ".nan",
  "0o17",
  "~",
  ",",
  "- - - ",
];

/** `value` mutated by its structure, as JSON of which one in ten is changed as text besides. */
export function mutatedJson(random: Random, value: unknown): string {
  return sometimesAsText(random, JSON.stringify(mutateJson(random, value)));
}

/** `json`, one in ten changed as text. */
export function sometimesAsText(random: Random, json: string): string {
  return random.below(10) === 0 ? mutateText(random, json, jsonWords) : json;
}
