/** The file of a user's reward function, looked at before any process starts. */
import { readdirSync, statSync } from "node:fs";
import { basename, dirname, extname, join, resolve } from "node:path";
import { closest } from "../base/suggest.ts";
import type { ModuleFunction } from "../config/reward-specs.ts";
import { RewardError } from "./reward-error.ts";

const extensions = [".ts", ".mts", ".cts", ".js", ".mjs", ".cjs"];

/**
 * The absolute path of a module of reward functions.
 *
 * @param wanted - its path relative to the working directory
 * @throws {RewardError} if there is no such file, or none that Node runs
 */
export function moduleFile({ file, export: name }: ModuleFunction): string {
  const suffix = name === "default" ? "" : `#${name}`;
  const path = resolve(file);
  const type = extname(file).toLowerCase();
  if (type === ".py") {
    throw new RewardError(
      `${file}: expected a TypeScript or JavaScript module, got Python. Write the function in a .ts file, which may ` +
        "start a Python process or ask a server of yours: it may be async.",
    );
  }
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined) {
    const near = nearby(path);
    const hint =
      near === null
        ? ` It is looked for in ${process.cwd()}.`
        : ` Did you mean ${join(dirname(file), near)}${suffix}?`;
    throw new RewardError(`${file}: there is no such file.${hint}`);
  }
  if (!stat.isFile()) {
    const kind = stat.isDirectory() ? "a directory" : "no regular file";
    throw new RewardError(
      `${file}: expected a TypeScript or JavaScript module, got ${kind}. Name the file: ${join(file, "rewards.ts")}${suffix}.`,
    );
  }
  if (!extensions.includes(type)) {
    throw new RewardError(`${file}: expected a module that ends with ${extensions.join(", ")}. Rename it.`);
  }
  return path;
}

function nearby(path: string): string | null {
  try {
    const names = readdirSync(dirname(path)).filter((each) => extensions.includes(extname(each)));
    const name = basename(path);
    return (
      names.find((each) => basename(each, extname(each)) === basename(name, extname(name))) ??
      closest(name, names)
    );
  } catch {
    return null;
  }
}
