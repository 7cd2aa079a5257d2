/** What of a run's texts goes into a page that people share: absolute paths describe the machine, their ends the run. */
import { homedir } from "node:os";
import { isAbsolute, resolve } from "node:path";
import { escapeRegExp } from "../base/escape-regexp.ts";
import { flatConfig } from "../config/keys.ts";
import type { RunView } from "../runs/run-directory.ts";

/** A text without absolute paths: each is cut to its last two parts, "…/data/eval.jsonl". */
export type ShortenPaths = (text: string) => string;

/** A path from the root on; what may stand before it ends a word, so that "a/b" and "https://x" are none. */
const absolutePath = /(?<![\w.~…/:>-])\/(?:[^\s/"'`,;()<>[\]{}|]+\/)+[^\s/"'`,;()<>[\]{}|]*/g;

/** {@link ShortenPaths} for texts of these runs: paths that they name are known even where a name has blanks. */
export function pathShortener(runs: readonly RunView[]): ShortenPaths {
  const named = runs.flatMap(({ config, paths }) => [resolve(paths.dir), ...pathsIn(flatConfig(config))]);
  const whole = [...named, process.cwd(), homedir()].map((path) => path.replace(/\/+$/, ""));
  const known = [...new Set(whole)]
    .filter((path) => path.length > 1)
    .sort((a, b) => b.length - a.length)
    .map(escapeRegExp);
  if (known.length === 0) return (text) => text.replace(absolutePath, shortPath);
  // whole names alone: "/data" is no part of "sets/data/a", "/data-v2" or "https://host/data", but of "file:///data/a"
  const bounded = `(?<![\\p{L}\\p{N}_.~…-])(?<!(?<!:/)/)(?:${known.join("|")})(?![\\p{L}\\p{N}_~-]|\\.[\\p{L}\\p{N}_])`;
  const knownPath = new RegExp(bounded, "gu");
  return (text) => text.replace(knownPath, shortPath).replace(absolutePath, shortPath);
}

/** "…/", and the last two parts of a path. */
function shortPath(path: string): string {
  return `…/${path.split("/").filter(Boolean).slice(-2).join("/")}`;
}

/** The absolute paths among the texts of a value and its parts. */
function pathsIn(value: unknown): string[] {
  if (typeof value === "string") return isAbsolute(value) ? [value] : [];
  return typeof value === "object" && value !== null ? Object.values(value).flatMap(pathsIn) : [];
}
