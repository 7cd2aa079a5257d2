/** Commands as launchers start them: what one process alone can do, own restarts, errors that torchrun shows. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import type { Command } from "commander";
import { program } from "../../src/cli/program.ts";
import { start } from "../support/command.ts";
import {
  allEnded,
  freePort,
  placesOf,
  skipWithoutTorchrun,
  startRankPrograms,
  startRanks,
  startTorchrun,
  type Variables,
} from "../support/rank-processes.ts";
import { scratch } from "../support/scratch.ts";

const dir = mkdtempSync(join(scratch(), "preftune-launchers-"));
after(() => rmSync(dir, { recursive: true, force: true }));

const values = {
  objective: "simpo",
  model_name_or_path: join(dir, "model"),
  train_data: join(dir, "train.jsonl"),
  output_dir: join(dir, "run"),
  device: "cpu",
};
const good = join(dir, "run.yaml");
writeFileSync(good, JSON.stringify(values));
const bad = join(dir, "bad.yaml");
writeFileSync(bad, JSON.stringify({ ...values, learning_rte: 1 }));

/** Runs `body` in this process with variables set. */
async function withVariables<T>(variables: Variables, body: () => Promise<T>): Promise<T> {
  const before = { ...process.env };
  Object.assign(process.env, variables);
  try {
    return await body();
  } finally {
    process.env = before;
  }
}

/** Each command that has no commands below it, with arguments that parse. */
function leaves(command: Command, words: string[] = []): string[][] {
  if (command.commands.length > 0) {
    return command.commands.flatMap((each) => leaves(each, [...words, each.name()]));
  }
  const needed = command.options.filter(({ mandatory }) => mandatory);
  const given = command.registeredArguments
    .filter(({ required }) => required)
    .map(({ argChoices }) => argChoices?.[0] ?? "1");
  return [
    [
      ...words,
      ...given,
      ...needed.flatMap(({ long, argChoices }) => [
        long ?? "",
        argChoices?.[0] ?? (long === "--judge" ? "http://127.0.0.1/v1#judge" : "1"),
      ]),
    ],
  ];
}

test("commands of one process are refused by name, with what to do, under each launcher", async () => {
  const [place = {}] = placesOf(4, 29_500);
  const slurm = { SLURM_STEP_ID: "0", SLURM_PROCID: "0", SLURM_NTASKS: "4", SLURM_LOCALID: "0" };
  const openMpi = { OMPI_COMM_WORLD_RANK: "0", OMPI_COMM_WORLD_SIZE: "4", MASTER_ADDR: "a" };
  const cases: [Variables, RegExp][] = [
    [
      { ...place, TORCHELASTIC_RUN_ID: "a" },
      /one of 4 \(started by torchrun\)\. Start it by itself: preftune .*, without torchrun\.$/,
    ],
    [
      place,
      /one of 4 \(RANK and WORLD_SIZE are set\)\. Start it by itself: env -u RANK -u WORLD_SIZE preftune /,
    ],
    [slurm, /one of 4 \(started by srun\)\. Start it by itself: srun --ntasks=1 preftune /],
    [openMpi, /one of 4 \(started by mpirun\)\. Start it by itself: mpirun -n 1 preftune /],
  ];
  const commands = leaves(await program()).filter(
    ([name]) => !["train", "score", "generate"].includes(name ?? ""),
  );
  const names = commands.map(([name]) => name);
  for (const name of ["merge", "serve", "study", "sweep", "evaluate"]) assert.ok(names.includes(name), name);
  for (const [variables, expected] of cases) {
    for (const words of commands) {
      const run = withVariables(variables, async () =>
        (await program(words)).parseAsync(words, { from: "user" }),
      );
      await assert.rejects(run, ({ name, message }: Error) => {
        assert.equal(name, "ConfigError", `${words}: ${message}`);
        assert.ok(message.startsWith(`preftune ${words[0]}`), message);
        assert.match(message, expected);
        return true;
      });
    }
  }
});

