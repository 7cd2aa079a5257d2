/** What the benchmarks' programs share: options, lines on the terminal, the machine, how a fault ends them. */
import { cpus, loadavg } from "node:os";
import { ConfigError, PreftuneError } from "../../src/base/errors.ts";
import { heldMasks } from "./held-sets.ts";

/** The load of the last minute. */
export function load(): number {
  return loadavg()[0] ?? 0;
}

/** What figures were measured on, and what all processes were held to. */
export function machineText(): string {
  const machine = `${cpus()[0]?.model ?? "?"} (${cpus().length} CPUs), load ${load().toFixed(1)}`;
  return [machine, ...heldMasks()].join("; ");
}

/** Prints a line. */
export function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

/**
 * The whole number that an option gives.
 *
 * @throws {ConfigError} if it is none or below `least`
 */
export function whole(name: string, text: string, least: number): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= least) return value;
  throw new ConfigError(`--${name}: expected a whole number of at least ${least}, got "${text}"`);
}

/**
 * The names that an option lists, with commas.
 *
 * @throws {ConfigError} if one is not among `known`
 */
export function listOf<T extends string>(name: string, text: string, known: readonly T[]): T[] {
  return text.split(",").map((value) => {
    const found = known.find((one) => one === value);
    if (found !== undefined) return found;
    throw new ConfigError(`--${name}: expected some of ${known.join(", ")}; got "${value}"`);
  });
}

/** Runs a program; what it throws for its user is a line on stderr and its exit code. */
export function runProgram(main: () => void): void {
  try {
    main();
  } catch (thrown) {
    const error = isOptionError(thrown)
      ? new ConfigError(`${thrown.message}. The options are in docs/performance.md and docs/generation.md.`)
      : thrown;
    if (!(error instanceof PreftuneError)) throw error;
    process.stderr.write(`preftune: ${error.message}\n`);
    process.exitCode = error.exitCode;
  }
}

/** Whether Node's parseArgs refused an option. */
function isOptionError(error: unknown): error is Error {
  return error instanceof Error && "code" in error && String(error.code).startsWith("ERR_PARSE_ARGS");
}
