/** A run's ranks: they meet, compare what must be alike before anything is loaded, and settle what each computes on. */
import { availableParallelism } from "node:os";
import { codeVersion } from "../base/code-version.ts";
import { ConfigError } from "../base/errors.ts";
import { sha256 } from "../base/files.ts";
import type { PhaseListener } from "../base/phase-listener.ts";
import { defaultsOf, flatConfig } from "../config/keys.ts";
import type { ResolvedConfig } from "../config/load-config.ts";
import type { RunConfig } from "../config/run-config.ts";
import { agree, type Fact } from "../distributed/agree.ts";
import { type Job, readJob, readLaunch, startedBy } from "../distributed/launch.ts";
import { deviceOfRank, placeOnHost, requireOwnGpus, threadsOfRank } from "../distributed/machine-of-rank.ts";
import { type GroupLimits, type JoinOptions, RankGroup } from "../distributed/rank-group.ts";
import { failingTogether } from "../distributed/together.ts";
import { localIdentity } from "../evaluate/answers/local-answers.ts";
import { modelFingerprint } from "../formats/model-fingerprint.ts";
import type { Environment } from "../forward/environment.ts";
import type { ChosenLayout } from "../planner/layout.ts";
import { hasCheckpoints } from "../runs/checkpoints.ts";
import { type Fingerprints, isRun, runPaths } from "../runs/run-directory.ts";
import type { WorkListener } from "../runs/train-events.ts";
import type { MatmulLibrary } from "../setup/matmul-choice.ts";
import { identityOfGpu } from "../setup/nvidia.ts";
import { devices, settleMatmul, torchVersion, useDevice } from "../torch/index.ts";
import type { EpochSteps } from "../train/step-source.ts";

/** The ranks of a run; in one process `group` is null and the configuration as it was. */
export interface Ranks {
  group: RankGroup | null;
  /** Resumed where the launcher has started the run again. */
  resolved: ResolvedConfig;
  /** What they were started for. */
  job: Job;
  /** What this rank computes on, in place of what the configuration says of it. */
  machine: Partial<Pick<RunConfig, "device" | "threads">>;
}

/** Options of {@link openRanks}. */
export interface OpenOptions extends Pick<JoinOptions, "signal" | "endsProcess"> {
  onPhase?: PhaseListener | undefined;
}

/**
 * Meets the other ranks of the run, where a launcher has started several, and compares configuration, code and torch with
 * theirs.
 *
 * @throws {ConfigError} naming a rank that has not come, or what differs, on all ranks
 */
export async function openRanks(
  resolved: ResolvedConfig,
  { onPhase = () => {}, ...options }: OpenOptions = {},
): Promise<Ranks> {
  const { config } = resolved;
  const onComing = (come: number, size: number): void => onPhase("ranks", come, size);
  const opened = await open(config, configFacts(config), { ...options, onComing });
  const { group, machine } = opened ?? { group: null, machine: {} };
  return await failingTogether(group, async () => {
    const job = jobOf(group);
    return {
      group,
      machine,
      job,
      resolved: { ...resolved, config: { ...config, ...again(group, job, config) } },
    };
  });
}

/** The job of all ranks: each agent of torchrun counts the restarts that it has seen. */
export function jobOf(group: RankGroup | null): Job {
  const own = readJob();
  if (group === null) return own;
  const { isStoreOurs, round } = group.launch;
  const rounds = isStoreOurs ? 0 : round - 1;
  return { ...own, restarts: Math.max(rounds, ...group.gather(own.restarts)) };
}

/** Meets the other ranks, compares versions and `facts`, and settles what each computes on; null where this process is alone. */
async function open(
  given: GroupLimits & Pick<RunConfig, "device" | "threads">,
  facts: Readonly<Record<string, Fact>>,
  options: JoinOptions,
): Promise<{ group: RankGroup; machine: Pick<RunConfig, "device" | "threads"> } | null> {
  const launch = readLaunch();
  if (launch === null) return null;
  if (process.platform !== "linux") {
    throw new ConfigError(
      `this is one of ${launch.size} ranks (${startedBy(launch)}), and several work on Linux only. Start one process here.`,
    );
  }
  const { rank_start_timeout, rank_timeout } = given;
  // a rank that ends here stays until the others have heard why
  using left = new DisposableStack();
  const group = left.use(await RankGroup.join(launch, { rank_start_timeout, rank_timeout }, options));
  return await failingTogether(group, async () => {
    agree(group, { ...softwareFacts(), ...facts });
    const machine = machineOf(group, given);
    if (machine.device.startsWith("cuda")) group.joinGpus();
    left.move();
    return { group, machine };
  });
}

