/** Some of a study's methods in place of all, with what they are compared with. */
import { ConfigError } from "preftune";
import type { Condition } from "preftune/sweep";
import type { StudyDefinition } from "./definition.ts";
import { isBaseline, methodOf } from "./points.ts";

/**
 * The conditions of the methods that are named, and those that their tables need: what each is compared with, or the curve.
 *
 * @param methods - names as tables have them, learning rates left out; none: all
 * @throws {ConfigError} if the study has no such method, or makes its tables of all of them
 */
export function chosenMethods(
  name: string,
  { canChoose, dividesRows, referenceOf }: Pick<StudyDefinition, "canChoose" | "dividesRows" | "referenceOf">,
  { conditions, methods }: { conditions: readonly Condition[]; methods: readonly string[] },
): readonly Condition[] {
  if (methods.length === 0) return conditions;
  if (canChoose !== true) {
    throw new ConfigError(`${name} makes its tables of all of its conditions: take --method out.`);
  }
  const known = new Set(conditions.map((condition) => methodOf(condition.name)));
  const unknown = methods.find((method) => !known.has(method));
  if (unknown !== undefined) {
    const list = [...known].map((method) => `"${method}"`).join(", ");
    throw new ConfigError(`--method: expected one of ${name}'s methods, ${list}, got "${unknown}".`);
  }
  const isAsked = (condition: string): boolean => methods.includes(methodOf(condition));
  const needed = new Set(
    conditions.flatMap(({ name: condition }) =>
      isAsked(condition) ? [condition, referenceOf(condition) ?? condition] : [],
    ),
  );
  const drawsCurve = (condition: string): boolean => dividesRows === true && isBaseline(methodOf(condition));
  return conditions.filter((condition) => needed.has(condition.name) || drawsCurve(condition.name));
}
