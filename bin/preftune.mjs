#!/usr/bin/env node
/**
 * The `preftune` command. Runs under Node 20 or newer and hands over to Node 24; in a checkout it installs what is missing.
 * `setup` and `doctor` go to `src/setup`, which needs neither torch nor addon; everything else to `src/cli`.
 */
import { join } from "node:path";
import { becomeNode, launchArguments } from "./become-node.mjs";
import {
  ensurePackages,
  findNode24,
  isCheckout,
  packagesProblem,
  reportErrors,
  requireNode24,
  root,
} from "./bootstrap.mjs";
import { needsAddon } from "./computing.mjs";

/** @param {string} folder @param {string} name @returns {string} the file as source or as built */
function program(folder, name) {
  return isCheckout ? join(root, "src", folder, `${name}.ts`) : join(root, "dist", folder, `${name}.js`);
}

/** What can be said about a checkout that has neither packages nor Node 24: nothing is changed. @param {string} problem */
function firstDoctor(problem) {
  process.stdout.write(
    `Node          ${process.versions.node}, expected 24 or newer\n` +
      `npm packages  ${problem}\n\n` +
      "Missing:\n- npm packages, Node 24 among them. The next command installs them; to do it now:\n    npm run setup\n\n" +
      "Whether training can start shows once they are there.\n",
  );
  process.exit(1);
}

reportErrors(() => {
  const args = process.argv.slice(2);
  const [command = ""] = args;
  if (command === "doctor") {
    const node = findNode24(root);
    if (node === null && isCheckout) return firstDoctor(packagesProblem(root) ?? "installed");
    return becomeNode(requireNode24(), [program("setup", "command"), ...args]);
  }
  if (isCheckout) ensurePackages(root);
  const node = requireNode24();
  if (command === "setup") return becomeNode(node, [program("setup", "command"), ...args]);
  becomeNode(node, launchArguments(program("cli", "main"), args, needsAddon(args)));
});