/** What a command that several ranks do together computes on, on each. */
export interface SharedCommand<Options> {
  /** Null where this process is the only one. */
  group: RankGroup | null;
  options: Options;
}

/**
 * Meets the other ranks of a command that has no run, and gives its options with the device and threads of this rank.
 *
 * @param facts - what must be alike besides versions
 * @throws {ConfigError} naming a rank that has not come, or what differs, on all ranks
 */
export async function openCommand<Options extends Pick<RunConfig, "device" | "threads">>(
  options: Options,
  facts: Readonly<Record<string, Fact>>,
): Promise<SharedCommand<Options>> {
  const limits = defaultsOf(["rank_start_timeout", "rank_timeout"]);
  const opened = await open({ ...limits, ...options }, facts, { endsProcess: true });
  if (opened === null) return { group: null, options };
  return { group: opened.group, options: { ...options, ...opened.machine } };
}

/** `options` whose listeners also say what this rank does, for the others' messages should it be lost. */
export function notedBy<T extends Listeners>(group: RankGroup | null, options: T): T {
  if (group === null) return options;
  const onPhase: PhaseListener = (label, ...how) => {
    group.note(label);
    options.onPhase?.(label, ...how);
  };
  const onWork: WorkListener = (work) => {
    group.note(work.at === "step" ? `step ${work.step}` : `step ${work.step}, ${work.at}`);
    options.onWork?.(work);
  };
  return { ...options, onPhase, onWork };
}

interface Listeners {
  onPhase?: PhaseListener;
  onWork?: WorkListener;
}

const sameCode = "Install the same version on all hosts.";

function softwareFacts(): Record<string, Fact> {
  return {
    preftune: { value: codeVersion(), cure: sameCode },
    torch: { value: torchVersion(), cure: sameCode },
  };
}

function configFacts(config: RunConfig): Record<string, Fact> {
  const cure = "Start all ranks with the same configuration and from the same directory.";
  return Object.fromEntries(
    Object.entries(flatConfig(config)).map(([key, value]) => [
      key,
      { value: JSON.stringify(value ?? null), cure },
    ]),
  );
}

/** What this rank computes on; a GPU is the current one from here on. */
function machineOf(
  group: RankGroup,
  { device, threads }: Pick<RunConfig, "device" | "threads">,
): Pick<RunConfig, "device" | "threads"> {
  const own = deviceOfRank(device, placeOnHost(group), devices());
  if (own.startsWith("cuda:")) useDevice(own);
  requireOwnGpus(group, own.startsWith("cuda:") ? identityOfGpu(own) : null);
  return { device: own, threads: threads ?? threadsOfRank(group, availableParallelism()) };
}

/** A run that its launcher has started again resumes from its newest good checkpoint, as rank 0 sees it; one that never began begins. */
function again(group: RankGroup | null, { restarts }: Job, { output_dir }: RunConfig): Partial<RunConfig> {
  if (restarts === 0) return {};
  const hasBegun = isRun(output_dir) || hasCheckpoints(runPaths(output_dir).checkpoints);
  const resumes = group === null ? hasBegun : group.gather(hasBegun)[0] === true;
  return resumes ? { resume_from_checkpoint: "latest" } : {};
}

/**
 * Requires that all ranks compute in the same way and from the same weights and rows.
 *
 * @param fingerprints - of this rank
 * @throws {ConfigError} naming what differs, on all ranks
 */
