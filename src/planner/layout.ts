/** Which ranks share a model's tensors: what each way sends and how long it takes, and which of them a run should take. */
import { ConfigError } from "../base/errors.ts";
import { formatBytes } from "../base/file-io.ts";
import { formatDuration } from "../base/number-text.ts";
import type { RunConfig } from "../config/run-config.ts";
import { addedGradients, type PlannedCollective, passCollectives } from "./collectives.ts";
import { plannedUnits, type UnitInput } from "./units.ts";

/** Ranks and the paths between them. */
export interface Cluster {
  /** How many ranks each host has. */
  hosts: readonly number[];
  /** Bytes a second that a rank sends to ranks of its host, and to those of other hosts. */
  inside: number;
  link: number;
}

/** Who holds the model, and for how long all of it. */
export interface Layout {
  shard: Exclude<RunConfig["shard"], "auto">;
  /** Whether a block stays gathered until its backward pass. */
  keep_gathered: boolean;
}

/** All ranks of a cluster. */
export function ranksOf({ hosts }: Cluster): number {
  return hosts.reduce((sum, ranks) => sum + ranks, 0);
}

/** Ranks that share one copy of the model. */
export function sharersOf({ shard }: Pick<Layout, "shard">, cluster: Cluster): number {
  if (shard === "none") return 1;
  return shard === "all" ? ranksOf(cluster) : Math.max(...cluster.hosts);
}

/** Bytes that a rank sends. */
export interface Traffic {
  /** For each micro-batch: units gathered, and gradients exchanged. */
  gathered: number;
  exchanged: number;
  /** Once a step: gradients added up over copies of the model. */
  added: number;
}

/** What is trained, of which model, in which type. */
export interface TrafficInput extends UnitInput {
  /** Whether each micro-batch has a pass without the adapter first. */
  hasLiveReference: boolean;
}

/** What ranks of the first host, or of the run, begin in a step of a layout. */
export interface StepCollectives {
  /** In each micro-batch, among the ranks that share the model. */
  pass: readonly PlannedCollective[];
  /** At the end, among those that hold the same part; null where no others do. */
  added: PlannedCollective | null;
}

/** The collectives of a step under a layout, as rank 0 begins them. */
export function collectivesOf(input: TrafficInput, layout: Layout, cluster: Cluster): StepCollectives {
  const sharers = sharersOf(layout, cluster);
  const units = plannedUnits(input, sharers);
  return {
    pass: sharers === 1 ? [] : passCollectives(units, { ...input, keep_gathered: layout.keep_gathered }),
    added: ranksOf(cluster) === sharers ? null : addedGradients(units),
  };
}

/** Bytes that a rank sends under a layout. A ring or an exchange sends each byte but the rank's own once. */
export function trafficOf(input: TrafficInput, layout: Layout, cluster: Cluster): Traffic {
  const { pass, added } = collectivesOf(input, layout, cluster);
  const sharers = sharersOf(layout, cluster);
  const sum = (operation: PlannedCollective["operation"]) =>
    pass.reduce((total, one) => total + (one.operation === operation ? one.bytes : 0), 0);
  const toOthers = (bytes: number, ranks: number) => (bytes * (ranks - 1)) / ranks;
  return {
    gathered: toOthers(sum("allGather"), sharers),
    exchanged: toOthers(sum("exchange"), sharers),
    // adding up in place is an exchange of parts and a gathering of their sums
    added: 2 * toOthers(added?.bytes ?? 0, ranksOf(cluster) / sharers),
  };
}

/** How long a rank computes, and how a step is cut. */
export interface StepWork {
  /** Seconds of a micro-batch of the usual size, and micro-batches of each rank. */
  microBatchSeconds: number;
  microBatches: number;
}

/** What a layout takes. */
export interface LayoutCosts {
  /** Bytes of memory of each rank. */
  memory: number;
  traffic: Traffic;
  /** Seconds of a step; passing parts of the model is hidden behind computing as far as that goes. */
  stepSeconds: number;
}

/** Seconds of a step: in each micro-batch the longer of computing and passing, and then what is added up. */
export function stepSeconds(
  { gathered, exchanged, added }: Traffic,
  layout: Layout,
  { work, cluster }: { work: StepWork; cluster: Cluster },
): number {
  const { inside, link, hosts } = cluster;
  const across = hosts.length > 1 ? link : inside;
  const passing = (gathered + exchanged) / (layout.shard === "node" ? inside : across);
  return work.microBatches * Math.max(work.microBatchSeconds, passing) + added / across;
}

