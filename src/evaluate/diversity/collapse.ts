/** Whether a model in training has collapsed: the figures of its sampled answers against those at the start. */

import { formatNumber } from "../../base/number-text.ts";
import type { WatchThresholds } from "../../config/watch-keys.ts";

/** A figure that has gone beyond its threshold. */
export interface Breach {
  /** Name of the threshold; null: a figure that no model in order gives. */
  threshold: keyof WatchThresholds | null;
  /** The sentence to show. */
  text: string;
}

/** Figures by name, without `eval_`; those that are missing or NaN are not judged. */
export type WatchedFigures = Readonly<Record<string, number>>;

/** What later figures are compared with. */
export interface WatchStart {
  /** The run's first evaluation: displacement is a change since then. */
  step: number;
  /** The first at which answers were sampled as they are now, and its figures. */
  watchStep: number;
  figures: WatchedFigures;
}

interface Rule {
  /** Name of the figure among the metrics. */
  figure: string;
  /** How far it has gone the wrong way. */
  change: (now: number, start: number) => number;
  /** What it did, to stand before the numbers. */
  verb: string;
}

/** 1 − 0.7 is a hair more than 0.3. */
const rounding = 1e-9;

const rise = (now: number, start: number): number => now - start;
const fall = (now: number, start: number): number => start - now;
const factor = (now: number, start: number): number =>
  start > 0 ? Math.max(now / start, start / now) : Number.NaN;

const rules: Record<keyof WatchThresholds, Rule> = {
  repetition: { figure: "samples/repetition", change: rise, verb: "rose" },
  ended_properly: { figure: "samples/ended_properly", change: fall, verb: "fell" },
  distinct_2: { figure: "samples/distinct_2", change: (now, start) => 1 - now / start, verb: "fell" },
  self_bleu: { figure: "samples/self_bleu", change: rise, verb: "rose" },
  malformed: { figure: "samples/malformed", change: rise, verb: "rose" },
  length: { figure: "samples/length", change: factor, verb: "went" },
  chosen_down: { figure: "displacement/frac_chosen_down", change: (now) => now, verb: "rose" },
  chosen_fall: { figure: "logps/chosen_delta_init", change: (now) => -now, verb: "fell" },
};

/** The thresholds that `now` has gone beyond. A loss that is no number is beyond all. */
export function breachesOf(now: WatchedFigures, start: WatchStart, thresholds: WatchThresholds): Breach[] {
  const names = Object.keys(rules) as (keyof WatchThresholds)[];
  const beyond = names.flatMap((threshold) => {
    const limit = thresholds[threshold];
    const { figure, change, verb } = rules[threshold];
    const value = now[figure] ?? Number.NaN;
    const isSampled = figure.startsWith("samples/");
    // displacement is a change since the start by itself
    const before = isSampled ? (start.figures[figure] ?? Number.NaN) : 0;
    if (limit === null || !(change(value, before) > limit + rounding)) return [];
    const how = threshold === "length" ? `more than ${limit}-fold` : `by more than ${formatNumber(limit)}`;
    const part = threshold === "distinct_2" ? " of itself" : "";
    const since = `since step ${isSampled ? start.watchStep : start.step}`;
    const text = `${figure} ${verb} ${how}${part} ${since}: from ${formatNumber(before)} to ${formatNumber(value)}`;
    return [{ threshold, text }];
  });
  const { loss = 0 } = now;
  if (!Number.isNaN(loss)) return beyond;
  return [{ threshold: null, text: "loss is NaN: log-probabilities are no longer numbers" }, ...beyond];
}
