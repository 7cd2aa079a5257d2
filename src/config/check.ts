/** A line of the tables of checks. */
import type { Check } from "../methods/method.ts";
import type { RunConfig } from "./run-config.ts";

type When = (config: RunConfig) => boolean;
type Text = string | ((config: RunConfig) => string);

/** Something wrong in a configuration. */
export function error(key: keyof RunConfig, when: When, text: Text): Check<RunConfig> {
  return { key, severity: "error", when, text: typeof text === "string" ? () => text : text };
}

/** Something doubtful in a configuration. */
export function warning(key: keyof RunConfig, when: When, text: Text): Check<RunConfig> {
  return { ...error(key, when, text), severity: "warning" };
}
