/** Kept references of several ranks: all read them, or all make them. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { scratch } from "../../test/support/scratch.ts";
import type { RankGroup } from "../distributed/rank-group.ts";
import { throughCache } from "./reference.ts";

const dir = mkdtempSync(join(scratch(), "preftune-reference-"));
after(() => rmSync(dir, { recursive: true, force: true }));

/** What a rank gets from its own directory; `others`: whether the other ranks have a file. */
function rankOf(rank: number, others: readonly boolean[]) {
  const gather = (own: unknown) => [own, ...others];
  const group = { rank, size: 1 + others.length, gather } as unknown as RankGroup;
  let made = 0;
  const values = throughCache(
    { cache: { dir: join(dir, "host-a"), key: ["k"] }, group },
    {
      read: ({ n }) => (typeof n === "number" ? n : null),
      make: () => {
        made++;
        return 7;
      },
      write: (n) => ({ n }),
    },
  );
  return { values, made };
}

test("a rank with the file makes the values again where another has none: they make them together", () => {
  assert.deepEqual(rankOf(0, [false]), { values: 7, made: 1 });
  assert.deepEqual(rankOf(0, [true]), { values: 7, made: 0 });
  assert.deepEqual(rankOf(0, [true, false]), { values: 7, made: 1 });
});
