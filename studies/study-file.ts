/** A study that is data: conditions, metrics and words in `claims/NAME.yaml`, and the analyses that it names. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ConfigError } from "preftune";
import { type Condition, TRIAL_METRICS, type TrialMetricName } from "preftune/sweep";
import { parse } from "yaml";
import { z } from "zod";
import { ANALYSES, type AnalysisName } from "./analyses/analyses.ts";
import type { StudyDefinition } from "./definition.ts";
import type { PairSet } from "./setup.ts";

const values = z.record(z.string(), z.unknown());

/** What a file holds. */
const shape = z.strictObject({
  title: z.string(),
  question: z.string(),
  metrics: z.array(z.enum(Object.keys(TRIAL_METRICS) as TrialMetricName[])).min(1),
  evaluations: z.enum(["few", "some", "every step"]),
  samples_answers: z.boolean().default(false),
  /** Every condition with each of two preference sets. */
  two_sets: z.boolean().default(false),
  seeds: z.strictObject({ quick: z.int().min(1), full: z.int().min(1) }),
  /** Conditions that share values, and the one that they are compared with; of this or another group. */
  groups: z.array(
    z.strictObject({
      values: values.default({}),
      reference: z.string(),
      conditions: z.record(z.string(), values),
    }),
  ),
  sections: z.array(
    z.strictObject({
      title: z.string(),
      note: z.string().optional(),
      analysis: z.enum(Object.keys(ANALYSES) as AnalysisName[]).optional(),
    }),
  ),
});

type ConditionGroup = z.infer<typeof shape>["groups"][number];

/**
 * The study in the file `name` of `claims`.
 *
 * @throws {ConfigError} naming the file, the key and what is wrong with it
 */
export function readStudy(name: string): StudyDefinition {
  const path = join(import.meta.dirname, "claims", `${name}.yaml`);
  return parseStudy(readFileSync(path, "utf8"), path);
}

/** The study in YAML text; messages call it `file`. */
export function parseStudy(text: string, file: string): StudyDefinition {
  const { success, data, error } = shape.safeParse(parse(text));
  if (!success) throw new ConfigError(`${file}: ${z.prettifyError(error)}`);
  const { title, question, metrics, evaluations, seeds, groups, sections, two_sets: needsTwoSets } = data;
  const references = new Map(
    groups.flatMap(({ reference, conditions }) =>
      Object.keys(conditions).map((name): [string, string] => [name, reference]),
    ),
  );
  for (const reference of references.values()) {
    if (!references.has(reference))
      throw new ConfigError(`${file}: reference: expected the name of a condition, got "${reference}"`);
  }
  const referenceOf = (condition: string): string | null => {
    const set = needsTwoSets ? `${condition.split(": ")[0]}: ` : "";
    const name = condition.slice(set.length);
    const reference = references.get(name) ?? name;
    return reference === name ? null : set + reference;
  };
  return {
    title,
    question,
    metrics,
    evaluations,
    seeds,
    needsAnswers: data.samples_answers,
    needsTwoSets,
    canChoose: !needsTwoSets,
    referenceOf,
    conditions: ({ sets }) =>
      needsTwoSets
        ? sets.flatMap((set) => groups.flatMap((group) => conditionsOf(group, set)))
        : groups.flatMap((group) => conditionsOf(group, null)),
    sections: (measured) =>
      sections.map(({ title: heading, note, analysis }) => ({
        title: heading,
        ...(note === undefined ? {} : { note }),
        ...(analysis === undefined ? {} : ANALYSES[analysis](measured, referenceOf)),
      })),
  };
}

function conditionsOf({ values: shared, conditions }: ConditionGroup, set: PairSet | null): Condition[] {
  return Object.entries(conditions).map(([name, own]) => ({
    name: set === null ? name : `${set.name}: ${name}`,
    changes: { ...set?.values, ...shared, ...own },
  }));
}