export function agreeOnInputs(group: RankGroup | null, fingerprints: Fingerprints): void {
  const { model, adapter, value_model, reward_model, data, reward_files, template, tokenizer } = fingerprints;
  const weights = "Copy the same files to all hosts, or give a path that they share.";
  const rows = "Copy the same files to all hosts, or give paths that they share.";
  const digest = (value: unknown): string => JSON.stringify(value ?? null);
  agree(group, {
    "weights and config.json of the model": { value: model, cure: weights },
    "the adapter that training begins from": { value: digest(adapter), cure: weights },
    "weights of the value model": { value: digest(value_model), cure: weights },
    "weights of the reward model": { value: digest(reward_model), cure: weights },
    tokenizer: { value: tokenizer, cure: weights },
    "chat template": { value: digest(template), cure: weights },
    ...Object.fromEntries(Object.entries(data).map(([name, value]) => [name, { value, cure: rows }])),
    "files of reward functions": { value: digest(reward_files), cure: rows },
  });
}

/**
 * Requires that the ranks of a command have read the same from their hosts.
 *
 * @param digests - of what was read, by what it is
 * @throws {DisagreementError} naming what differs, on all ranks
 */
export function agreeOnFiles(group: RankGroup, digests: Readonly<Record<string, string>>): void {
  const cure = "Copy the same files to all hosts, or give paths that they share.";
  agree(group, Object.fromEntries(Object.entries(digests).map(([name, value]) => [name, { value, cure }])));
}

/**
 * Requires that all ranks ask a run's model the same at an evaluation, where each asks a part of it.
 *
 * @param prompts - of the collapse watch; null: there is none
 * @throws {DisagreementError} on all ranks, if they differ
 */
export function agreeOnPrompts(
  group: RankGroup | null,
  prompts: readonly { ids: readonly number[] }[] | null,
): void {
  if (group === null || prompts === null) return;
  agreeOnFiles(group, { "prompts of watch_prompts": sha256(JSON.stringify(prompts.map(({ ids }) => ids))) });
}

/** The same of a model that is scored with, its tokenizer and templates, of what is put on it and what it is compared with. */
export function agreeOnModel(
  group: RankGroup | null,
  { model, adapter, reference }: { model: string; adapter?: string | null; reference?: string | null },
): void {
  if (group === null) return;
  agreeOnFiles(group, {
    "model, adapter and tokenizer": localIdentity({ model, adapter: adapter ?? null }),
    reference: reference ? modelFingerprint(reference) : "none",
  });
}

/**
 * Requires that all ranks take the same steps and hold the model in the same layout: what they pass each other follows from that.
 *
 * @throws {ConfigError} naming what differs, on all ranks
 */
export function agreeOnPlan(
  group: RankGroup,
  { shard, keep_gathered }: Pick<ChosenLayout, "shard" | "keep_gathered">,
  source: Pick<EpochSteps, "totalSteps" | "digests">,
): void {
  const cure = "Start all ranks with the same release of Node and on processors of one kind, or report it.";
  const { rows, division } = source.digests();
  agree(group, {
    layout: { value: `shard: ${shard}, keep_gathered: ${keep_gathered}`, cure },
    "number of steps": { value: String(source.totalSteps), cure },
    "rows of each step": { value: rows, cure },
    "division of each step among ranks": { value: division, cure },
  });
}

/** The library of matrix products that all ranks compute with: the one that the run began with, else rank 0's choice. */
export function matmulOfRanks(group: RankGroup | null, resumed: MatmulLibrary | null): MatmulLibrary | null {
  return group === null ? resumed : (group.gather(resumed ?? settleMatmul())[0] ?? null);
}

/**
 * Requires the same kind of device and the same type on all ranks.
 *
 * @throws {ConfigError} naming what differs, on all ranks
 */
export function agreeOnEnvironment(group: RankGroup | null, { device, dtype, matmul }: Environment): void {
  agree(group, {
    device: {
      value: device.replace(/:\d+$/, ""),
      cure: 'Say device: cpu, or fix the host without a GPU ("preftune doctor").',
    },
    dtype: { value: dtype, cure: "Set dtype in the configuration." },
    "library of matrix products": {
      value: matmul,
      cure: "Set PREFTUNE_MATMUL to one of them on all hosts.",
    },
  });
}
