/** What the nodes of a round work with, and what hears of it. */
import type { PhaseListener } from "../base/phase-listener.ts";
import type { ResolvedConfig } from "../config/load-config.ts";
import type { TrainOptions } from "../recipes/train.ts";
import type { TrainEvent } from "../runs/train-events.ts";
import type { RoundSettings } from "../workbench/rounds/round-file.ts";
import type { NodeRecord, RoundNode, RoundRecord, roundPaths } from "../workbench/rounds/round-record.ts";
import type { NamedPlace } from "./start.ts";

/** What hears of a round's training: options of `train`, and its events. */
export type TrainListeners = Pick<TrainOptions, "onPhase" | "onWork"> & {
  onEvent: (event: TrainEvent) => void;
};

/** How a round is worked on. */
export interface RoundOptions {
  /** Stops the training after its step, with a checkpoint. */
  signal?: AbortSignal;
  onPhase?: PhaseListener;
  /** Called when a node begins, and with what it came to: now, or before. */
  onNode?: (node: RoundNode, state: "begins" | "done" | "kept" | "waits", text: string) => void;
  /** What hears of the training. */
  listenTo?: (training: ResolvedConfig) => TrainListeners;
}

/** What nodes work with. */
export interface RoundWork {
  settings: RoundSettings;
  dir: string;
  paths: ReturnType<typeof roundPaths>;
  /** The model that the round begins with, on this disk. */
  start: NamedPlace;
  /** Its training, with the rows of no version yet. */
  training: ResolvedConfig;
  record: RoundRecord;
  options: RoundOptions;
  onPhase: PhaseListener;
}

/** What a node came to: files it made, or what it waits for. */
export type NodeResult =
  | (Pick<NodeRecord, "text" | "facts"> & { made: readonly string[] })
  | { waitsFor: string }
  | { stopped: string };

/** A node. */
export interface Node {
  /** What it depends on, by name. */
  inputs: (work: RoundWork) => Record<string, string>;
  run: (work: RoundWork) => Promise<NodeResult>;
}
