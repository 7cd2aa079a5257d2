/**
 * What a method of training is, apart from its loss: its hyperparameters, presets and metrics, what it runs over and
 * whether it needs a reference. Configuration, planner, command line and documentation are made from it. No libtorch.
 */
import { at } from "../base/at.ts";
import type { ValueSchema } from "../base/value-schema.ts";

/**
 * A hyperparameter: one key of a run's YAML file, under the same name in memory and in the loss. Without a default in its
 * schema it takes its value from the preset.
 */
export interface Hyperparameter {
  /** A number, a switch or one of several words. */
  schema: ValueSchema;
  /** What it accepts, to follow "expected"; left out: made of the schema. */
  expected?: string;
  /** "nats per token"; "none" for a plain number. */
  unit: string;
  /** What it does, a sentence. */
  doc: string;
  /** Where the default comes from; default: "preset". */
  source?: string;
  /** How the value follows when it is not given, if neither from the default nor from the preset alone. */
  rule?: string;
}

/** A named set of values and where they were published. */
export interface Preset<Settings> {
  values: Partial<Settings>;
  source: string;
}

/** A value that follows from another form of it, unless it is given itself. Giving one form replaces the preset's other. */
export interface Derivation<Settings> {
  key: keyof Settings & string;
  /** The other form. */
  from: keyof Settings & string;
  value(settings: Settings): number;
  /** The formula, for people. */
  why: string;
}

/** A default that depends on other values: what a key is that is not given, in the preset neither. */
export interface DependentDefault<Settings> {
  key: keyof Settings & string;
  value(settings: Settings): number | string | boolean;
  /** What it depends on, for people. */
  why(settings: Settings): string;
}

/** A metric of a run. */
export interface MethodMetric {
  key: string;
  unit: string;
  definition: string;
  /** Which direction is better, where one is. */
  better: "lower" | "higher" | null;
  /** Which term of the loss it is and with which weight, or without: the heading of its chart. Left out: it is no term. */
  term?: string;
  /** The setting without which it is not logged. */
  needs?: string;
  /** True: NaN says that there was nothing to measure, and is no trouble. */
  mayBeNone?: boolean;
  /** True: logged only in runs on the model's own answers; false: only in runs on rows. Left out: in both. */
  onPolicy?: boolean;
}

/** A check across values that are all given: something wrong or doubtful, and where it is reported. */
export interface Check<Settings> {
  key: keyof Settings & string;
  severity: "error" | "warning";
  when(settings: Settings): boolean;
  text(settings: Settings): string;
}

/** Keys that have no effect while `when` holds. */
export interface InactiveRule<Settings> {
  keys: readonly (keyof Settings & string)[];
  /** The key that decides it. */
  because: keyof Settings & string;
  when(settings: Settings): boolean;
  /** To follow "has no effect here: ". */
  reason: string;
  /** What to do about it, a sentence. Default: take one of the two out. */
  remedy?: string;
}

/**
 * What a loss is computed on: log-probs of pairs of a chosen and a rejected completion, of completions one by one, without labels
 * or each labelled good or bad ("labelled"), or of groups, any number of completions of one prompt; or "scores", one number for
 * each completion of a pair, which a reward model gives.
 */
export type Over = "pairs" | "completions" | "labelled" | "groups" | "scores";

/** What a completion is to the method. */
export type Role = "chosen" | "rejected" | "completion";

/** The roles of a group's completions, in the order in which a row has them. One role is that of all completions. */
export const completionRoles: Readonly<Record<Over, readonly [Role, ...Role[]]>> = {
  pairs: ["chosen", "rejected"],
  completions: ["completion"],
  labelled: ["completion"],
  groups: ["completion"],
  scores: ["chosen", "rejected"],
};

/** The role of the completion at `index` of its group, from 0. */
export function roleOf(over: Over, index: number): Role {
  const roles = completionRoles[over];
  return at(roles, Math.min(index, roles.length - 1));
}

/** A method, `Settings` being its name (`objective`), its preset if it has any, and a value for each hyperparameter. */
export interface Method<Settings extends { objective: string }> {
  /** As people write it: "SLIME". */
  label: string;
  over: Over;
  /** Whether the loss needs the log-probs of a reference model. */
  needsReference: boolean;
  /** The weight of a KL to a reference, which on-policy runs need one for while it is above 0. */
  klWeight?: keyof Settings & string;
  /**
   * What has the ratio π / π_old of the probabilities in training and in sampling in the loss: tokens, or whole completions alone.
   * Left out: nothing has.
   */
  ratio?: "token" | "completion";
  /**
   * On own answers, what it learns still from groups whose rewards are all equal: "the KL to the reference (beta)". Left out, or
   * nothing: such groups teach it nothing.
   */
  learnsStill?(settings: Settings): readonly string[];
  /** The setting, "loss_type: bnpo", for which a step's loss depends on its cut into micro-batches; null, or left out: none does. */
  ofMicroBatch?(settings: Settings): string | null;
  /** The weight of the term, if any, that keeps the chosen completions likely. */
  chosenWeight?: keyof Settings & string;
  /** Whether it trains on answers that the model itself gives: only on those, also, or never. */
  onPolicy: "only" | "also" | "never";
  /** Peak learning rate of full tuning where none is given, and who has it. */
  learning_rate: { value: number; source: string };
  /** The hyperparameters, in the order in which they are printed and documented. */
  keys: Readonly<Record<Exclude<keyof Settings & string, "objective" | "preset">, Hyperparameter>>;
  /** Named sets of values, the default first; null for a method that has none. */
  presets: Readonly<
    Record<Settings extends { preset: infer Name extends string } ? Name : string, Preset<Settings>>
  > | null;
  derived?: readonly Derivation<Settings>[];
  /** In the order in which they are filled in. */
  defaults?: readonly DependentDefault<Settings>[];
  checks?: readonly Check<Settings>[];
  inactive?: readonly InactiveRule<Settings>[];
  /** Other trainers' names for its hyperparameters, and what to write instead. */
  otherNames?: Readonly<Record<string, string>>;
  /**
   * How often a rollout is used, where the method has keys for that itself: passes over it, and optimiser steps in a pass. Left
   * out: the keys of all on-policy runs say it.
   */
  updates?(settings: Settings): { passes: number; steps: number };
  /** For pairs and labelled completions: what `rewards/chosen` and `rewards/rejected` are. */
  reward?: string;
  /** What it logs besides what all methods log. */
  metrics: readonly MethodMetric[];
}
