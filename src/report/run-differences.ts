/** In what runs that are compared differ: configuration, data, code. */
import { flatConfig } from "../config/keys.ts";
import { valueText } from "../config/print-config.ts";
import type { ConfigKey } from "../config/run-config.ts";
import type { RunView } from "../runs/run-directory.ts";
import type { ReportTable } from "./html.ts";
import type { ShortenPaths } from "./shared-text.ts";

/** Keys that say where a run lies, not what it is. */
const places: readonly string[] = ["output_dir", "run_name"];
/** Characters of a digest that are shown. */
const digestDigits = 10;

/** The values in which runs differ, a column each, and what is the same in all. */
export function runDifferences(
  runs: readonly RunView[],
  names: readonly string[],
  shorten: ShortenPaths,
): { table: ReportTable | null; same: string[] } {
  const configs = runs.map(({ config }) => flatConfig(config) as Record<string, unknown>);
  const keys = [...new Set(configs.flatMap(Object.keys))].filter((key) => !places.includes(key));
  const configRows = keys.map((key) => [
    key,
    ...configs.map((config) => (key in config ? shorten(valueText(key as ConfigKey, config[key])) : "–")),
  ]);
  const computed = runs.map(fingerprintTexts);
  const facts = [...new Set(computed.flatMap(Object.keys))];
  const factRows = facts.map((fact) => [fact, ...computed.map((one) => one[fact] ?? "–")]);
  const differs = ([, ...values]: readonly string[]): boolean => new Set(values).size > 1;
  const rows = [...factRows, ...configRows].filter(differs);
  const same = factRows.filter((row) => !differs(row) && row[1] !== "–").map(([fact = ""]) => fact);
  return { table: rows.length === 0 ? null : { columns: ["", ...names], rows }, same };
}

/** What a run was computed from, in few characters. */
function fingerprintTexts({ fingerprints }: RunView): Record<string, string> {
  if (fingerprints === null) return {};
  const { data, reward_files: files, ...rest } = fingerprints;
  const words: Record<string, string> = {
    ...(data["rows"] === undefined ? {} : { "rows (digest)": data["rows"].slice(0, digestDigits) }),
    ...(files === undefined
      ? {}
      : {
          "reward functions (digest)":
            Object.values(files)
              .map((one) => one.slice(0, digestDigits))
              .join(" ") || "no files",
        }),
  };
  const names: Readonly<Record<string, string>> = {
    model: "base model (digest)",
    tokenizer: "tokenizer (digest)",
    template: "template (digest)",
    code_version: "code of preftune",
    torch_version: "torch",
  };
  for (const [key, value] of Object.entries(rest)) {
    const text = String(value ?? "none");
    words[names[key] ?? key] = /^[0-9a-f]{64}$/.test(text) ? text.slice(0, digestDigits) : text;
  }
  return words;
}
