/** How the ranks of `rank-child.ts` end. */
import assert from "node:assert/strict";
import type { Running } from "./command.ts";
import type { RankPlan } from "./rank-child.ts";
import { allEnded, freePort, placesOf, startRankPrograms, type Variables } from "./rank-processes.ts";

/** How a rank ended, and what its last line says. */
export interface RankEnd {
  status: number | null;
  last: { name?: string; message?: string } & Record<string, unknown>;
}

/** Variables of ranks that do `plans`. */
export function withPlans(places: readonly Variables[], plans: readonly RankPlan[]): Variables[] {
  return places.map((place, rank) => ({ ...place, PLAN: JSON.stringify(plans[rank]) }));
}

/** Starts a rank of this host for each plan. */
export async function startPlans(plans: readonly RankPlan[]): Promise<Running[]> {
  return startRankPrograms("rank-child.ts", withPlans(placesOf(plans.length, await freePort()), plans));
}

/** How all ended. */
export async function endsOf(ranks: readonly Running[]): Promise<RankEnd[]> {
  const ends = await allEnded(ranks);
  return ends.map(({ status, stdout, stderr }) => {
    const line = stdout.trim().split("\n").at(-1) ?? "";
    assert.match(line, /^["{[]/, `no result; status ${status}, ${stderr}`);
    return { status, last: JSON.parse(line) };
  });
}

/** Checks that each of `ranks` ends with the status of a lost rank and a message of this form. */
export async function assertLost(ranks: readonly Running[], message: RegExp): Promise<void> {
  for (const { status, last } of await endsOf(ranks)) {
    assert.equal(last.name, "LostRankError", JSON.stringify(last));
    assert.match(String(last.message), message);
    assert.equal(status, 8);
  }
}
