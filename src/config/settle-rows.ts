/** The rows of a run's steps: settled when it first starts, and kept whatever the number of ranks that it is resumed on. */
import { ConfigError } from "../base/errors.ts";
import { counted } from "../base/number-text.ts";
import { inactiveKeys } from "./inactive.ts";
import type { ResolvedConfig } from "./load-config.ts";
import type { Provenance } from "./provenance.ts";
import type { RunConfig } from "./run-config.ts";
import { accumulationOf, rowsPerStep } from "./step-rows.ts";

/**
 * The configuration with the rows of its steps settled for a number of ranks: `train_batch_size` as it is given, as the run
 * has it, or what the other keys make of it; `gradient_accumulation_steps` follows. One process that is given none stays as
 * it is, so that its own keys decide, and so do steps that are counted in tokens.
 *
 * @param saved - configuration of the run that is resumed; null: a new one
 * @throws {ConfigError} when there are more ranks than rows
 */
export function settleRows(resolved: ResolvedConfig, ranks: number, saved: RunConfig | null): ResolvedConfig {
  const { config } = resolved;
  const settled = config.tokens_per_step === null ? settledRows(config, ranks, saved) : null;
  const rows = config.train_batch_size ?? settled?.rows ?? null;
  if (rows === null) return resolved;
  if (rows < ranks) {
    throw new ConfigError(
      `train_batch_size: a step of ${counted(rows, "row")} cannot be divided over ${ranks} ranks. ` +
        `Start at most ${rows}, or give a step more rows (train_batch_size: ${ranks}).`,
    );
  }
  const accumulation = accumulationOf(rows, config, ranks);
  const { train_batch_size: given, gradient_accumulation_steps: before } = resolved.provenance;
  const follows: Provenance = {
    kind: "derived",
    why: `train_batch_size on ${counted(ranks, "rank")}`,
  };
  const now = { ...config, train_batch_size: rows, gradient_accumulation_steps: accumulation };
  return {
    ...resolved,
    config: now,
    provenance: {
      ...resolved.provenance,
      train_batch_size: settled === null ? given : { kind: "derived", why: settled.why },
      gradient_accumulation_steps: accumulation === config.gradient_accumulation_steps ? before : follows,
    },
    inactive: inactiveKeys(now),
  };
}

/** Rows of a step that nobody gave. */
function settledRows(
  config: RunConfig,
  ranks: number,
  saved: RunConfig | null,
): { rows: number; why: string } | null {
  if (config.train_batch_size !== null) return null;
  const isOfRanks = ranks > 1 || (saved !== null && saved.train_batch_size !== null);
  if (!isOfRanks) return null;
  if (saved !== null && saved.tokens_per_step === null)
    return { rows: rowsPerStep(saved), why: "as the run was started" };
  const { per_device_train_batch_size: size, gradient_accumulation_steps: parts } = config;
  return { rows: size * parts * ranks, why: `${size} rows × ${parts} × ${ranks} ranks at the first start` };
}
