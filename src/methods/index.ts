/**
 * Every method, by its name in a configuration (`objective`). Needs no libtorch; the losses are in `losses.ts`.
 * docs/adding-a-method.md says how to add one.
 */
import { type CpoSettings, cpo } from "./cpo/settings.ts";
import { type DpoSettings, dpo } from "./dpo/settings.ts";
import { type DpopSettings, dpop } from "./dpop/settings.ts";
import { type GrpoSettings, grpo } from "./grpo/settings.ts";
import { type KtoSettings, kto } from "./kto/settings.ts";
import type { Method } from "./method.ts";
import { type OrpoSettings, orpo } from "./orpo/settings.ts";
import { type Paired, paired } from "./pairing/settings.ts";
import { type PpoSettings, ppo } from "./ppo/settings.ts";
import { type RaftSettings, raft } from "./raft/settings.ts";
import { type RewardSettings, reward } from "./reward/settings.ts";
import { type RlooSettings, rloo } from "./rloo/settings.ts";
import { type SftSettings, sft } from "./sft/settings.ts";
import { type SimpoSettings, simpo } from "./simpo/settings.ts";
import { type SlimeSettings, slime } from "./slime/settings.ts";

/** Settings of a run's method. */
export type MethodSettings =
  | Paired<SlimeSettings>
  | Paired<DpoSettings>
  | Paired<SimpoSettings>
  | Paired<DpopSettings>
  | Paired<CpoSettings>
  | Paired<OrpoSettings>
  | SftSettings
  | RewardSettings
  | KtoSettings
  | GrpoSettings
  | RlooSettings
  | RaftSettings
  | PpoSettings;

/** Settings of the method of a configuration that names none: the first of `methods`. */
export type DefaultSettings = Paired<SlimeSettings>;

/** The name of a method. */
export type MethodName = MethodSettings["objective"];

/** The settings of the method called `Name`. */
export type SettingsOf<Name extends MethodName> = Extract<MethodSettings, { objective: Name }>;

/** A key of any method's settings. */
export type MethodKey = MethodSettings extends infer One ? (One extends unknown ? keyof One : never) : never;

/** The methods, the default first. Names, keys and documentation come in this order. */
export const methods: { readonly [Name in MethodName]: Method<SettingsOf<Name>> } = {
  slime: paired(slime),
  dpo: paired(dpo),
  simpo: paired(simpo),
  sft,
  reward,
  dpop: paired(dpop),
  cpo: paired(cpo),
  orpo: paired(orpo),
  kto,
  grpo,
  rloo,
  raft,
  ppo,
};

/** The names, in the order of `methods`. */
export const methodNames: readonly MethodName[] = Object.keys(methods) as MethodName[];

/** Settings of which nothing but the name is known. */
export type AnySettings = { objective: string } & Record<
  string,
  string | number | boolean | readonly number[] | readonly string[] | null
>;

/** The method called `name`, whatever its settings are. */
export function methodOf(name: MethodName): Method<AnySettings> {
  return methods[name] as unknown as Method<AnySettings>;
}

/** Names of the methods for which `test` holds, in the order of `methods`. */
export function methodsWhere(test: (method: Method<AnySettings>) => boolean): MethodName[] {
  return methodNames.filter((name) => test(methodOf(name)));
}

/** The methods that train on data files, in the order of `methods`: the others need answers of the model's own. */
export const offlineMethods: readonly MethodName[] = methodsWhere(({ onPolicy }) => onPolicy !== "only");

/** What plans and the quick start put side by side on the same pairs, in this order. */
export const comparedMethods: readonly MethodName[] = ["dpo", "simpo", "slime"];

/** The methods over pairs, by the alphabet. */
export const pairMethods: readonly MethodName[] = methodsWhere(({ over }) => over === "pairs").sort();

/** The methods as people write them. */
export function labelsOf(names: readonly MethodName[]): string[] {
  return names.map((name) => methods[name].label);
}

/** "dpo, simpo and slime": the names in this order. Not by Intl.ListFormat, whose first use takes 15 ms of every start. */
export function wordList(names: readonly string[], word: "and" | "or" = "and"): string {
  const last = names.at(-1) ?? "";
  return names.length < 2 ? last : `${names.slice(0, -1).join(", ")} ${word} ${last}`;
}

/** Whether the method's loss has a ratio, see `Method.ratio`. */
export function hasRatio(name: MethodName): boolean {
  return methodOf(name).ratio !== undefined;
}

/** Whether on-policy the method with these settings compares the model with a reference. */
export function comparesOnPolicy(method: MethodSettings): boolean {
  const { needsReference, klWeight } = methodOf(method.objective);
  const settings: AnySettings = { ...method };
  return needsReference || (klWeight !== undefined && Number(settings[klWeight]) > 0);
}

/** The keys by which the loss compares single tokens with the model of the start. */
export function startKeysOf(method: MethodSettings): string[] {
  if (!("lambda_start" in method)) return [];
  return [
    ...(method.lambda_start > 0 ? ["lambda_start"] : []),
    ...(method.chosen_floor === null ? [] : ["chosen_floor"]),
  ];
}

/** Whether the loss compares single tokens with the model of the start. */
export function takesStartTokens(method: MethodSettings): boolean {
  return startKeysOf(method).length > 0;
}

/** Whether on rows the method with these settings needs log-probs of a reference, the model of the start. */
export function comparesOnRows(method: MethodSettings): boolean {
  return methodOf(method.objective).needsReference || takesStartTokens(method);
}

/** Which rows share the method's estimate of a KL on answers of other rows; null: none is computed. */
export function klOverOfSettings(method: MethodSettings): "step" | "micro_batch" | null {
  return "kl_over" in method && method.loss_type !== "apo_zero_unpaired" ? method.kl_over : null;
}

/** The setting for which a step's loss depends on its cut into micro-batches; null: it does not. */
export function microBatchSetting(method: MethodSettings): string | null {
  return methodOf(method.objective).ofMicroBatch?.({ ...method }) ?? null;
}

/** Whether the loss needs log-probs of prompts too. */
export function predictsPrompts(method: MethodSettings): boolean {
  return "nll_over" in method && method.nll_over === "prompt_and_answer";
}

/** How often a rollout is used: passes over it, and optimiser steps in a pass. Some methods have separate keys for that. */
export function updatesOf(config: {
  method: MethodSettings;
  num_iterations: number;
  steps_per_generation: number;
}): { passes: number; steps: number } {
  const { method, num_iterations, steps_per_generation } = config;
  return (
    methodOf(method.objective).updates?.({ ...method }) ?? {
      passes: num_iterations,
      steps: steps_per_generation,
    }
  );
}
