/**
 * What a checkpoint holds: the trained tensors in the form users load (a PEFT adapter or a model directory), the
 * optimiser's state, and the trainer's counters. Random numbers need no state: each step seeds its own.
 */
import { join } from "node:path";
import { FormatError } from "../base/errors.ts";
import { readTextFile, writeFileAtomic } from "../base/files.ts";
import { parseNumbers, stringifyNumbers } from "../base/json-numbers.ts";
import type { RunConfig } from "../config/run-config.ts";
import { readSafetensorsHeader } from "../formats/safetensors.ts";
import { sourceBytes, type TensorSource, writeSafetensors } from "../formats/safetensors-write.ts";
import type { Decoder } from "../models/causal-lm.ts";
import { readTensorsInto } from "../models/read-tensors.ts";
import { tensorSource, writeAdapter, writeMergedModel } from "../models/save.ts";
import type { AdamW } from "../optim/adamw.ts";
import type { WrittenTokenizer } from "./copy-tokenizer.ts";
import { writeTokenizer } from "./padding-token.ts";
import { emptyHistory, type StepHistory } from "./spike-guard.ts";
import type { Training } from "./step.ts";
import { completeTensors, hasSlices, holdsSlices, readOwnSlices, trainedKind } from "./trained-slices.ts";

/** What is gathered of some steps for their row of metrics. */
export interface StepWindow {
  steps: number;
  /** Sums of the metrics. */
  sums: Record<string, number>;
  /** How many of the steps each metric was summed over: not every step has each one. */
  counts: Record<string, number>;
}

/** A window without a step. */
export function emptyWindow(): StepWindow {
  return { steps: 0, sums: {}, counts: {} };
}

/** Counters that a resumed run continues from. */
export interface TrainerState {
  /** Finished optimiser steps. */
  step: number;
  /** Tokens trained on since the start. */
  numTokens: number;
  /** Steps skipped since the start, spikes included; and in a row up to now, for a loss or gradient that was not finite. */
  skippedSteps: number;
  skippedInRow: number;
  /** What the spike guard goes by; empty without one. */
  history: StepHistory;
  /** The steps since the last logged row. */
  window: StepWindow;
  /** Best evaluation so far of a model that had not collapsed. */
  best: { step: number; value: number } | null;
  /** The best value so far of any evaluation, by which a run stops early; left out: that of `best`. */
  bestValue?: number;
  /** What they are the best by; left out in checkpoints from before it was kept. */
  bestBy?: string;
  /** A hash of what measured it, where that may become another on resume: reward functions, watched prompts; left out: the rows alone. */
  bestOf?: string;
  /** Evaluations in a row without a better value. */
  evaluationsWithoutGain: number;
  /** Epoch of an evaluation after `step` steps that was interrupted or failed: it is made when the run is resumed; left out: there is none. */
  evaluationDue?: number;
  /** Why the watch ended the run after `step` steps, and by which thresholds; left out: it did not. */
  collapse?: { breaches: readonly string[]; watch_thresholds: RunConfig["watch_thresholds"] };
  /** Hash of the data the run began with. */
  dataFingerprint: string;
}

/** The state of a run that begins. */
export function newState(dataFingerprint: string): TrainerState {
  return {
    step: 0,
    numTokens: 0,
    skippedSteps: 0,
    skippedInRow: 0,
    history: emptyHistory(),
    window: emptyWindow(),
    best: null,
    evaluationsWithoutGain: 0,
    dataFingerprint,
  };
}

const STATE = "trainer_state.json";
const OPTIMIZER = "optimizer.safetensors";

/** Writes the files of a checkpoint into `dir`, which the caller makes appear at once; slices of ranks are written by each. */
export function writeCheckpointFiles(
  dir: string,
  training: Training<Decoder>,
  written: WrittenTokenizer,
  state: TrainerState,
): void {
  if (!holdsSlices(training)) writeTrainedState(dir, training);
  writeTokenizer(dir, written, training.model);
  writeFileAtomic(join(dir, STATE), `${stringifyNumbers(state)}\n`);
}

/** Bytes of all trained tensors and the optimiser's state, whoever writes them, but for names and settings. */
export function trainedStateBytes(training: Training<Decoder>): number {
  const { parameters, optimizer } = training;
  if (holdsSlices(training)) return 3 * 4 * parameters.numel;
  return 4 * parameters.numel + optimizerSources(optimizer).reduce((sum, part) => sum + sourceBytes(part), 0);
}

/** Writes the trained tensors and the optimiser's state into `dir`. */
export function writeTrainedState(dir: string, training: Training<Decoder>): void {
  writeTrained(dir, training);
  writeSafetensors(join(dir, OPTIMIZER), optimizerSources(training.optimizer));
}

/** Reads them into the training, whoever wrote them. @throws {FormatError} if they are of another model or adapter */
export function readTrainedState(dir: string, training: Training<Decoder>): void {
  if (isSliced(dir, training)) {
    readOwnSlices(dir, training, OPTIMIZER);
    return;
  }
  readTrained(dir, training);
  const states = new Map(training.optimizer.stateTensors());
  readTensorsInto([readSafetensorsHeader(join(dir, OPTIMIZER))], states, "optimiser state");
}

function optimizerSources(optimizer: AdamW): TensorSource[] {
  return [...optimizer.stateTensors()].map(([name, tensor]) => tensorSource(name, tensor));
}

function writeTrained(dir: string, { model, adapter, parameters }: Training<Decoder>): void {
  if (adapter === null) writeMergedModel(dir, model, "float32");
  else writeAdapter(dir, adapter.config, parameters.tensors);
}

/**
 * Puts the tensors of the checkpoint in `dir` into the training and gives its counters.
 *
 * @throws {FormatError} if the checkpoint is of another model, adapter or data
 */
export function readCheckpointFiles(
  dir: string,
  training: Training<Decoder>,
  dataFingerprint: string,
): TrainerState {
  const state = parseNumbers(readTextFile(join(dir, STATE))) as TrainerState;
  // checkpoints from before there was a guard
  state.history ??= emptyHistory();
  // checkpoints from before metrics were counted, each sum being that of all steps
  const { window } = state;
  window.counts ??= Object.fromEntries(Object.keys(window.sums).map((name) => [name, window.steps]));
  if (state.dataFingerprint !== dataFingerprint) {
    throw new FormatError(
      `${dir}: the run began with other data, template or tokenizer than it finds now, so the order of its rows would ` +
        "differ. Restore them, or start a new run from this checkpoint's weights.",
    );
  }
  readTrainedState(dir, training);
  return state;
}

/** Whether numbers are read by ranges, because of who wrote them or who reads them. */
function isSliced(dir: string, training: Training<Decoder>): boolean {
  return hasSlices(dir) || holdsSlices(training);
}

/** Reads only the trained tensors of the checkpoint in `dir`. */
export function readTrained(dir: string, training: Training<Decoder>): void {
  if (isSliced(dir, training)) readOwnSlices(dir, training, null);
  else readTensorsInto(completeTensors(dir, training), training.parameters.tensors, trainedKind(training));
}
