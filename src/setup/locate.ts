/** Finds the built addon. */
import { existsSync } from "node:fs";
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
