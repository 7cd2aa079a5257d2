/** Reads the values a user gave: from YAML text with line numbers, from the command line, or from code. */
import { existsSync, readdirSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import {
  type Document,
  isAlias,
  isMap,
  isNode,
  isScalar,
  LineCounter,
  parseDocument,
  type YAMLMap,
} from "yaml";
import { ConfigError, FileError, messageOf } from "../base/errors.ts";
import { readFileBytes, statsOf } from "../base/open-file.ts";
import { didYouMean } from "../base/suggest.ts";
import type { Provenance } from "./provenance.ts";
import { requireYamlLimits } from "./yaml-limits.ts";

/** Largest configuration file that is read. */
const MAX_BYTES = 1024 * 1024;
/** Aliases a file may expand to; more is a bomb, not a configuration. */
const MAX_ALIASES = 100;

/** One value that a user gave, before it is checked. */
export interface Given {
  key: string;
  /** From a command line: the text, to be read by the type of its key. */
  value: unknown;
  provenance: Provenance;
  /** Place of the value, or of a part of it, for messages: "run.yaml:7" or "--learning_rate". */
  where(path?: readonly PropertyKey[]): string;
}

/**
 * The text of a configuration file.
 *
 * @throws {ConfigError} when it is missing, unreadable or larger than 1 MiB
 */
export function readConfigText(path: string): string {
  const stat = statsOf(path);
  if (stat === null) throw missingFile(path);
  if (stat.isDirectory()) {
    const own = join(path, "config.yaml");
    const hint = existsSync(own) ? ` It is a run, whose own is ${own}.` : "";
    throw new ConfigError(`${path}: expected a configuration, a YAML file, got a directory.${hint}`);
  }
  if (/\.(jsonl|ndjson|csv|tsv|parquet)(\.\w+)?$/i.test(path)) {
    throw new ConfigError(
      `${path}: expected a configuration, a YAML file, got a file of rows. Name it there as train_data; ` +
        "`preftune init` writes a configuration for rows.",
    );
  }
  if (stat.size > MAX_BYTES) {
    throw new ConfigError(
      `${path}: expected a configuration of at most ${MAX_BYTES} bytes, got ${stat.size}.`,
    );
  }
  try {
    return readFileBytes(path, MAX_BYTES).toString("utf8");
  } catch (cause) {
    if (cause instanceof FileError) throw cause;
    throw new ConfigError(`Cannot read the configuration ${path}: ${messageOf(cause)}`, { cause });
  }
}

/** There is no file at `path`; the message names one of a similar name. */
function missingFile(path: string): ConfigError {
  const folder = dirname(path);
  if (!existsSync(folder)) {
    return new ConfigError(`${path}: expected a configuration, a YAML file; there is no folder ${folder}.`);
  }
  const others = readdirSync(folder).filter((name) => /\.ya?ml$/.test(name));
  const meant = didYouMean(basename(path), others);
  const known =
    meant === "" && others.length > 0
      ? ` Configurations in ${folder === "." ? "this folder" : folder}: ${others.slice(0, 5).join(", ")}.`
      : meant;
  return new ConfigError(`${path}: expected a configuration, a YAML file; there is no such file.${known}`);
}

/**
 * The keys and values of YAML text, each with its line.
 *
 * @throws {ConfigError} when it is not YAML, has a key twice, a custom tag, or is not a mapping
 */
export function givenByYaml(text: string, file: string): Given[] {
  requireYamlLimits(text, file);
  const lines = new LineCounter();
  const document = parse(text, file, lines);
  const lineOf = (offset: number | undefined): number =>
    offset === undefined ? 1 : lines.linePos(offset).line;
  if (document.contents === null) return [];
  if (!isMap(document.contents)) {
    // without its values: an alias among them may have nothing that it stands for
    const { contents } = document;
    const got = isAlias(contents) ? "an alias (*)" : typeName(isScalar(contents) ? contents.value : []);
    throw new ConfigError(`${file}:1: expected \`key: value\` lines, got ${got}.`);
  }
  const values = plainValues(document, file);
  return document.contents.items.map((pair) => {
    const key = isScalar(pair.key) ? String(pair.key.value) : String(pair.key);
    const line = lineOf(isNode(pair.key) ? pair.key.range?.[0] : undefined);
    return {
      key,
      value: values.get(key),
      provenance: { kind: "file", file, line },
      where: (path = []) => {
        const node = path.length === 0 ? undefined : deepest(document, [key, ...path]);
        return `${file}:${node === undefined ? line : lineOf(node)}`;
      },
    } satisfies Given;
  });
}

function parse(text: string, file: string, lineCounter: LineCounter): Document {
  let document: Document;
  try {
    document = parseDocument(text, { lineCounter, version: "1.2", uniqueKeys: true, prettyErrors: false });
  } catch (cause) {
    // Blocks nested thousands deep overflow the parser's stack.
    throw new ConfigError(`${file}: cannot be read as YAML: ${messageOf(cause)}`, { cause });
  }
  const problem = document.errors[0] ?? document.warnings[0];
  if (problem !== undefined) {
    const { line } = lineCounter.linePos(problem.pos[0]);
    throw new ConfigError(`${file}:${line}: not valid YAML here: ${problem.message}`, { cause: problem });
  }
  return document;
}

function plainValues(document: Document, file: string): Map<string, unknown> {
  try {
    const map = document.toJS({ maxAliasCount: MAX_ALIASES, mapAsMap: false }) as Record<string, unknown>;
    // Refuses a list or mapping that an alias puts inside of itself: what reads values walks them.
    JSON.stringify(map);
    return new Map(Object.entries(map));
  } catch (cause) {
    const reason =
      cause instanceof TypeError ? "an alias (*) stands inside of what it stands for" : messageOf(cause);
    throw new ConfigError(`${file}: cannot be read as YAML: ${reason}`, { cause });
  }
}

/** Offset of the node at `path`, or of the deepest one on the way to it. */
function deepest(document: Document, path: readonly PropertyKey[]): number | undefined {
  for (let length = path.length; length > 0; length--) {
    const node = (document.contents as YAMLMap).getIn(path.slice(0, length), true);
    if (isNode(node) && node.range) return node.range[0];
  }
  return undefined;
}

/** Values typed on the command line, as text; `learning-rate` is taken for `learning_rate`. */
export function givenByCommandLine(overrides: readonly (readonly [string, string])[]): Given[] {
  return overrides.map(([typed, text]) => {
    const key = typed.replace(/^--/, "").replaceAll("-", "_");
    return {
      key,
      value: text,
      provenance: { kind: "command line" },
      where: () => `--${key}`,
    } satisfies Given;
  });
}

/** Values passed by a program; undefined ones count as not given. */
export function givenByCode(values: Readonly<Record<string, unknown>>): Given[] {
  return Object.entries(values)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => ({ key, value, provenance: { kind: "code" }, where: () => "config" }));
}

/** A value for "got …": its type, and its text, truncated. */
export function gotText(value: unknown): string {
  if (value === null || value === undefined) return "nothing (null)";
  if (typeof value === "number" || typeof value === "boolean") return `${typeName(value)} ${value}`;
  const shown = JSON.stringify(value) ?? String(value);
  return `${typeName(value)} ${shown.length > 60 ? `${shown.slice(0, 57)}…` : shown}`;
}

function typeName(value: unknown): string {
  if (value === null || value === undefined) return "nothing";
  if (Array.isArray(value)) return "the list";
  if (typeof value === "object") return "the mapping";
  return typeof value === "string" ? "the text" : `the ${typeof value}`;
}