test("train --max-restarts names the launcher's own restarts", async () => {
  const [place = {}] = placesOf(2, 29_500);
  for (const [variables, instead] of [
    [{ ...place, TORCHELASTIC_RUN_ID: "a" }, /torchrun --max-restarts 3/],
    [place, /restartPolicy/],
    [{ SLURM_STEP_ID: "0", SLURM_PROCID: "1", SLURM_NTASKS: "4", SLURM_LOCALID: "0" }, /--requeue/],
  ] as [Variables, RegExp][]) {
    const { status, stderr } = await start(["train", good, "--max-restarts", "3"], variables).ended;
    assert.equal(status, 2);
    assert.match(stderr, /^preftune: --max-restarts restarts one process, and this is one of /);
    assert.match(stderr, instead);
  }
});

test("variables of a launcher that make no sense are named", async () => {
  const [place = {}] = placesOf(2, 29_500);
  for (const [variables, expected] of [
    [{ RANK: "0" }, /WORLD_SIZE is missing: expected how many processes there are/],
    [{ ...place, RANK: "2" }, /RANK is 2 and WORLD_SIZE is 2: expected ranks from 0 to WORLD_SIZE - 1/],
    [{ ...place, MASTER_PORT: "99999" }, /MASTER_PORT: expected a port from 1 to 65535, got 99999/],
    [{ ...place, MASTER_ADDR: "" }, /MASTER_ADDR is missing/],
    [{ ...place, RANK: "one" }, /RANK: expected a whole number, got "one"/],
  ] as [Variables, RegExp][]) {
    const { status, stderr } = await start(["train", good], variables).ended;
    assert.equal(status, 2);
    assert.match(stderr, expected);
  }
});

test("a rank whose configuration cannot be read tells the others, whether or not it serves the store", async () => {
  for (const failing of [0, 1]) {
    const places = placesOf(2, await freePort());
    const [other = {}] = places.filter((_, rank) => rank !== failing);
    const waiting = startRankPrograms("start-child.ts", [{ ...other, PLAN: JSON.stringify({ values }) }]);
    const ranks = startRanks(["train", bad], [places[failing] ?? {}]);
    const [own, told] = await allEnded([...ranks, ...waiting]);
    assert.equal(own?.status, 2);
    assert.match(own?.stderr ?? "", /^preftune: .*learning_rte/);
    assert.equal(told?.status, 8);
    const { message } = JSON.parse(told?.stdout.trim().split("\n").at(-1) ?? "") as Error;
    assert.match(message, new RegExp(`^rank ${failing} \\(host \\S+, pid \\d+\\): .*learning_rte`));
  }
});

test("torchrun, by the variables of Kubeflow's version 2, shows the whole message of the rank at fault", {
  skip: skipWithoutTorchrun(),
}, async () => {
  const kubeflow = {
    PET_NNODES: "1",
    PET_NPROC_PER_NODE: "2",
    PET_NODE_RANK: "0",
    PET_MASTER_ADDR: "127.0.0.1",
    PET_MASTER_PORT: String(await freePort()),
  };
  const { status, stderr } = await startTorchrun([], ["train", bad], kubeflow).ended;
  assert.equal(status, 1);
  assert.match(stderr, /exitcode +: 2 /);
  assert.match(stderr, /traceback : .*bad\.yaml.*learning_rte.*learning_rate/s);
});

test("only the rank at fault writes the file that torchrun reads", async () => {
  const file = join(dir, "error.json");
  await start(["train", bad], { TORCHELASTIC_ERROR_FILE: file }).ended;
  const { message } = JSON.parse(readFileSync(file, "utf8"));
  assert.match(message.message, /learning_rte/);
  assert.equal(message.extraInfo.py_callstack, message.message);
  assert.match(message.extraInfo.timestamp, /^\d{10}$/);
});
