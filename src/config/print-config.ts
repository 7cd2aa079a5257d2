/** Prints a resolved configuration as YAML: with the origin of every value for people, or bare for the run directory. */
import { stringify } from "yaml";
import type { DatasetSpec } from "./datasets.ts";
import { FIELD_GROUPS, type FlatConfig, flatConfig } from "./keys.ts";
import type { ResolvedConfig } from "./load-config.ts";
import { METHOD_FIELDS } from "./method-keys.ts";
import type { Provenance } from "./provenance.ts";
import type { ConfigKey } from "./run-config.ts";

/** Column at which origins stand, unless the value is longer. */
const ORIGIN_COLUMN = 48;

/** Where a value came from, in words. */
export function provenanceText(provenance: Provenance): string {
  switch (provenance.kind) {
    case "file":
      return `${provenance.file}:${provenance.line}`;
    case "preset":
      return `preset ${provenance.name}`;
    case "derived":
      return `derived (${provenance.why})`;
    default:
      return provenance.kind;
  }
}

/**
 * Every value and where it came from, as YAML with comments (what `--print-config` shows). It can be saved and run.
 */
export function formatConfig(resolved: ResolvedConfig): string {
  const values = flatConfig(resolved.config);
  const lines: string[] = [];
  for (const group of FIELD_GROUPS) {
    lines.push(lines.length === 0 ? `# ${group.title}` : `\n# ${group.title}`);
    for (const key of group.keys) lines.push(annotatedLine(resolved, values, key));
  }
  return `${lines.join("\n")}\n`;
}

/**
 * The values that take effect, as plain YAML. Reading it gives the same configuration, of a run from its beginning: what it was
 * last resumed from is not part of it.
 */
export function resolvedToYaml(resolved: ResolvedConfig): string {
  const values = flatConfig(resolved.config);
  const keys = FIELD_GROUPS.flatMap((group) => group.keys).filter(
    (key) => key !== "resume_from_checkpoint" && !leftOut(resolved, key),
  );
  return `${keys.map((key) => valueLine(values, key)).join("\n")}\n`;
}

function annotatedLine(resolved: ResolvedConfig, values: FlatConfig, key: ConfigKey): string {
  const inactive = resolved.inactive.get(key);
  if (inactive !== undefined) return `# ${key}: not used, ${inactive.reason}`;
  const line = (leftOut(resolved, key) ? "# " : "") + valueLine(values, key);
  return `${line.padEnd(ORIGIN_COLUMN)} # ${provenanceText(resolved.provenance[key] ?? { kind: "default" })}`;
}

/** Inactive keys would be refused when read again; of two forms of a hyperparameter one is enough. */
function leftOut(resolved: ResolvedConfig, key: ConfigKey): boolean {
  if (resolved.inactive.has(key)) return true;
  return Object.hasOwn(METHOD_FIELDS, key) && resolved.provenance[key]?.kind === "derived";
}

function valueLine(values: FlatConfig, key: ConfigKey): string {
  return `${key}: ${valueText(key, values[key])}`;
}

/** The value of `key` as it would stand in a YAML file, on one line. */
export function valueText(key: ConfigKey, value: unknown): string {
  const isData = key === "train_data" || key === "eval_data";
  const shown = isData && Array.isArray(value) ? shortSpecs(value as DatasetSpec[]) : value;
  return stringify(shown, { collectionStyle: "flow", lineWidth: 0, flowCollectionPadding: false }).trim();
}

/** Sources without the parts that are at their default; a lone path as the path itself. */
function shortSpecs(specs: readonly DatasetSpec[]): unknown {
  const short = specs.map((spec) => {
    const { path, ...rest } = spec;
    const given = Object.entries(rest).filter(([, value]) => value !== null);
    return given.length === 0 ? path : Object.fromEntries([["path", path], ...given]);
  });
  return short.length === 1 ? short[0] : short;
}
