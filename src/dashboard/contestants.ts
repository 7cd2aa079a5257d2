/** Contestants of the arena, from the owner's file alone: models behind OpenAI-style endpoints, and models that the dashboard serves itself. */
import { existsSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { z } from "zod";
import { ConfigError, PreftuneError } from "../base/errors.ts";
import { didYouMean } from "../base/suggest.ts";
import { type Given, givenByYaml, gotText, readConfigText } from "../config/given.ts";
import type { ServeSettings } from "../serve/serve-process.ts";
import { heldModel } from "./contestant-models.ts";

/** A model behind an endpoint. */
export interface Endpoint {
  /** Address up to and including /v1. */
  url: string;
  model: string;
  /** Environment variable with the endpoint's key; null: it needs none. */
  key_env: string | null;
  /** Further fields of requests; null takes a field out. */
  extra: Readonly<Record<string, unknown>>;
}

/** A model here. Those of one base model have the same settings, and are served by one process. */
export interface HeldModel {
  served: ServeSettings;
  /** Its name there. */
  model: string;
}

/** Who can answer. */
export interface Contestant {
  /** What is shown after the vote. */
  name: string;
  source: Endpoint | HeldModel;
  max_tokens: number;
  temperature: number;
}

const fileName = "arena.yaml";

const example = `contestants:
  - { name: base, model_name_or_path: models/base }
  - { name: tuned, adapter: runs/first }
  - { name: elsewhere, url: "http://127.0.0.1:8000/v1", model: other }`;

/** Keys of the file besides `contestants`, for the models that are served here. */
const sharedKeys = {
  device: { schema: z.string().min(1), expected: "cpu, cuda, cuda:N, mps or auto" },
  threads: { schema: z.int().min(1), expected: "a whole number of at least 1" },
} as const;
const fileKeys = ["contestants", ...Object.keys(sharedKeys)];

const word = { schema: z.string().min(1), expected: "a text" };

/** Keys of a contestant; `only`: of an endpoint, or of a model here. */
const keys = {
  name: word,
  url: {
    ...{ schema: z.url({ protocol: /^https?$/ }), only: "endpoint" },
    expected: "an address like http://127.0.0.1:8000/v1",
  },
  model: { ...word, only: "endpoint" },
  key_env: { schema: z.string().min(1), expected: "the name of an environment variable", only: "endpoint" },
  extra: {
    ...{ schema: z.record(z.string(), z.unknown()), only: "endpoint" },
    expected: "a mapping of fields of the request's body to their values",
  },
  model_name_or_path: { ...word, only: "here" },
  adapter: { ...word, only: "here" },
  adapter_scale: { schema: z.number().min(0).max(2), expected: "a number from 0 to 2", only: "here" },
  max_tokens: { schema: z.int().min(1), expected: "a whole number of at least 1" },
  temperature: { schema: z.number().min(0).max(2), expected: "a number from 0 to 2" },
} as const;

/** A contestant as it is written. */
type Written = { -readonly [Key in keyof typeof keys]?: z.infer<(typeof keys)[Key]["schema"]> };

/** What a contestant has that does not say. */
const usual = { max_tokens: 512, temperature: 0.7 };

/**
 * The contestants in `arena.yaml` of the workbench.
 *
 * @throws {ConfigError} where there is no such file, or it is wrong: names every unknown key, wrong value and missing directory with its line
 */
export function readContestants(dir: string): Contestant[] {
  const path = join(dir, fileName);
  if (!existsSync(path)) {
    throw new ConfigError(
      `The arena has no contestants yet. Write them into ${fileName} of the workbench, models here or endpoints like that of preftune serve:\n${example}`,
    );
  }
  const problems: string[] = [];
  const given = givenByYaml(readConfigText(path), fileName);
  const shared = sharedValues(given, problems);
  const list = given.find(({ key }) => key === "contestants");
  const values: unknown = list?.value;
  if (list === undefined || !Array.isArray(values) || values.length < 2) {
    const where = list?.where() ?? fileName;
    throw new ConfigError(
      [
        ...problems,
        `${where}: contestants: expected a list of two contestants or more, like\n${example}`,
      ].join("\n"),
    );
  }
  const written = values.map((value: unknown, i) => writtenContestant(list, i, value, problems));
  problems.push(...repeatedNames(list, written));
  const sources = problems.length > 0 ? [] : sourcesOf(list, written, { shared, problems });
  if (problems.length > 0) throw new ConfigError(problems.join("\n"));
  return sources.map((source, i) => {
    const { name = "", ...own } = written[i] ?? {};
    const { max_tokens, temperature } = { ...usual, ...own };
    return { name, source, max_tokens, temperature };
  });
}

function sharedValues(
  given: readonly Given[],
  problems: string[],
): Pick<ServeSettings, "device" | "threads"> {
  const found: { device?: string; threads?: number } = {};
  for (const { key, value, where } of given) {
    if (key === "contestants") continue;
    const known = Object.hasOwn(sharedKeys, key) ? sharedKeys[key as keyof typeof sharedKeys] : null;
    if (known === null) problems.push(`${where()}: unknown key "${key}".${didYouMean(key, fileKeys)}`);
    else if (known.schema.safeParse(value).success) Object.assign(found, { [key]: value });
    else problems.push(`${where()}: ${key}: expected ${known.expected}, got ${gotText(value)}.`);
  }
  // a training beside it keeps half of the processors
  const half = Math.max(1, Math.floor(availableParallelism() / 2));
  return { device: "auto", threads: half, ...found };
}

function writtenContestant(list: Given, i: number, value: unknown, problems: string[]): Written {
  const read = z.record(z.string(), z.unknown()).safeParse(value);
  if (!read.success) {
    problems.push(
      `${list.where([i])}: expected a contestant like { name: base, model_name_or_path: models/base }, got ${gotText(value)}.`,
    );
    return {};
  }
  const before = problems.length;
  for (const [key, one] of Object.entries(read.data)) {
    const where = list.where([i, key]);
    if (!Object.hasOwn(keys, key)) {
      problems.push(`${where}: unknown key "${key}".${didYouMean(key, Object.keys(keys))}`);
      continue;
    }
    const { schema, expected } = keys[key as keyof typeof keys];
    if (!schema.safeParse(one).success)
      problems.push(`${where}: ${key}: expected ${expected}, got ${gotText(one)}.`);
  }
  const written = read.data as Written;
  if (problems.length === before) problems.push(...missingOrMixed(list.where([i]), written));
  return written;
}

function missingOrMixed(where: string, written: Written): string[] {
  const has = (only: "endpoint" | "here"): string[] =>
    Object.entries(keys).flatMap(([key, field]) =>
      "only" in field && field.only === only && Object.hasOwn(written, key) ? [key] : [],
    );
  const [ofEndpoint, ofModel] = [has("endpoint"), has("here")];
  const { name, url, model, model_name_or_path: base, adapter, adapter_scale } = written;
  const called =
    name === undefined ? "name is missing: expected what the contestant is called after a vote." : null;
  const found = [
    called,
    ofEndpoint.length > 0 && ofModel.length > 0
      ? `${ofEndpoint.join(", ")} of an endpoint and ${ofModel.join(", ")} of a model here do not go together. Take one of them out.`
      : null,
    ofModel.length === 0 && (url === undefined || model === undefined)
      ? "expected url and model of an endpoint, or model_name_or_path or adapter of a model here."
      : null,
    ofModel.length > 0 && base === undefined && adapter === undefined
      ? "expected model_name_or_path or adapter beside adapter_scale."
      : null,
    adapter_scale !== undefined && base !== undefined && adapter === undefined
      ? "adapter_scale has no effect without adapter. Take it out."
      : null,
  ];
  return found.filter((problem) => problem !== null).map((problem) => `${where}: ${problem}`);
}

function repeatedNames(list: Given, written: readonly Written[]): string[] {
  const names = written.map(({ name }) => name);
  return names.flatMap((name, i) =>
    name !== undefined && names.indexOf(name) < i
      ? [`${list.where([i])}: another contestant is called ${JSON.stringify(name)}. Choose another name.`]
      : [],
  );
}

/** Where each answers: models of one base get the same settings. */
function sourcesOf(
  list: Given,
  written: readonly Written[],
  { shared, problems }: { shared: Pick<ServeSettings, "device" | "threads">; problems: string[] },
): Contestant["source"][] {
  const bases = new Map<string, ServeSettings & { adapters: Record<string, string> }>();
  return written.flatMap((one, i): Contestant["source"][] => {
    const { url, model, key_env = null, extra = {} } = one;
    if (url !== undefined && model !== undefined) return [{ url, model, key_env, extra }];
    try {
      const { base, adapter } = heldModel(one);
      const served = bases.get(base) ?? { model: base, name: "base", adapters: {}, ...shared };
      bases.set(base, served);
      if (adapter === null) return [{ served, model: "base" }];
      const { adapters } = served;
      const same = Object.keys(adapters).find((name) => adapters[name] === adapter);
      const name = same ?? `variant-${Object.keys(adapters).length + 1}`;
      adapters[name] = adapter;
      return [{ served, model: name }];
    } catch (error) {
      if (!(error instanceof PreftuneError)) throw error;
      problems.push(`${list.where([i])}: ${error.message}`);
      return [];
    }
  });
}