/**
 * Tokens of a micro-batch from which computing takes longer than passing.
 *
 * @param bytes - sent a micro-batch @param bandwidth - bytes a second
 * @param work - FLOPs of a token, forward and back, and FLOP/s of a rank
 */
export function hidingTokens(
  bytes: number,
  bandwidth: number,
  work: { flopsPerToken: number; flopsPerSecond: number },
): number {
  return ((bytes / bandwidth) * work.flopsPerSecond) / work.flopsPerToken;
}

/** What a layout is chosen by. */
export interface LayoutQuestion {
  /** As the configuration has them. */
  wanted: Pick<RunConfig, "shard" | "keep_gathered">;
  cluster: Cluster;
  /** Bytes of memory that a rank may fill. */
  usable: number;
  costsOf: (layout: Layout) => LayoutCosts;
}

/** A layout, what it takes, and why it was chosen. */
export interface ChosenLayout extends Layout {
  costs: LayoutCosts;
  fits: boolean;
  /** A sentence. */
  reason: string;
  /** All that were compared, the fastest of those that fit first. */
  compared: readonly (Layout & { costs: LayoutCosts; fits: boolean })[];
}

/** Layouts whose times differ by less than this fraction are equally fast; the one that is simpler is taken. */
const alike = 0.02;

/**
 * The layout of a run: as wanted; of what is left to choose the fastest that fits, and where none fits the one of least memory.
 *
 * @throws {ConfigError} when hosts of unequal size are to share the model within each
 */
export function chooseLayout({ wanted, cluster, usable, costsOf }: LayoutQuestion): ChosenLayout {
  const compared = layoutsOf(wanted, cluster).map((layout) => {
    const costs = costsOf(layout);
    return { ...layout, costs, fits: costs.memory <= usable };
  });
  const fitting = compared.filter(({ fits }) => fits);
  const fastest = Math.min(...fitting.map(({ costs }) => costs.stepSeconds));
  const leanest = compared.reduce((a, b) => (b.costs.memory < a.costs.memory ? b : a));
  const chosen = fitting.find(({ costs }) => costs.stepSeconds <= (1 + alike) * fastest) ?? leanest;
  const others = compared.filter((one) => one !== chosen);
  return { ...chosen, reason: reasonFor(chosen, others, usable), compared };
}

/** Layouts to compare, simpler ones first. */
function layoutsOf({ shard, keep_gathered }: LayoutQuestion["wanted"], cluster: Cluster): Layout[] {
  const { hosts } = cluster;
  const isEven = hosts.every((ranks) => ranks === hosts[0]);
  if (shard === "node" && !isEven) {
    throw new ConfigError(
      `shard: node needs equally many ranks on each host, got ${hosts.join(", ")}. Start as many on each, or set shard: all.`,
    );
  }
  const hasNodes = hosts.length > 1 && isEven && (hosts[0] ?? 1) > 1;
  const shards: Layout["shard"][] =
    shard === "auto" ? ["none", ...(hasNodes ? (["node"] as const) : []), "all"] : [shard];
  const ways = keep_gathered === "auto" ? [true, false] : [keep_gathered];
  return shards.flatMap((one) =>
    one === "none"
      ? [{ shard: one, keep_gathered: true }]
      : ways.map((way): Layout => ({ shard: one, keep_gathered: way })),
  );
}

/** "shard: node, keep_gathered: false" */
function layoutText({ shard, keep_gathered }: Layout): string {
  return shard === "none" ? "shard: none" : `shard: ${shard}, keep_gathered: ${keep_gathered}`;
}

function reasonFor(
  chosen: ChosenLayout["compared"][number],
  others: ChosenLayout["compared"],
  usable: number,
): string {
  const memory = `${formatBytes(chosen.costs.memory)} of ${formatBytes(usable)} a rank`;
  if (!chosen.fits)
    return `${layoutText(chosen)} does not fit: ${memory}${others.length > 0 ? "; the others need no less" : ""}.`;
  if (others.length === 0) return `${layoutText(chosen)}, as configured: ${memory}.`;
  const slower = others.filter(({ fits }) => fits).map(slowerText);
  const larger = others.filter(({ fits }) => !fits).map(largerText);
  const rest = [...larger, ...slower].join("; ");
  const seconds = formatDuration(chosen.costs.stepSeconds);
  return `${layoutText(chosen)} is the fastest that fits: ${seconds} a step, ${memory}. ${rest}.`;
}

function slowerText(one: ChosenLayout["compared"][number]): string {
  return `${layoutText(one)}: ${formatDuration(one.costs.stepSeconds)}`;
}

function largerText(one: ChosenLayout["compared"][number]): string {
  return `${layoutText(one)} would need ${formatBytes(one.costs.memory)}`;
}
