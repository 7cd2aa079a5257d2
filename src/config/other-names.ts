/** What to write in place of a name that other trainers have and preftune does not. */
import { PARALLEL_NAMES } from "./parallel-names.ts";
import { TRAINER_NAMES } from "./trainer-names.ts";
import { TRL_ALIASES } from "./trl-names.ts";
import { YAML_TRAINER_NAMES } from "./yaml-trainer-names.ts";

const tables = [TRL_ALIASES, PARALLEL_NAMES, TRAINER_NAMES, YAML_TRAINER_NAMES];

/** The advice; null: no trainer known here has the name. */
export function adviceOnName(key: string): string | null {
  return tables.find((names) => Object.hasOwn(names, key))?.[key] ?? null;
}
