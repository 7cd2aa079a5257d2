/** Some of a study's methods in place of all, with what they are compared with. */
import { ConfigError } from "preftune";
import type { Condition } from "preftune/sweep";
import type { StudyDefinition } from "./definition.ts";
import { isBaseline, methodOf } from "./points.ts";

/**
 * The conditions of the methods that are named, and those that their tables need: what each is compared with, or the curve.
 *
 * @param methods - names as tables have them, learning rates left out, or of a group of them, as `online` has one for each reward; none: all
 * @throws {ConfigError} if the study has no such method, or makes its tables of all of them
 */
export function chosenMethods(
  name: string,
  {
    canChoose,
    dividesRows,
    referenceOf,
    groupOf,
  }: Pick<StudyDefinition, "canChoose" | "dividesRows" | "referenceOf" | "groupOf">,
  { conditions, methods }: { conditions: readonly Condition[]; methods: readonly string[] },
): readonly Condition[] {
  if (methods.length === 0) return conditions;
  if (canChoose !== true) {
    throw new ConfigError(`${name} makes its tables of all of its conditions: take --method out.`);
  }
  const namesOf = (condition: string): string[] => {
    const group = groupOf?.(condition) ?? "";
    return group === "" ? [methodOf(condition)] : [group, methodOf(condition)];
  };
  const known = new Set(conditions.flatMap((condition) => namesOf(condition.name)));
  const unknown = methods.find((method) => !known.has(method));
  if (unknown !== undefined) {
    const list = [...known].map((method) => `"${method}"`).join(", ");
    throw new ConfigError(`--method: expected one of ${name}'s methods, ${list}, got "${unknown}".`);
  }
  const isAsked = (condition: string): boolean => namesOf(condition).some((own) => methods.includes(own));
  const needed = new Set(
    conditions.flatMap(({ name: condition }) =>
      isAsked(condition) ? [condition, referenceOf(condition) ?? condition] : [],
    ),
  );
  const drawsCurve = (condition: string): boolean => dividesRows === true && isBaseline(methodOf(condition));
  return conditions.filter((condition) => needed.has(condition.name) || drawsCurve(condition.name));
}
