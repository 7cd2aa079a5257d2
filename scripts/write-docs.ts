/**
 * Writes the documents that follow from code, `npm run docs`: docs/configuration.md, docs/metrics.md and run.schema.json whole, and in
 * docs/objectives.md, data.md, collapse.md, serving.md and distributed.md the tables between `<!-- table: NAME -->` and
 * `<!-- end -->`.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { configSchema } from "../src/config/json-schema.ts";
import { CONFIG_KEYS, defaultText, FIELD_GROUPS, fieldOf } from "../src/config/keys.ts";
import type { MetricInfo } from "../src/config/metric-info.ts";
import { METRICS } from "../src/config/metric-names.ts";
import { PARALLEL_NAMES } from "../src/config/parallel-names.ts";
import type { ConfigKey } from "../src/config/run-config.ts";
import { TRAINER_NAMES } from "../src/config/trainer-names.ts";
import { TRL_ALIASES } from "../src/config/trl-names.ts";
import { YAML_TRAINER_NAMES } from "../src/config/yaml-trainer-names.ts";
import { describeFindings, type FindingDoc } from "../src/data/findings.ts";
import { DIVERSITY_METRICS } from "../src/evaluate/diversity/diversity.ts";
import { FORM_FAULTS } from "../src/evaluate/diversity/markdown-form.ts";
import { type MethodName, methodNames, methodOf } from "../src/methods/index.ts";
import type { Hyperparameter, Preset } from "../src/methods/method.ts";
import { PAIRING_KEYS } from "../src/methods/pairing/settings.ts";
import { API_ERRORS } from "../src/serve/api-error.ts";
import type { FieldTable } from "../src/serve/request-fields.ts";
import { chatTable, completionTable, REQUEST_LIMITS } from "../src/serve/request-tables.ts";
import { SERVER_METRICS } from "../src/serve/server-metrics.ts";

/** `header` and `rows` as a Markdown table. */
export function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell) => cell.replaceAll("|", "\\|").replaceAll("\n", " ")).join(" | ")} |`;
  return [line(header), line(header.map(() => "---")), ...rows.map(line)].join("\n");
}

const code = (text: string): string => `\`${text}\``;

const configurationHead: string = `# Configuration

<!-- Written by scripts/write-docs.ts from src/config/*-keys.ts and src/methods. Do not edit; run \`npm run docs\`. -->

A run is described by the keys below, in a YAML file:

\`\`\`yaml
model_name_or_path: models/SmolLM2-135M-Instruct
train_data: pairs.jsonl
output_dir: runs/first
\`\`\`

- \`preftune train RUN.yaml --learning_rate 1e-4 --objective dpo\` sets keys on the command line. They win over the file.
- \`preftune train RUN.yaml --print-config\` prints every value and where it came from, and trains nothing.
- An editor with a YAML language server completes keys, explains them and marks mistakes, once the file begins with
  \`# yaml-language-server: $schema=node_modules/preftune/run.schema.json\` (in a checkout \`run.schema.json\`). \`--print-config\` writes
  that line too; \`preftune schema\` prints the schema.
- An unknown key is an error, with the name that was probably meant. So is a key without effect, such as \`beta\`
  with \`objective: slime\`.
- Relative paths mean the working directory, not the folder of the YAML file.
- The run directory keeps all values in \`config.yaml\`, which can be run again.

## Models from the hub

\`model_name_or_path\`, \`adapter_name_or_path\` and the options \`--model\`, \`--adapter\` and \`--reference\` of \`preftune score\`
and \`preftune merge\` take a local directory or a hub id:

| Written | Meaning |
| --- | --- |
| \`models/llama\` | this directory; a directory that exists always wins |
| \`owner/name\` | the model on the hub, branch \`main\` |
| \`owner/name@revision\` | at a branch, tag or commit; an adapter trained on it names the commit, for PEFT |
| \`hub:owner/name\` | on the hub, even if there is a directory of that name |

Settings, tokenizer, chat templates and safetensors weights are fetched; pickles and code never are. Every file is compared
with the size and checksum that the hub lists. An interrupted download resumes at the next file.

Models and data sets are kept in Hugging Face's own cache (\`$HF_HUB_CACHE\` or \`$HUGGINGFACE_HUB_CACHE\`, else \`hub\` in \`$HF_HOME\`, else
\`~/.cache/huggingface/hub\`; a leading \`~\` and \`$NAME\` in them are replaced), in its layout: files that \`transformers\`, \`datasets\` or \`hf download\` fetched are reused, and vice versa. A branch is looked up
each time; if the hub does not reply, the model fetched last is used. A resumed run keeps the commit it began with
(\`models.json\` in the run directory). \`HF_TOKEN\`, or the token that \`hf auth login\` keeps, is sent; \`HF_ENDPOINT\` names another
hub; and \`HF_HUB_OFFLINE=1\` uses the cache alone. These are read as \`huggingface_hub\` reads them.
`;

