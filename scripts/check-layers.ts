/**
 * Checks which folder of `src` imports which (rules: `.dependency-cruiser.mjs`), with dependency-cruiser.
 *
 * The tool reads TypeScript through TypeScript's own API, which release 7 no longer has; it is given release 6, from
 * `toolchain/`, in its place.
 */
import { createRequire, registerHooks } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const root = join(import.meta.dirname, "..");
const toolchain = createRequire(join(root, "toolchain", "package.json"));
const replaced = new Map(
  ["typescript", "typescript/package.json"].map((name) => [name, toolchain.resolve(name)]),
);

const version = (toolchain("typescript/package.json") as { version: string }).version;
// without a TypeScript it can use, the tool sees only the plain JavaScript files and finds nothing wrong with them
if (!version.startsWith("6.")) {
  process.stderr.write(`expected TypeScript 6 in toolchain/node_modules, found ${version}. Run "npm ci".\n`);
  process.exit(1);
}
registerHooks({
  resolve: (specifier, context, next) => {
    const path = replaced.get(specifier);
    return path === undefined
      ? next(specifier, context)
      : { url: pathToFileURL(path).href, shortCircuit: true };
  },
});

process.chdir(root);
process.argv.splice(
  1,
  process.argv.length,
  "depcruise",
  "--config",
  ".dependency-cruiser.mjs",
  "src",
  "studies",
  "test",
  "scripts",
);
await import(
  pathToFileURL(join(root, "node_modules", "dependency-cruiser", "bin", "dependency-cruise.mjs")).href
);
