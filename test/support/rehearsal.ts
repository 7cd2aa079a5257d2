/**
 * A device to rehearse GPUs on, for machines without one (docs/rehearsal.md): compiled when it is first used, kept beside the
 * addon, and loaded into this process, where torch has it from then on as `rehearsal:0`,
 * and a second one as `rehearsal:1`.
 */
import { createRequire } from "node:module";
import { join } from "node:path";
import { buildUnit } from "../../src/setup/addon.ts";
import { findCompiler } from "../../src/setup/compiler.ts";
import { sourcesHash } from "../../src/setup/native-sources.ts";
import { oneAtATime } from "../../src/setup/one-at-a-time.ts";
import { stateFolder } from "../../src/setup/places.ts";
import { setUp } from "../../src/setup/set-up.ts";
import { devices } from "../../src/torch/index.ts";

/** What was counted since it was asked the last time. */
export interface Counts {
  /** What the computer waited for, each time. */
  waits: string[];
  /** "operator type" -> how often it was launched. */
  launches: Record<string, number>;
  /** Operators that ran at once, since torch has no shapes for them: what was launched before them was then done too. */
  early: string[];
  allocations: number;
  /** Copies to the computer's memory, and of how many bytes. */
  toHost: number;
  toHostBytes: number;
  toDevice: number;
  toDeviceBytes: number;
}

/** The device's own functions. */
export interface Rehearsal {
  counts(): Counts;
  /** Faults found since they were asked for the last time, of which each but the last was also thrown. */
  faults(): string[];
  /** A `fraction` of launches, at random, lets earlier work begin; 0: work begins when it is waited for. */
  setLateness(seed: number, fraction: number): void;
  /** Memory runs out after so many more allocations; less than 0: never. */
  runOutAfter(allocations: number): void;
  /** Works that have not begun. */
  pending(): number;
  /** Launches go to this stream, 0 to 3, from now on. Gives the one of before. */
  useStream(stream: number): number;
  /** What is launched from now on comes after what that stream was given so far. */
  afterStream(stream: number): void;
  /** Reads the device's memory with the processor. */
  touch(): number;
}

/** The device, or why there is none. */
export async function openRehearsal(): Promise<Rehearsal | string> {
  if (process.platform !== "linux") return "the rehearsal device is for Linux";
  const compiler = findCompiler();
  if (compiler === null) return "the rehearsal device needs a C++ compiler, and none is on the path";
  const folder = join(import.meta.dirname, "..", "gpu", "rehearsal");
  const { torch } = await setUp();
  const unit = {
    name: "rehearsal",
    title: "the rehearsal device",
    files: [join(folder, "rehearsal.cpp")],
    // it is made with headers of the addon's too
    sources: sourcesHash(folder) + sourcesHash(),
    extra: ["-O1"],
  };
  const build = () => buildUnit(torch, compiler, unit);
  const path = await oneAtATime(join(stateFolder(), "rehearsal.lock"), () => {}, build);
  // the addon goes first: it has shapes of operators that this one asks for
  devices();
  return createRequire(import.meta.url)(path) as Rehearsal;
}
