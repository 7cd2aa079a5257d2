/** The user's llama-quantize, which makes the types with many kinds of blocks in one file. */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { text } from "node:stream/consumers";
import { ConfigError, FormatError } from "../base/errors.ts";
import { findProgram } from "../setup/path-search.ts";

/**
 * Path of llama-quantize: the one given, else that of PATH.
 *
 * @throws {ConfigError} when there is none, with the remedy
 */
export function findQuantizer(given: string | null): string {
  if (given !== null && existsSync(given)) return given;
  const found = given === null ? findProgram("llama-quantize") : null;
  if (found !== null) return found;
  const where = given === null ? "on the path" : `at ${given}`;
  throw new ConfigError(
    `q4_k_m is made by llama.cpp's llama-quantize, and there is none ${where}. Install llama.cpp, or give the program: ` +
      "--llama-quantize PATH. Without it: --type q8_0 or q4_0.",
  );
}

/**
 * Quantises the file `from` to Q4_K_M as `to`.
 *
 * @param signal - kills the program
 * @throws {FormatError} with the program's last lines, when it fails; the reason of `signal`, once the program is gone
 */
export async function quantise(
  program: string,
  from: string,
  to: string,
  signal: AbortSignal | null,
): Promise<void> {
  const killing = signal === null ? {} : { signal, killSignal: "SIGKILL" as const };
  const child = spawn(program, [from, to, "Q4_K_M"], { stdio: ["ignore", "pipe", "pipe"], ...killing });
  const ended = new Promise<string>((resolve, reject) => {
    // one that was killed closes as well; one that never began does not
    child.once("error", (error) => {
      if (child.pid === undefined) reject(error);
    });
    child.once("close", (status, by) => resolve(by === null ? `with status ${status}` : `by ${by}`));
  });
  const written = Promise.all([text(child.stdout), text(child.stderr)]).catch(() => ["", ""]);
  const how = await ended.catch((cause: unknown) => {
    throw new ConfigError(`${program} could not be started: ${String(cause)}.`, { cause });
  });
  signal?.throwIfAborted();
  if (how === "with status 0" && existsSync(to)) return;
  const [out, errors] = await written;
  const last = `${out}${errors}`.trimEnd().split("\n").slice(-5).join("\n");
  throw new FormatError(
    `${program} ended ${how} and no file to use. ${last === "" ? "It wrote nothing." : `Its last lines:\n${last}`}`,
  );
}
