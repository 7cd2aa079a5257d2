/** Every signal that asks to stop, once and twice, to every process it may reach: what each must leave behind. */
import assert from "node:assert/strict";
import { existsSync, rmSync } from "node:fs";
import { setTimeout as wait } from "node:timers/promises";
import { Random } from "../../src/base/random.ts";
import { listCheckpoints } from "../../src/runs/checkpoints.ts";
import { amount, campaignSeed, figure, isNightly } from "./campaign.ts";
import { shell } from "./command.ts";
import { type RunFixture, runFixture } from "./runs.ts";
import { endlessRun, isFlushed, stoppedWell, Training, type Way } from "./signalled.ts";

const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
const targets = ["process", "launcher", "group"] as const;

interface Cell {
  signal: (typeof signals)[number];
  /** 2: again within a second. */
  times: 1 | 2;
  target: (typeof targets)[number];
}

const cells: Cell[] = signals.flatMap((signal) =>
  targets.flatMap((target) => ([1, 2] as const).map((times) => ({ signal, times, target }))),
);

const nameOf = ({ signal, times, target }: Cell): string =>
  `${signal} ${times === 1 ? "once" : "twice"} to the ${target}`;

/** One run: started, asked to stop at a random moment, looked at. Gives the hint that resumes, null where none can be read. */
async function stopped(
  fixture: RunFixture,
  way: Way,
  { cell, random }: { cell: Cell; random: Random },
): Promise<string | null> {
  const training = new Training(fixture, way, { yaml: fixture.path("endless.yaml"), name: "run" });
  await training.reaches(1 + random.below(5));
  await wait(random.next() * 30);
  const pid = { process: training.trainerPid, launcher: training.launcherPid, group: null }[cell.target];
  training.send(cell.signal, pid);
  if (cell.times === 2) {
    const sent = performance.now();
    await wait(random.next() * 200);
    // on a machine so busy that this took long, the two would not be one: again
    if (performance.now() - sent > 800) {
      await training.ended;
      clear(fixture);
      return stopped(fixture, way, { cell, random });
    }
    training.send(cell.signal, pid);
  }
  const hint = await stoppedWell(training, nameOf(cell));
  // a terminal that is closed shows nothing more
  const isClosed = way.onTerminal && cell.signal === "SIGHUP" && cell.target === "group";
  if (!isClosed && !isFlushed(training.output)) assert.ok(hint !== null, training.output);
  return hint;
}

function clear(fixture: RunFixture): void {
  for (const name of ["run", "run.ended", "run.ended.pid"])
    rmSync(fixture.path(name), { recursive: true, force: true });
}

/** Pastes the hint, with two more steps to go. */
async function resumes(fixture: RunFixture, hint: string): Promise<void> {
  const { step } = listCheckpoints(fixture.path("run", "checkpoints"))[0] ?? { step: 0 };
  const { status, stderr } = await shell(`${hint} --max_steps ${step + 2}`);
  assert.equal(status, 0, stderr);
  assert.equal(listCheckpoints(fixture.path("run", "checkpoints"))[0]?.step, step);
  assert.ok(existsSync(fixture.path("run", "adapter")));
}

/**
 * The matrix of one way to start a training: three signals, once or twice, to three targets, 20 times each in full.
 *
 * @param few - how many cells the short form tries, one in each run of cells further on
 */
export async function signalMatrix(way: Way, few: number): Promise<void> {
  using fixture = runFixture({ rows: 8, held: 0 });
  endlessRun(fixture);
  const random = new Random(campaignSeed);
  const every = isNightly ? 1 : Math.floor(cells.length / few);
  const tried = cells.filter((_, i) => i % every === every - 1);
  const times = amount(1, Number(process.env["PREFTUNE_SIGNAL_TIMES"] ?? 20));
  let runs = 0;
  let resumed = 0;
  for (const cell of tried) {
    for (let time = 0; time < times; time++) {
      const hint = await stopped(fixture, way, { cell, random });
      if (time === 0 && hint !== null && (isNightly || resumed === 0)) {
        await resumes(fixture, hint);
        resumed += 1;
      }
      clear(fixture);
      runs += 1;
    }
    if (isNightly) console.log(`${nameOf(cell)}, ${way.name}: ${times} times`);
  }
  const what = `${signals.join(", ")} once or twice to the process, its launcher or its group; ${way.name}`;
  const reached = `${runs} of ${runs} ended with status 0, a checkpoint of the step they had reached and a free lock; ${resumed} resumed by the hint`;
  figure(
    17,
    what,
    reached,
    "0 lost",
    runs === tried.length * times,
    "the time from a signal to the end is not measured (first goal: a step and a save), since these tests run beside others",
  );
}
