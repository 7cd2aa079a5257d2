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
const typescript6 = createRequire(join(root, "toolchain", "package.json")).resolve("typescript");

registerHooks({
  resolve: (specifier, context, next) =>
    specifier === "typescript" ? { url: pathToFileURL(typescript6).href, shortCircuit: true } : next(specifier, context),
});

process.chdir(root);
process.argv.splice(1, process.argv.length, "depcruise", "--config", ".dependency-cruiser.mjs", "src", "test", "scripts");
await import(pathToFileURL(join(root, "node_modules", "dependency-cruiser", "bin", "dependency-cruise.mjs")).href);
