/** The side of a worker process: loads reward functions, and knows which files they came from. */
import * as modules from "node:module";
import { join, relative, sep } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { messageOf } from "../base/errors.ts";
import { sha256File } from "../base/files.ts";
import { didYouMean } from "../base/suggest.ts";
import { builtInReward } from "./built-in/index.ts";
import { LoadFailure } from "./load-failure.ts";
import type { RewardFunction } from "./reward-function.ts";
import type { FunctionToLoad, RewardFile } from "./reward-messages.ts";

type Module = Extract<FunctionToLoad, { module: string }>;

/** The files that each file imports, by URL, as Node resolves them: those of installed packages are left out. */
const imports: Map<string, Set<string>> = new Map();

/** Preftune's own sources, which a user's file may import. */
const ownFiles = pathToFileURL(join(import.meta.dirname, "..", "/")).href;

/** From now on it is noted which files import which. */
export function noteImports(): void {
  modules.registerHooks({
    resolve: (specifier, context, next) => {
      const resolved = next(specifier, context);
      const { parentURL } = context;
      const { url } = resolved;
      const isLocal = url.startsWith("file:") && !url.includes("/node_modules/") && !url.startsWith(ownFiles);
      if (isLocal && parentURL !== undefined) {
        const known = imports.get(parentURL) ?? new Set();
        imports.set(parentURL, known.add(url));
      }
      return resolved;
    },
  });
}

/**
 * The function, ready to be called.
 *
 * @throws {LoadFailure} if its module cannot be loaded, or has no such function
 */
export async function loadFunction(wanted: FunctionToLoad): Promise<RewardFunction> {
  if ("builtIn" in wanted) return builtInReward[wanted.builtIn](wanted.options);
  const { module: path, export: name } = wanted;
  const file = shown(path);
  let loaded: Record<string, unknown>;
  try {
    loaded = (await import(pathToFileURL(path).href)) as Record<string, unknown>;
  } catch (error) {
    throw new LoadFailure(`${file} cannot be loaded: ${reasonOf(error, path)}`);
  }
  const found = Object.hasOwn(loaded, name) ? loaded[name] : undefined;
  if (isPlainFunction(found)) return found as RewardFunction;
  throw new LoadFailure(whyNoFunction(wanted, loaded, found));
}

function isPlainFunction(value: unknown): boolean {
  return typeof value === "function" && !/^class\b/.test(Function.prototype.toString.call(value));
}

function whyNoFunction(
  { module, export: name }: Module,
  loaded: Record<string, unknown>,
  found: unknown,
): string {
  const file = shown(module);
  const of = name === "default" ? "a default export" : `an export "${name}"`;
  if (found !== undefined) {
    const kind =
      typeof found === "function" ? "a class" : found === null ? "null" : `a value of type ${typeof found}`;
    return `${file}: expected ${of} that is a function, got ${kind}. Export a function ({ completions }) => [...].`;
  }
  const names = Object.keys(loaded).filter((each) => isPlainFunction(loaded[each]));
  const exported = names.length === 0 ? "no function" : names.join(", ");
  const first = names.find((each) => each !== "default");
  const remedy = first === undefined ? "Write `export` before the function." : `Write ${file}#${first}.`;
  return `${file}: expected ${of}, found ${exported}.${didYouMean(name, names) || ` ${remedy}`}`;
}

/** Message and place of what a module threw. */
function reasonOf(error: unknown, path: string): string {
  const message = messageOf(error);
  const { code, stack = "" } = Object(error) as { code?: unknown; stack?: string };
  const [, line = null] =
    stack
      .split("\n")
      .filter((each) => each.includes(path) || each.includes(pathToFileURL(path).href))
      .map((each) => /:(\d+)(?::\d+)?\)?\s*$/.exec(each))
      .find((match) => match !== null) ?? [];
  const at = line === null ? "" : ` (line ${line})`;
  const remedy =
    code === "ERR_MODULE_NOT_FOUND" || code === "MODULE_NOT_FOUND"
      ? " Install the package where the file is, or correct the import."
      : code === "ERR_UNSUPPORTED_TYPESCRIPT_SYNTAX"
        ? " Node runs TypeScript whose types can be erased: no enum, no namespace, no parameter properties."
        : "";
  return `${message.split("\n", 1)[0]?.replace(/[.]?$/, "")}${at}.${remedy}`;
}

/** The files of a module's function: its own first, then those that it imports, without installed packages. */
export function filesOf(wanted: FunctionToLoad): RewardFile[] {
  if ("builtIn" in wanted) return [];
  const found = new Set([pathToFileURL(wanted.module).href]);
  // a set that grows is iterated to its end
  for (const url of found) for (const imported of imports.get(url) ?? []) found.add(imported);
  return [...found].map((url) => {
    const path = fileURLToPath(url);
    return { path: shown(path), sha256: sha256File(path) };
  });
}

/** A path as a user would write it, from the working directory. */
function shown(path: string): string {
  const short = relative(process.cwd(), path);
  return short.startsWith(`..${sep}..`) ? path : short;
}