function configuration(): string {
  const groups = FIELD_GROUPS.map(({ title, keys }) => {
    const header = ["Key", "Accepts", "Default", "Meaning", "Source of the default"];
    return `## ${title}\n\n${table(header, keys.map(fieldRow))}\n`;
  });
  return `${[configurationHead, ...groups, resuming(), otherNames()].join("\n")}`;
}

function fieldRow(key: ConfigKey): string[] {
  const field = fieldOf(key);
  const { expected, objectives, doc, source, rule } = field;
  const value = defaultText(field);
  const shown = rule === undefined && "default" in field ? code(value) : value;
  const meaning = objectives === undefined ? doc : `${doc} (${objectives.join(", ")} only)`;
  return [code(key), expected, shown, meaning, source];
}

function resuming(): string {
  const free = CONFIG_KEYS.filter((key) => fieldOf(key).freeOnResume === true).map(code);
  return `## Resuming

On resume, these keys may change: ${free.join(", ")}. Of \`judge\` that is the address: the model stays. A step may also
be divided into different micro-batches with the same total of rows or \`tokens_per_step\`, unless its loss is of micro-batches (\`loss_type: bnpo\`,
\`preset: reference-compat\`, \`kl_over: micro_batch\`: there \`max_tokens_per_micro_batch\` stays too). With a constant learning rate,
and no \`warmup_ratio\`, the run may be longer or shorter. Any other change is refused by name. When \`metric_for_best_model\` or
\`greater_is_better\` change, the best from there on counts.
`;
}

function otherNames(): string {
  const rows = adviceRows({ ...TRAINER_NAMES, ...TRL_ALIASES, ...YAML_TRAINER_NAMES });
  return `## Names of other trainers

These are refused, with this advice; keys about several GPUs are in [distributed.md](distributed.md):

${table(["Key", "Advice"], rows)}
`;
}

const metricsHead: string = `# Metrics

<!-- Written by scripts/write-docs.ts from src/config/metric-names.ts and src/methods. Do not edit; run \`npm run docs\`. -->

\`metrics.jsonl\` in the run directory has one JSON object a line. Every line has \`global_step\` and \`epoch\`.

- A **training row** comes every \`logging_steps\` steps. Losses, rewards and the like are means over the steps since the last row.
  Within a step they are sums over all completions (or tokens) divided by their number, so they do not depend on micro-batches.
- An **evaluation row** covers the held-out rows. Its keys begin with \`eval_\`, except \`global_step\` and \`epoch\`.
- An **on-policy** run (one with \`reward_funcs\`, \`reward_model\` or \`judge\`) also logs its completions and rewards; a key with \`NAME\`
  is there once for each reward function, under its name, and as \`reward_model\` and \`judge\`. Its evaluations sample completions of the held-out prompts and score them; the loss is not
  evaluated. Rewards and lengths are means over the rollout that a step is made of.
- A number that is not finite is written as \`NaN\`, \`Infinity\` or \`-Infinity\`, as Python's json module reads them.
- A mean is over completions unless the unit says per token.

A test trains with each objective and compares the keys with this table.
`;

