/** What the launcher of a run with several processes says of each: its rank, how many there are, where they meet. Nothing else reads these variables. */
import { ConfigError } from "../base/errors.ts";
import { firstHost, tasksOfHost } from "./slurm-hosts.ts";

/** The place of a process among those of a run. */
export interface Launch {
  launcher: "torchrun" | "variables" | "srun" | "mpirun";
  /** From 0; unique in the run. */
  rank: number;
  /** Processes of the run, at least 2. */
  size: number;
  /** From 0; unique on the host. */
  localRank: number;
  /** Processes on the host. */
  localSize: number;
  /** Where the store is: a name or an address, and a port. */
  host: string;
  port: number;
  /** Whether the store is served by rank 0; else by the launcher. */
  isStoreOurs: boolean;
  /** Which start of the run this is among those that use the store. Of torchrun known once the ranks meet: its agents count by themselves. */
  round: number;
}

/** What a launcher starts again when it fails. */
export interface Job {
  /** The same for all starts, and no other job's; null where the launcher gives none. */
  id: string | null;
  /** How often it has started this process again; above 0 the run resumes. */
  restarts: number;
}

/** Variables of a process. */
type Variables = Readonly<Record<string, string | undefined>>;

/** The names that a launcher has for the place of a process. */
interface Names {
  rank: string;
  size: string;
  localRank: string;
  localSize: string;
}

const NAMES = {
  usual: { rank: "RANK", size: "WORLD_SIZE", localRank: "LOCAL_RANK", localSize: "LOCAL_WORLD_SIZE" },
  srun: {
    rank: "SLURM_PROCID",
    size: "SLURM_NTASKS",
    localRank: "SLURM_LOCALID",
    localSize: "SLURM_NTASKS_PER_NODE",
  },
  openMpi: {
    rank: "OMPI_COMM_WORLD_RANK",
    size: "OMPI_COMM_WORLD_SIZE",
    localRank: "OMPI_COMM_WORLD_LOCAL_RANK",
    localSize: "OMPI_COMM_WORLD_LOCAL_SIZE",
  },
  // Intel MPI and MPICH
  mpich: { rank: "PMI_RANK", size: "PMI_SIZE", localRank: "MPI_LOCALRANKID", localSize: "MPI_LOCALNRANKS" },
} as const satisfies Record<string, Names>;

/** The step of Slurm in which `salloc` and `sbatch --interactive` give a shell: one process, however many tasks the job has. */
const interactiveStep = "4294967290";
/** Ports of Slurm's jobs begin here, so that two jobs of a host do not meet. */
const [firstPort, ports] = [15_000, 20_000];
/** The port that PyTorch's launchers use unless one is given. */
const usualPort = 29_500;

/**
 * The place of this process; null where it is the only one.
 *
 * Looked for in this order: RANK and WORLD_SIZE (torchrun, Kubeflow), `mpirun` of Open MPI, of MPICH and Intel MPI, a step of `srun`. In a
 * job of Slurm an `mpirun` starts its daemons as a step, whose variables what they start has too; `srun` sets none that only `mpirun` has.
 *
 * @throws {ConfigError} naming the variable that is missing or wrong
 */
export function readLaunch(variables: Variables = process.env): Launch | null {
  if (given(variables, "RANK") !== null || given(variables, "WORLD_SIZE") !== null)
    return ofVariables(variables);
  if (given(variables, NAMES.openMpi.rank) !== null) return ofMpi(variables, NAMES.openMpi);
  const hasMpich = given(variables, NAMES.mpich.rank) !== null;
  // srun --mpi=pmi2 sets PMI_RANK as well
  if (hasMpich && given(variables, NAMES.mpich.localRank) !== null) return ofMpi(variables, NAMES.mpich);
  if (isStep(variables) && sizeOfStep(variables) !== "1") return ofSlurm(variables);
  if (hasMpich) return ofMpi(variables, NAMES.mpich);
  const nodes = given(variables, "PET_NNODES");
  if (nodes === null || nodes === "1") return null;
  throw new ConfigError(
    `PET_NNODES is ${nodes}, which torchrun reads, and this process was not started by torchrun. Start it so: torchrun --no-python preftune train RUN.yaml`,
  );
}

/** What says that a process is one of several. */
export function startedBy({ launcher }: Launch): string {
  return launcher === "variables" ? "RANK and WORLD_SIZE are set" : `started by ${launcher}`;
}

/** The job that this process, one of several or the only one, was started for. */
export function readJob(variables: Variables = process.env): Job {
  const run = given(variables, "TORCHELASTIC_RUN_ID");
  if (run !== null) {
    // "none" is what all have that were not given one
    const id = run === "none" ? null : `torchrun ${run}`;
    return { id, restarts: wholeOr(variables, "TORCHELASTIC_RESTART_COUNT", 0) };
  }
  if (!isStep(variables)) return { id: null, restarts: 0 };
  const job = given(variables, "SLURM_JOB_ID");
  return { id: job === null ? null : `Slurm ${job}`, restarts: wholeOr(variables, "SLURM_RESTART_COUNT", 0) };
}

function ofVariables(variables: Variables): Launch | null {
  const place = placeOf(variables, NAMES.usual);
  if (place === null) return null;
  const isTorchrun = given(variables, "TORCHELASTIC_RUN_ID") !== null;
  return {
    launcher: isTorchrun ? "torchrun" : "variables",
    ...place,
    host: required(variables, "MASTER_ADDR", "the name or address of rank 0's host"),
    port: portOf(required(variables, "MASTER_PORT", "a free port of rank 0's host"), "MASTER_PORT"),
    isStoreOurs: given(variables, "TORCHELASTIC_USE_AGENT_STORE") !== "True",
    round: 0,
  };
}

