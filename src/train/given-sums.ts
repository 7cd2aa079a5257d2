/** Reference sums that rows bring along (`ref_chosen_logps`, `ref_rejected_logps`): where they cannot be used, and where nothing uses them. */
import { ConfigError } from "../base/errors.ts";
import type { Dataset } from "../data/dataset.ts";
import { describeOrigin, type Example } from "../data/example.ts";
import { ldAlphaOf, needsReference, type Objective, takesReferenceTokens } from "../methods/objective.ts";

type Rows = Pick<Dataset, "examples" | "evalExamples">;

/**
 * Refuses sums that rows bring for an objective that weighs tokens.
 *
 * @throws {ConfigError} naming the first such row
 */
export function refuseGivenSums(objective: Objective, { examples, evalExamples }: Rows): void {
  const ldAlpha = ldAlphaOf(objective);
  if (ldAlpha === null) return;
  const given = [...examples, ...(evalExamples ?? [])].find(hasSums);
  if (given === undefined) return;
  throw new ConfigError(
    `ld_alpha: ${ldAlpha} weighs tokens in the reference's sums too, and ${describeOrigin(given.origin)} brings finished sums ` +
      "(ref_chosen_logps, ref_rejected_logps). Leave these columns out of the rows, and the reference is computed, or take ld_alpha out.",
  );
}

/**
 * Warnings of sums that rows bring and nothing uses; at most one text.
 *
 * @param named - a model that is named as the reference
 */
export function unusedSumNotes(
  objective: Objective,
  { examples, evalExamples }: Rows,
  named: string | null = null,
): string[] {
  const parts = [examples, evalExamples ?? []].filter((rows) => rows.some(hasSums));
  const [whole, partly] = [reasonOfAll(objective, named), parts.filter((rows) => !rows.every(hasSums))];
  const unused = whole === null ? partly : parts;
  if (unused.length === 0) return [];
  const rows = unused.flat();
  const why = whole ?? "the other rows have none, and the reference is computed for all of them";
  const count = rows.filter(hasSums).length;
  return [`ref_chosen_logps, ref_rejected_logps of ${count} of ${rows.length} rows are not used: ${why}.`];
}

function hasSums({ referenceLogps }: Example): boolean {
  return referenceLogps !== undefined;
}

/** Why sums are not used whatever rows have them; null: they are. */
function reasonOfAll(objective: Objective, named: string | null): string | null {
  if (!needsReference(objective)) return `${objective.name} has no reference`;
  if (takesReferenceTokens(objective))
    return `${objective.name} is set to need log-probs of single tokens at the start, of which sums tell nothing`;
  return named === null ? null : `the reference is ${named}`;
}
