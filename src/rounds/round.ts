/**
 * A round: prompts, answers of the current model, labels, pairs, data check, training, comparison with the model before. Each is a
 * node; what is finished is kept, and the same call continues with the first node that is not.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { ConfigError, messageOf, PreftuneError } from "../base/errors.ts";
import { ignoreErrors } from "../base/file-io.ts";
import { makeDirectory, removeLeftOvers, sha256File, writeFileAtomic } from "../base/files.ts";
import { RunLock } from "../runs/run-lock.ts";
import { parseRound } from "../workbench/rounds/round-file.ts";
import {
  isRound,
  type NodeRecord,
  type RoundNode,
  type RoundRecord,
  readRound,
  refuseOccupied,
  roundNodes,
  roundPaths,
  saveRound,
} from "../workbench/rounds/round-record.ts";
import { nodes } from "./nodes.ts";
import type { NodeResult, RoundOptions, RoundWork } from "./round-work.ts";
import { local, placeOf, trainingOf } from "./start.ts";

/** Where a round is: finished, waiting for people, or stopped. */
export interface RoundState {
  state: "finished" | "waiting" | "stopped";
  /** What is to be done, or what came of it. */
  text: string;
  record: RoundRecord;
}

/**
 * Works on the round of the YAML `text` until it is finished, waits for people, or is stopped.
 *
 * @param file - what messages call the text
 * @throws {ConfigError} where the file is wrong, or something is another than when a finished node took or made it
 * @throws {PreftuneError} with what a node failed of; those before it are kept
 */
export async function runRound(text: string, file: string, options: RoundOptions = {}): Promise<RoundState> {
  const settings = parseRound(text, file);
  const dir = settings.output_dir;
  const paths = roundPaths(dir);
  if (!isRound(dir)) refuseOccupied(dir);
  const { onPhase = () => {} } = options;
  const begun = placeOf(settings.model);
  trainingOf(settings, begun, { rows: "rows" });
  makeDirectory(dir);
  const lock = new RunLock(paths.lock);
  try {
    for (const each of [dir, paths.compare]) removeLeftOvers(each);
    const record: RoundRecord = isRound(dir)
      ? { ...readRound(dir), settings, waiting: null, problem: null }
      : { settings, nodes: {}, waiting: null, problem: null };
    writeFileAtomic(paths.file, text);
    saveRound(dir, record);
    const start = await local(begun, onPhase);
    const training = trainingOf(settings, start, { rows: "rows" });
    return await workThrough({ settings, dir, paths, start, training, record, options, onPhase });
  } finally {
    lock.release();
  }
}

async function workThrough(work: RoundWork): Promise<RoundState> {
  const { record, dir, options } = work;
  const { onNode = () => {} } = options;
  for (const name of roundNodes) {
    const known = record.nodes[name];
    if (known !== undefined) {
      refuseChanged(name, known, work);
      onNode(name, "kept", known.text);
      continue;
    }
    onNode(name, "begins", "");
    const inputs = nodes[name].inputs(work);
    const result = await worked(name, work).catch((error: unknown) => {
      if (error instanceof PreftuneError) record.problem = { node: name, text: error.message };
      else record.problem = { node: name, text: messageOf(error) };
      ignoreErrors(() => saveRound(dir, record));
      throw error;
    });
    if ("stopped" in result) return { state: "stopped", text: result.stopped, record };
    if ("waitsFor" in result) {
      record.waiting = { node: name, text: result.waitsFor };
      saveRound(dir, record);
      onNode(name, "waits", result.waitsFor);
      return { state: "waiting", text: result.waitsFor, record };
    }
    const { text, facts } = result;
    const made = Object.fromEntries(result.made.map((path) => [path, sha256File(join(dir, path))]));
    record.nodes[name] = { inputs, made, text, facts, finished: new Date().toISOString() };
    saveRound(dir, record);
    onNode(name, "done", text);
  }
  return { state: "finished", text: record.nodes.comparison?.text ?? "", record };
}

/** Works on a node. @throws {ConfigError} where who compares is another than who labelled: a long training may lie between the two */
async function worked(name: RoundNode, work: RoundWork): Promise<NodeResult> {
  const { labels } = work.record.nodes;
  if (name === "comparison" && labels !== undefined) refuseChanged("labels", labels, work);
  return nodes[name].run(work);
}

/** @throws {ConfigError} where a finished node would take something else now, or what it made is another */
function refuseChanged(name: RoundNode, known: NodeRecord, work: RoundWork): void {
  const now = nodes[name].inputs(work);
  const changes = [...new Set([...Object.keys(known.inputs), ...Object.keys(now)])].flatMap((input) =>
    known.inputs[input] === now[input]
      ? []
      : [`${input}: ${short(known.inputs[input])}, now ${short(now[input])}`],
  );
  for (const [path, digest] of Object.entries(known.made)) {
    const file = join(work.dir, path);
    if (!existsSync(file)) changes.push(`${file}: it is gone`);
    else if (sha256File(file) !== digest) changes.push(`${file}: it was changed`);
  }
  if (changes.length === 0) return;
  throw new ConfigError(
    `${work.dir}: the node ${name} is finished, and what it took or made is another now:\n` +
      `${changes.map((change) => `  ${change}`).join("\n")}\n` +
      "Put it back to continue, or begin another round with another output_dir.",
  );
}

function short(value: string | undefined): string {
  if (value === undefined) return "nothing";
  return /^[0-9a-f]{64}$/.test(value) ? `${value.slice(0, 12)}…` : value;
}