/** Whether `srun` started this process, alone or with others; nobody did one that was typed into the shell of `salloc`. */
function isStep(variables: Variables): boolean {
  const step = given(variables, "SLURM_STEP_ID");
  return step !== null && step !== interactiveStep && given(variables, NAMES.srun.rank) !== null;
}

/** The tasks of the step; SLURM_NTASKS may be the job's. */
function sizeOfStep(variables: Variables): string | null {
  return given(variables, "SLURM_STEP_NUM_TASKS") ?? given(variables, NAMES.srun.size);
}

/** The tasks of the step on this host. SLURM_NTASKS_PER_NODE is the job's, which a step of fewer tasks keeps. */
function localSizeOfStep(variables: Variables, size: number): number | null {
  const node = wholeOr(variables, "SLURM_NODEID", 0);
  for (const name of ["SLURM_STEP_TASKS_PER_NODE", "SLURM_TASKS_PER_NODE"]) {
    const list = given(variables, name);
    const tasks = list === null ? null : tasksOfHost({ list, name }, node);
    if (tasks?.total === size) return tasks.here;
  }
  const ofJob = wholeOr(variables, NAMES.srun.localSize, 0);
  return ofJob >= 1 && ofJob <= size ? ofJob : null;
}

function ofSlurm(variables: Variables): Launch | null {
  const size = sizeOfStep(variables) ?? undefined;
  const localSize = size === undefined ? null : localSizeOfStep(variables, whole(size, NAMES.srun.size));
  const place = placeOf(
    {
      ...{ ...variables, [NAMES.srun.size]: size },
      [NAMES.srun.localSize]: localSize === null ? undefined : String(localSize),
    },
    NAMES.srun,
  );
  if (place === null) return null;
  const list = given(variables, "SLURM_STEP_NODELIST") ?? given(variables, "SLURM_JOB_NODELIST");
  const job = wholeOr(variables, "SLURM_JOB_ID", 0);
  return {
    launcher: "srun",
    ...place,
    host: given(variables, "MASTER_ADDR") ?? firstHost(list ?? "127.0.0.1"),
    port: portOf(given(variables, "MASTER_PORT") ?? String(firstPort + (job % ports)), "MASTER_PORT"),
    isStoreOurs: true,
    round: readJob(variables).restarts,
  };
}

function ofMpi(variables: Variables, names: Names): Launch | null {
  const place = placeOf(variables, names);
  if (place === null) return null;
  const isOneHost = place.localSize === place.size;
  const host = given(variables, "MASTER_ADDR") ?? (isOneHost ? "127.0.0.1" : null);
  return {
    launcher: "mpirun",
    ...place,
    host: host ?? required(variables, "MASTER_ADDR", "the name or address of rank 0's host"),
    port: portOf(given(variables, "MASTER_PORT") ?? String(usualPort), "MASTER_PORT"),
    isStoreOurs: true,
    round: 0,
  };
}

type Place = Pick<Launch, "rank" | "size" | "localRank" | "localSize">;

/** Null where there is one process. */
function placeOf(variables: Variables, names: Names): Place | null {
  const rank = whole(
    required(variables, names.rank, `this process's number, beside ${names.size}`),
    names.rank,
  );
  const size = whole(
    required(variables, names.size, `how many processes there are, beside ${names.rank}`),
    names.size,
  );
  if (size < 1 || rank >= size) {
    throw new ConfigError(
      `${names.rank} is ${rank} and ${names.size} is ${size}: expected ranks from 0 to ${names.size} - 1. Two launchers may have set them: unset both, or set both.`,
    );
  }
  if (size === 1) return null;
  const localRank = wholeOr(variables, names.localRank, 0);
  // a process a host, where nothing is said
  const isAlone = given(variables, names.localRank) === null;
  const localSize = wholeOr(variables, names.localSize, isAlone ? 1 : localRank + 1);
  if (localRank >= localSize || localSize > size) {
    throw new ConfigError(
      `${names.localRank} is ${localRank}, ${names.localSize} is ${localSize} and ${names.size} is ${size}: expected a local rank below ${names.localSize}, and that at most ${names.size}.`,
    );
  }
  return { rank, size, localRank, localSize };
}

function given(variables: Variables, name: string): string | null {
  const value = variables[name]?.trim() ?? "";
  return value === "" ? null : value;
}

function required(variables: Variables, name: string, what: string): string {
  const value = given(variables, name);
  if (value !== null) return value;
  throw new ConfigError(
    `${name} is missing: expected ${what}. torchrun sets it; by hand, set it for each process.`,
  );
}

function whole(text: string, name: string): number {
  // Slurm writes "2(x3)" for three hosts with two tasks each
  const [, digits] = /^(\d{1,7})(?:\(x\d+\))?$/.exec(text) ?? [];
  if (digits !== undefined) return Number(digits);
  throw new ConfigError(`${name}: expected a whole number, got "${text}".`);
}

function wholeOr(variables: Variables, name: string, fallback: number): number {
  const value = given(variables, name);
  return value === null ? fallback : whole(value, name);
}

function portOf(text: string, name: string): number {
  const port = whole(text, name);
  if (port >= 1 && port <= 65_535) return port;
  throw new ConfigError(`${name}: expected a port from 1 to 65535, got ${port}.`);
}
