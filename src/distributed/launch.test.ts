/** The variables of each launcher, as it sets them, and what is wrong with them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ConfigError } from "../base/errors.ts";
import { readJob, readLaunch } from "./launch.ts";

const torchrun = {
  RANK: "5",
  WORLD_SIZE: "8",
  LOCAL_RANK: "1",
  LOCAL_WORLD_SIZE: "4",
  MASTER_ADDR: "host-a",
  MASTER_PORT: "29501",
  TORCHELASTIC_RUN_ID: "none",
  TORCHELASTIC_USE_AGENT_STORE: "True",
  TORCHELASTIC_RESTART_COUNT: "2",
};

test("torchrun: its agent serves the store", () => {
  assert.deepEqual(readLaunch(torchrun), {
    launcher: "torchrun",
    ...{ rank: 5, size: 8, localRank: 1, localSize: 4, host: "host-a", port: 29_501 },
    ...{ isStoreOurs: false, round: 0 },
  });
});

test("a job is what a launcher starts again: one process or several, where it has a name of its own", () => {
  assert.deepEqual(readJob({}), { id: null, restarts: 0 });
  // "none" is what every torchrun has that was given no --rdzv-id
  assert.deepEqual(readJob(torchrun), { id: null, restarts: 2 });
  const alone = { RANK: "0", WORLD_SIZE: "1", TORCHELASTIC_RUN_ID: "a", TORCHELASTIC_RESTART_COUNT: "1" };
  assert.deepEqual(readJob(alone), { id: "torchrun a", restarts: 1 });
  assert.deepEqual(readJob({ ...srun, SLURM_RESTART_COUNT: "3" }), { id: "Slurm 4321", restarts: 3 });
  // one process as well
  const one = { ...srun, SLURM_NTASKS: "1", SLURM_STEP_NUM_TASKS: "1", SLURM_PROCID: "0" };
  assert.deepEqual(readJob({ ...one, SLURM_RESTART_COUNT: "1" }), { id: "Slurm 4321", restarts: 1 });
  const typed = { ...one, SLURM_STEP_ID: "4294967290", SLURM_RESTART_COUNT: "1" };
  assert.deepEqual(readJob(typed), { id: null, restarts: 0 });
  // of the job, not of what is typed into its shell
  const { SLURM_STEP_ID: _, ...shell } = { ...srun, SLURM_RESTART_COUNT: "3" };
  assert.deepEqual(readJob(shell), { id: null, restarts: 0 });
});

test("RANK and WORLD_SIZE alone, as Kubeflow sets them: one process a pod, rank 0 serves the store", () => {
  const variables = { RANK: "1", WORLD_SIZE: "2", MASTER_ADDR: "job-master-0", MASTER_PORT: "23456" };
  const launch = readLaunch(variables);
  assert.deepEqual([launch?.launcher, launch?.localRank, launch?.localSize], ["variables", 0, 1]);
  assert.equal(launch?.isStoreOurs, true);
});

const srun = {
  SLURM_JOB_ID: "4321",
  SLURM_STEP_ID: "0",
  SLURM_PROCID: "3",
  SLURM_NTASKS: "4",
  SLURM_LOCALID: "1",
  SLURM_NTASKS_PER_NODE: "2(x2)",
  SLURM_JOB_NODELIST: "gpu[03-04]",
};

test("srun: the first host of the job, a port of the job's own", () => {
  const launch = readLaunch(srun);
  assert.deepEqual([launch?.rank, launch?.size, launch?.localRank, launch?.localSize], [3, 4, 1, 2]);
  assert.deepEqual([launch?.host, launch?.port, launch?.launcher], ["gpu03", 19_321, "srun"]);
  assert.equal(readLaunch({ ...srun, SLURM_STEP_NUM_TASKS: "8" })?.size, 8);
  assert.equal(readLaunch({ ...srun, MASTER_ADDR: "10.0.0.1" })?.host, "10.0.0.1");
});

// salloc --nodes 2 --ntasks-per-node 8, then srun with fewer tasks: the job's own variable stays as it is
const wide = { ...srun, SLURM_NTASKS_PER_NODE: "8", SLURM_NTASKS: "3", SLURM_PROCID: "1" };
for (const [what, variables, place] of [
  ["srun --ntasks 2 on one host", { SLURM_NTASKS: "2", SLURM_STEP_TASKS_PER_NODE: "2" }, [1, 2, 1, 2]],
  [
    "the second host of two with a task each",
    { SLURM_NTASKS: "2", SLURM_LOCALID: "0", SLURM_NODEID: "1", SLURM_STEP_TASKS_PER_NODE: "1(x2)" },
    [1, 2, 0, 1],
  ],
  ["the first host of an uneven step", { SLURM_NODEID: "0", SLURM_TASKS_PER_NODE: "2,1" }, [1, 3, 1, 2]],
  [
    "the step's variables beside the job's",
    {
      SLURM_NTASKS: "16",
      SLURM_STEP_NUM_TASKS: "3",
      SLURM_TASKS_PER_NODE: "8(x2)",
      SLURM_STEP_TASKS_PER_NODE: "3",
    },
    [1, 3, 1, 3],
  ],
  ["the job's variable alone: not all on one host", { SLURM_LOCALID: "0" }, [1, 3, 0, 1]],
] as const) {
  test(`a step of fewer tasks than the job's nodes have: ${what}`, () => {
    const launch = readLaunch({ ...wide, ...variables });
    assert.deepEqual([launch?.rank, launch?.size, launch?.localRank, launch?.localSize], place);
  });
}

test("tasks of each host that are no list", () => {
  assert.throws(
    () => readLaunch({ ...wide, SLURM_STEP_TASKS_PER_NODE: "2;1" }),
    /SLURM_STEP_TASKS_PER_NODE: expected tasks of each host as "2\(x3\),1", got "2;1"/,
  );
});

for (const [list, first] of [
  ["node1", "node1"],
  ["node1,node2", "node1"],
  ["gpu[7,9-12]", "gpu7"],
  ["rack[1-2]n[05-06],login", "rack1n05"],
  ["c[001-002].example.org", "c001.example.org"],
] as const) {
  test(`the first host of ${list}`, () => {
    assert.equal(readLaunch({ ...srun, SLURM_JOB_NODELIST: list })?.host, first);
  });
}

test("mpirun of Open MPI and of MPICH: on one host without an address", () => {
  const openMpi = {
    OMPI_COMM_WORLD_RANK: "1",
    OMPI_COMM_WORLD_SIZE: "2",
    OMPI_COMM_WORLD_LOCAL_RANK: "1",
    OMPI_COMM_WORLD_LOCAL_SIZE: "2",
  };
  assert.deepEqual([readLaunch(openMpi)?.host, readLaunch(openMpi)?.port], ["127.0.0.1", 29_500]);
  const apart = { ...openMpi, OMPI_COMM_WORLD_LOCAL_RANK: "0", OMPI_COMM_WORLD_LOCAL_SIZE: "1" };
  assert.throws(() => readLaunch(apart), /MASTER_ADDR is missing/);
  const mpich = { PMI_RANK: "0", PMI_SIZE: "3", MPI_LOCALRANKID: "0", MPI_LOCALNRANKS: "3" };
  assert.equal(readLaunch(mpich)?.size, 3);
});

test("mpirun in a job of Slurm: a process has the variables of the daemon's step too, one task a host", () => {
  // the second of three tasks, on hosts other than mpirun's own
  const daemon = { ...srun, SLURM_STEP_NUM_TASKS: "3", SLURM_PROCID: "1", SLURM_LOCALID: "0" };
  const openMpi = {
    OMPI_COMM_WORLD_RANK: "9",
    OMPI_COMM_WORLD_SIZE: "16",
    OMPI_COMM_WORLD_LOCAL_RANK: "1",
    OMPI_COMM_WORLD_LOCAL_SIZE: "4",
  };
  const hydra = { PMI_RANK: "9", PMI_SIZE: "16", MPI_LOCALRANKID: "1", MPI_LOCALNRANKS: "4" };
  for (const names of [openMpi, hydra]) {
    assert.deepEqual(readLaunch({ ...daemon, ...names, MASTER_ADDR: "host-a" }), {
      launcher: "mpirun",
      ...{ rank: 9, size: 16, localRank: 1, localSize: 4, host: "host-a", port: 29_500 },
      ...{ isStoreOurs: true, round: 0 },
    });
  }
  // srun --mpi=pmi2: the step's own place
  const pmi = readLaunch({ ...srun, PMI_RANK: "3", PMI_SIZE: "4" });
  assert.deepEqual([pmi?.launcher, pmi?.rank, pmi?.size], ["srun", 3, 4]);
});

const { SLURM_STEP_ID: _, ...allocated } = srun;
for (const [what, variables] of [
  ["no launcher", {}],
  ["a launcher of one process", { RANK: "0", WORLD_SIZE: "1" }],
  ["a shell of salloc", allocated],
  ["a shell of salloc that is a step", { ...srun, SLURM_STEP_ID: "4294967290", SLURM_PROCID: "0" }],
  ["srun with one task", { ...srun, SLURM_NTASKS: "1", SLURM_PROCID: "0" }],
  ["torchrun's variables for one node", { PET_NNODES: "1" }],
] as const) {
  test(`${what}: the only process`, () => assert.equal(readLaunch(variables), null));
}

for (const [what, variables, message] of [
  ["RANK alone", { RANK: "0" }, /WORLD_SIZE is missing: expected how many processes there are, beside RANK/],
  ["WORLD_SIZE alone", { WORLD_SIZE: "2" }, /RANK is missing/],
  ["a rank too high", { ...torchrun, RANK: "8" }, /RANK is 8 and WORLD_SIZE is 8: expected ranks from 0/],
  ["a rank below 0", { ...torchrun, RANK: "-1" }, /RANK: expected a whole number, got "-1"/],
  [
    "a size that is no number",
    { ...torchrun, WORLD_SIZE: "two" },
    /WORLD_SIZE: expected a whole number, got "two"/,
  ],
  ["no address", { ...torchrun, MASTER_ADDR: " " }, /MASTER_ADDR is missing/],
  ["a port too high", { ...torchrun, MASTER_PORT: "70000" }, /MASTER_PORT: expected a port from 1 to 65535/],
  ["a local rank too high", { ...torchrun, LOCAL_RANK: "4" }, /LOCAL_RANK is 4, LOCAL_WORLD_SIZE is 4/],
  ["torchrun's variables without torchrun", { PET_NNODES: "2" }, /PET_NNODES is 2.*torchrun --no-python/],
] as const) {
  test(`${what} is refused by name`, () => {
    assert.throws(
      () => readLaunch(variables),
      (error: unknown) => error instanceof ConfigError && message.test(error.message),
    );
  });
}
