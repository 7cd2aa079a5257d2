/**
 * What is known of a round, in its directory. Each node that is finished has what it depended on and what it made: a round that
 * is continued does not do it again, and refuses to go on where one of these is another by then.
 *
 *   DIR/round.json       settings, finished nodes, what the round waits for or failed of
 *       round.yaml       the file that it was started with
 *       answers.jsonl    the answers, a line a prompt
 *       scores.jsonl     the reward of each answer; none where people judge
 *       data-check.json  the report of the data check
 *       run/             the training
 *       compare/         the comparison with the model that the round began with
 *       round.lock       held by the process that works on it
 */
import { existsSync, readdirSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { ConfigError, FormatError } from "../../base/errors.ts";
import { writeFileAtomic } from "../../base/files.ts";
import { readSealed, sealed } from "../../base/sealed.ts";
import { lockHolder } from "../../runs/run-lock.ts";
import type { RoundSettings } from "./round-file.ts";

/** The nodes of a round, in the order in which they are worked on. */
export const roundNodes = [
  "prompts",
  "answers",
  "labels",
  "pairs",
  "data_check",
  "training",
  "comparison",
] as const;

/** A node of a round. */
export type RoundNode = (typeof roundNodes)[number];

/** What each is called. */
export const nodeTitles: Readonly<Record<RoundNode, string>> = {
  prompts: "Prompts",
  answers: "Answers",
  labels: "Labels",
  pairs: "Pairs",
  data_check: "Data check",
  training: "Training",
  comparison: "Comparison",
};

/** What a finished node came to. */
export interface NodeRecord {
  /** What it depended on: digests of files and models, and settings, by name. */
  inputs: Readonly<Record<string, string>>;
  /** Digests of the files it made, by their path in the round's directory. */
  made: Readonly<Record<string, string>>;
  /** In few words, for people. */
  text: string;
  /** Figures, and names of what it made. */
  facts: Readonly<Record<string, string | number | null>>;
  /** ISO 8601. */
  finished: string;
}

/** A round as it lies on the disk. */
export interface RoundRecord {
  settings: RoundSettings;
  nodes: Partial<Record<RoundNode, NodeRecord>>;
  /** What people have to do before it goes on. */
  waiting: { node: RoundNode; text: string } | null;
  /** Why it ended before its time, the last time. */
  problem: { node: RoundNode; text: string } | null;
}

/** The files of the round in `dir`. */
export function roundPaths(
  dir: string,
): Record<"record" | "file" | "answers" | "scores" | "check" | "run" | "compare" | "lock", string> {
  return {
    record: join(dir, "round.json"),
    file: join(dir, "round.yaml"),
    answers: join(dir, "answers.jsonl"),
    scores: join(dir, "scores.jsonl"),
    check: join(dir, "data-check.json"),
    run: join(dir, "run"),
    compare: join(dir, "compare"),
    lock: join(dir, "round.lock"),
  };
}

/** Whether `dir` is a round's. */
export function isRound(dir: string): boolean {
  return existsSync(roundPaths(dir).record);
}

/** A round's name: that of its directory. */
export function roundName(dir: string): string {
  return basename(resolve(dir));
}

/**
 * The round in `dir`.
 *
 * @throws {ConfigError} where there is none, {FormatError} where its record was changed
 */
export function readRound(dir: string): RoundRecord {
  if (!isRound(dir)) throw new ConfigError(`${dir}: expected a round, there is no round.json.`);
  const { record } = roundPaths(dir);
  const { format, version, ...value } = readSealed(record);
  if (format !== formatName || version !== 1)
    throw new FormatError(`${record}: expected a round of version 1, got ${String(format)} ${version}.`);
  return value as unknown as RoundRecord;
}

const formatName = "preftune round";

/** Keeps what is known of a round. */
export function saveRound(dir: string, round: RoundRecord): void {
  const value = { format: formatName, version: 1, ...round };
  writeFileAtomic(roundPaths(dir).record, sealed(JSON.stringify(value, null, 2)));
}

/** @throws {ConfigError} where a new round cannot begin in `dir`: it holds something else */
export function refuseOccupied(dir: string): void {
  const others = existsSync(dir)
    ? readdirSync(dir).filter((name) => !/^round\.(lock|yaml)|^\./.test(name))
    : [];
  if (others.length === 0) return;
  throw new ConfigError(
    `output_dir ${dir} is not empty and not a round (it holds ${others.slice(0, 3).join(", ")}). Choose another output_dir; nothing was changed.`,
  );
}

/** What a node is at. */
export type NodeState = "done" | "works" | "waits" | "failed" | "open";

/** The state of each node; of a round whose process is gone, the node that it was at is open. */
export function nodeStates(dir: string, round: RoundRecord): Record<RoundNode, NodeState> {
  const holder = lockHolder(roundPaths(dir).lock);
  const isAtWork = holder !== null && holder.state !== "gone";
  const next = roundNodes.find((name) => round.nodes[name] === undefined);
  const stateOf = (name: RoundNode): NodeState => {
    if (round.nodes[name] !== undefined) return "done";
    if (name !== next) return "open";
    if (isAtWork) return "works";
    if (round.waiting !== null) return "waits";
    return round.problem === null ? "open" : "failed";
  };
  return Object.fromEntries(roundNodes.map((name) => [name, stateOf(name)])) as Record<RoundNode, NodeState>;
}