const metricsTail: string = `## Not logged

- \`logits/chosen\` and \`logits/rejected\`, which TRL logs: the mean logit over the vocabulary. The full logits never exist
  at once; they are computed in chunks, and only log-probabilities are kept, so this metric would cost another pass.
  It is not informative: adding a constant to all logits changes it and nothing else. And trainers define it
  differently: some average over the prompt and padding as well.
- Of TRL's OnlineDPO: \`objective/scores\` is \`reward\` here, \`val/contain_eos_token\` is 1 − \`completions/clipped_ratio\`.
  \`objective/entropy\`, the mean of −log π summed over a completion's tokens, is not logged, but \`entropy\` (\`log_entropy\`), per token and exact;
  nor are \`objective/kl\` and what TRL makes of it (\`objective/non_score_reward\`, \`objective/rlhf_reward\`): \`kl\` (\`kl_coef\`) is per token, \`eval_kl_init\`
  that of a completion. \`beta\` stands in the run's configuration. The others have the same names.
- Values per micro-batch. TRL averages its metrics over micro-batches of unequal size, so its numbers differ slightly from
  these when the batches differ in length.
`;

function metrics(): string {
  const rows = METRICS.map((info) => [
    code(info.key),
    info.unit === "" ? "–" : info.unit,
    info.definition,
    info.better ?? "–",
    whereLogged(info),
  ]);
  const list = table(["Key", "Unit", "Definition", "Better", "Logged"], rows);
  return `${[metricsHead, `## Keys\n\n${list}\n`, metricsTail].join("\n")}`;
}

/** Names of objectives, or of those that are left out where these are fewer. */
function someObjectives(names: readonly MethodName[]): string {
  const others = methodNames.filter((name) => !names.includes(name));
  return others.length < names.length && others.length > 0 ? `not ${others.join(", ")}` : names.join(", ");
}

function whereLogged(info: MetricInfo): string {
  const { key, rows, objectives, needs, onPolicy, ofObjective } = info;
  const kinds = { training: "training rows", evaluation: `as ${code(`eval_${key}`)}` };
  const inTraining = ofObjective === true && onPolicy === true ? "training" : rows;
  const parts = [
    inTraining === undefined ? "both" : kinds[inTraining],
    ...(objectives === undefined ? [] : [someObjectives(objectives)]),
    ...policyPart(info),
    ...(needs === undefined ? [] : [needs]),
  ];
  return parts.join("; ");
}

/** In which of the two kinds of runs, where not in both. */
function policyPart({ rows, objectives, onPolicy, ofObjective }: MetricInfo): string[] {
  if (onPolicy === true) return ["on-policy"];
  if (onPolicy === false || (ofObjective === true && rows === "evaluation")) return ["not on-policy"];
  const neverIs = objectives?.every((name) => methodOf(name).onPolicy === "never") === true;
  return ofObjective === true && !neverIs ? ["on-policy in training rows alone"] : [];
}

/** The tables of docs/objectives.md, by name: "slime keys", "slime presets". */
function methodTables(): Record<string, () => string> {
  const tables = methodNames.flatMap((name) => {
    const { keys, presets } = methodOf(name);
    const keyTable: [string, () => string] = [`${name} keys`, () => hyperparameterTable(keys)];
    if (presets === null) return [keyTable];
    return [keyTable, [`${name} presets`, () => presetTable(presets)] satisfies [string, () => string]];
  });
  return { ...Object.fromEntries(tables), "pairing keys": () => hyperparameterTable(PAIRING_KEYS) };
}

function hyperparameterTable(keys: Readonly<Record<string, Hyperparameter>>): string {
  const rows = Object.entries(keys).map(
    ([
      key,
      {
        unit,
        schema: { default: value },
        doc,
        rule,
      },
    ]) => [code(key), unit, value === undefined ? (rule ?? "the preset's") : code(String(value)), doc],
  );
  return table(["Key", "Unit", "Default", "What it does"], rows);
}

function presetTable(presets: Readonly<Record<string, Preset<Readonly<Record<string, unknown>>>>>): string {
  const all = Object.entries(presets);
  const keys = [...new Set(all.flatMap(([, { values }]) => Object.keys(values)))];
  const rows = keys.map((key) => [
    code(key),
    ...all.map(([, { values }]) => String(values[key] ?? "derived")),
  ]);
  const sources = all.map(([name, { source }]) => `- ${code(name)}: ${source}.`);
  return `${table(["Key", ...all.map(([name]) => code(name))], rows)}\n\n${sources.join("\n")}`;
}

