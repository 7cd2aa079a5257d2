/** Which keys have no effect under the other values of a configuration, and why. */
import { methodOf } from "../methods/index.ts";
import { INACTIVE_RULES, type Rule } from "./inactive-rules.ts";
import { CONFIG_KEYS, fieldOf } from "./keys.ts";
import { takeOutKey } from "./method-keys.ts";
import type { ConfigKey, RunConfig } from "./run-config.ts";

/** Why a key has no effect. */
export interface Inactive {
  /** The key that decides it. */
  because: ConfigKey;
  /** To follow "not used: ". */
  reason: string;
  /** What to do about it, a sentence. */
  remedy: string;
  /** Giving the key anyway is a mistake (error) or merely has no effect (warning). */
  severity: "error" | "warning";
}

const takeOneOut = "Take one of the two out.";

/** The rules that the run's method brings. */
function methodRules({ method }: RunConfig): Rule[] {
  const rules = methodOf(method.objective).inactive ?? [];
  return rules.map(({ keys, because, when, ...rest }) => ({
    keys: keys as ConfigKey[],
    because: because as ConfigKey,
    when: () => when({ ...method }),
    ...rest,
  }));
}

/** The keys without effect. The first reason found for a key stands. */
export function inactiveKeys(config: RunConfig): Map<ConfigKey, Inactive> {
  const found = new Map<ConfigKey, Inactive>();
  const { objective } = config.method;
  for (const key of CONFIG_KEYS) {
    const { objectives } = fieldOf(key);
    if (objectives?.includes(objective) !== false) continue;
    found.set(key, {
      because: "objective",
      reason: `objective is ${objective}`,
      remedy: takeOutKey(key, objectives, objective),
      severity: "error",
    });
  }
  for (const rule of [...INACTIVE_RULES, ...methodRules(config)]) {
    const { keys, because, when, reason, remedy = takeOneOut, severity = "error" } = rule;
    if (!when(config)) continue;
    const text = typeof reason === "string" ? reason : reason(config);
    for (const key of keys) if (!found.has(key)) found.set(key, { because, reason: text, remedy, severity });
  }
  return found;
}
