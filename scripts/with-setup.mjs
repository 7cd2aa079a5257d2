/**
 * `node scripts/with-setup.mjs TASK [arguments]`: runs a task of this checkout after installing what it needs.
 *
 * Plain JavaScript without dependencies: it runs under Node 20 right after `git clone`. package.json's scripts call it.
 */
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { becomeNode, launchArguments } from "../bin/become-node.mjs";
import { BootstrapError, ensurePackages, reportErrors, requireNode24, root } from "../bin/bootstrap.mjs";

/** Task -> program, its first arguments, and whether torch and the addon are needed. */
const tasks = {
  setup: { program: "src/setup/command.ts", first: ["setup"], addon: false },
  doctor: { program: "src/setup/command.ts", first: ["doctor"], addon: false },
  quickstart: { program: "scripts/quickstart.ts", first: [], addon: true },
  test: { program: "scripts/test.ts", first: [], addon: true },
  "test:nightly": { program: "scripts/nightly.ts", first: [], addon: true },
  check: { program: "scripts/check.ts", first: [], addon: false },
  sbom: { program: "scripts/sbom.ts", first: [], addon: false },
  build: { program: "scripts/build.ts", first: [], addon: false },
  bench: { program: "scripts/bench/bench.ts", first: [], addon: true },
  "bench:generate": { program: "scripts/bench/generate.ts", first: [], addon: true },
  "bench:gate": { program: "scripts/bench/gate.ts", first: [], addon: true },
  "bench:weights": { program: "scripts/bench/weights.ts", first: [], addon: true },
  "bench:online": { program: "scripts/bench/online.ts", first: [], addon: true },
  "bench:calls": { program: "scripts/bench-calls.ts", first: [], addon: true },
  "bench:peers": { program: "scripts/peers.ts", first: ["--bench"], addon: false },
  generate: { program: "scripts/generate-operators.ts", first: [], addon: true },
  format: { program: "node_modules/@biomejs/biome/bin/biome", first: ["check", "--write"], addon: false },
  peers: { program: "scripts/peers.ts", first: [], addon: false },
  architecture: { program: "scripts/check-architecture.ts", first: ["--write"], addon: false },
  api: { program: "scripts/public-api.ts", first: ["--write"], addon: false },
  site: { program: "site/build.ts", first: [], addon: false },
  docs: { program: "scripts/write-docs.ts", first: [], addon: false },
};

/**
 * `node FILE ...` runs any TypeScript file of the checkout, an example say.
 *
 * @param {string[]} args
 * @returns {{ program: string, first: string[], addon: boolean }}
 */
function fileTask(args) {
  const file = args.shift();
  if (file === undefined) throw new BootstrapError("expected a file: npm run ts -- examples/NAME.ts");
  return { program: resolve(file), first: [], addon: true };
}

reportErrors(() => {
  const [name = "", ...args] = process.argv.slice(2);
  const task = name === "ts" ? fileTask(args) : tasks[/** @type {keyof typeof tasks} */ (name)];
  if (task === undefined) {
    throw new BootstrapError(`expected one of ${Object.keys(tasks).join(", ")}, ts; got "${name}"`);
  }
  const program = resolve(root, task.program);
  ensurePackages(root);
  if (!existsSync(program)) throw new BootstrapError(`expected a program at ${program}, found none`);
  becomeNode(requireNode24(), launchArguments(program, [...task.first, ...args], task.addon));
});