const findingTitles: Readonly<Record<FindingDoc["about"], string>> = {
  row: "Faults of rows. They stop the run; with `invalid_rows: drop` the row is left out and counted.",
  set:
    "Findings about the data as a whole. `no_rows`, `no_held_out_rows` and `one_label` stop the run, and so do `bos_missing` where " +
    "other rows begin with a BOS, and `prompt_in_both_splits` unless `invalid_rows: drop` leaves those rows out; the others are warnings.",
  encoding: "Notes on how rows became tokens. All are warnings.",
};

function findingTables(): string {
  const findings = describeFindings();
  return Object.entries(findingTitles)
    .map(([about, title]) => {
      const rows = findings.filter((finding) => finding.about === about);
      const cells = rows.map((finding) => [code(finding.code), finding.message, finding.remedy]);
      return `${title}\n\n${table(["Code", "Found", "Remedy"], cells)}`;
    })
    .join("\n\n");
}

function meanings(what: string, all: Readonly<Record<string, string>>): string {
  return table(
    [what, "Meaning"],
    Object.entries(all).map(([name, meaning]) => [code(name), meaning]),
  );
}

function requestFields<T>({ served, unserved, ignored }: FieldTable<T>): string {
  const rows = Object.entries<{ expected: string }>(served).map(([name, { expected }]) => [
    code(name),
    expected,
  ]);
  const others = Object.entries(unserved).map(([name, { instead }]) => [name, instead] as const);
  return [
    table(["Field", "Takes"], rows),
    `Without effect: ${ignored.map(code).join(", ")}. Not served:`,
    table(["Field", "Instead"], adviceRows(Object.fromEntries(others))),
  ].join("\n\n");
}

function serverErrors(): string {
  const rows = Object.values(API_ERRORS).map((error) => [
    String(error.status),
    code(error.code),
    error.meaning,
  ]);
  return table(["Status", "Code", "When"], rows);
}

/** Names that get the same advice stand in one row. */
function adviceRows(advices: Readonly<Record<string, string>>): string[][] {
  const groups = Map.groupBy(Object.entries(advices), ([, advice]) => advice);
  return [...groups].map(([advice, names]) => [names.map(([name]) => code(name)).join(", "), advice]);
}

const tables: Readonly<Record<string, () => string>> = {
  ...methodTables(),
  findings: findingTables,
  "parallel names": () => table(["Key", "In preftune"], adviceRows(PARALLEL_NAMES)),
  "diversity metrics": () => meanings("Figure", DIVERSITY_METRICS),
  "markdown faults": () => meanings("Fault", FORM_FAULTS),
  "chat fields": () => requestFields(chatTable(REQUEST_LIMITS)),
  "completion fields": () => requestFields(completionTable(REQUEST_LIMITS)),
  "server errors": serverErrors,
  "server metrics": () => meanings("Metric", SERVER_METRICS),
};

/** `text` with its marked tables written again. */
export function fillTables(text: string): string {
  return text.replace(/<!-- table: ([\w ]+) -->[\s\S]*?<!-- end -->/g, (_, name: string) => {
    const make = tables[name];
    if (make === undefined)
      throw new Error(`there is no table "${name}", only ${Object.keys(tables).join(", ")}`);
    return `<!-- table: ${name} -->\n\n${make()}\n\n<!-- end -->`;
  });
}

/** The schema of run files, as editors read it. */
const schemaFile = "run.schema.json";

/** The documents as they should be, by path below `root`. */
export function documents(root: string): Record<string, string> {
  const filled = ["objectives", "data", "collapse", "serving", "distributed"].map((page) => [
    `docs/${page}.md`,
    fillTables(readFileSync(join(root, `docs/${page}.md`), "utf8")),
  ]);
  return {
    "docs/configuration.md": configuration(),
    "docs/metrics.md": metrics(),
    [schemaFile]: `${JSON.stringify(configSchema(), null, 1)}\n`,
    ...Object.fromEntries(filled),
  };
}

if (import.meta.main) {
  const root = join(import.meta.dirname, "..");
  for (const [path, text] of Object.entries(documents(root))) {
    writeFileSync(join(root, path), text);
    process.stdout.write(`${path}\n`);
  }
}
