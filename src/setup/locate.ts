/** Finds the built addon, and what lies beside it. */
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { ConfigError } from "../base/errors.ts";
import { setupCommand, stateFolder } from "./places.ts";
import { readRecord, recordPath } from "./record.ts";

/**
 * Path of the compiled addon: PREFTUNE_ADDON, else what the last set-up recorded.
 *
 * @throws {ConfigError} with the command that builds it when there is none
 */
export function locateAddon(): string {
  const variable = process.env["PREFTUNE_ADDON"] ?? "";
  if (variable !== "") {
    if (existsSync(variable)) return variable;
    throw new ConfigError(`PREFTUNE_ADDON=${variable}: no such file. Unset it, then run "${setupCommand}".`);
  }
  const record = readRecord(stateFolder());
  if (record !== null && existsSync(record.addon)) return record.addon;
  throw new ConfigError(
    `the addon that binds torch is not built (${recordPath(stateFolder())} names none). Run "${setupCommand}".`,
  );
}

/** Where the part for several GPUs of the addon at `addon` is, if there is one. */
export function ncclBeside(addon: string): string {
  return join(dirname(addon), "nccl.node");
}

/** The part for several GPUs; null where there is none. @throws {ConfigError} as {@link locateAddon} */
export function locateNccl(): string | null {
  const path = ncclBeside(locateAddon());
  return existsSync(path) ? path : null;
}
