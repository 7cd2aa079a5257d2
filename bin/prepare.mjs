/**
 * Loaded before a command that computes (`node --import bin/prepare.mjs ...`): torch found, addon built,
 * PREFTUNE_ADDON set for this process and its children. Plain JavaScript, so that it serves checkout and package alike.
 */
import { existsSync } from "node:fs";
import process from "node:process";

if (!process.env["PREFTUNE_ADDON"]) {
  const sources = new URL("../src/setup/set-up.ts", import.meta.url);
  const built = new URL("../dist/setup/set-up.js", import.meta.url);
  /** @type {typeof import("../src/setup/set-up.ts")} */
  const { setUpOrExit } = await import(existsSync(sources) ? sources.href : built.href);
  process.env["PREFTUNE_ADDON"] = (await setUpOrExit()).addon;
}
