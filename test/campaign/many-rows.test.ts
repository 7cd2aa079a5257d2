/** A version of very many rows: indexed once, a page and a finding read the bytes that they show and no others. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { clean } from "../../src/workbench/clean/clean.ts";
import { parseCleanRecipe } from "../../src/workbench/clean/clean-recipe.ts";
import { openVersion, VersionDraft, versionPaths } from "../../src/workbench/versions.ts";
import { amount, isNightly } from "../support/campaign.ts";
import { scratch } from "../support/scratch.ts";

/** Rows, of some two kilobytes each in the nightly run: 2 GB. */
const count = amount(20_000, 1_000_000);
const filler = "so it goes on and on ".repeat(amount(4, 45));
/** One row in so many has the same answer twice. */
const every = 1000;

/** Milliseconds of processor time: what else the machine does is not counted. */
const computedSince = (began: NodeJS.CpuUsage): number => {
  const { user, system } = process.cpuUsage(began);
  return (user + system) / 1000;
};

/** Megabytes for each second of processor time. */
const rateSince = (bytes: number, began: NodeJS.CpuUsage): number => bytes / 1000 / computedSince(began);

test("rows are indexed once; a page and a finding read their own bytes; a filter goes through them one by one", async (t) => {
  const dir = mkdtempSync(join(scratch(), "preftune-many-"));
  try {
    using draft = new VersionDraft(dir);
    for (let i = 0; i < count; i++) {
      const chosen = `Answer ${i}: ${filler}.`;
      const rejected = i % every === 7 ? chosen : `Other ${i}: ${filler}.`;
      draft.keep({ prompt: `Question ${i}?`, chosen, rejected });
    }
    const { digest } = await draft.save({ by: "export", sources: {}, rules: {}, counts: {} });
    const path = versionPaths(dir, digest).rows;
    const bytes = statSync(path).size;
    const indexing = process.cpuUsage();
    await openVersion(dir, digest);
    const rate = rateSince(bytes, indexing);
    t.diagnostic(`${count} rows, ${(bytes / 1e6).toFixed(0)} MB: indexed at ${rate.toFixed(0)} MB/s`);
    if (isNightly) assert.ok(rate >= 50, `${rate} MB a second of processor time`);

    // again: by the index alone
    const index = join(dir, "index", `${digest}-rows.idx`);
    const made = statSync(index).mtimeMs;
    let began = process.cpuUsage();
    const { kept } = await openVersion(dir, digest);
    assert.equal(statSync(index).mtimeMs, made);
    assert.deepEqual([kept.rows, kept.digest], [count, digest]);
    const last = kept.page(null, count - 50, 50);
    const opened = computedSince(began);
    t.diagnostic(`opened with its last page in ${opened.toFixed(0)} ms of processor time`);
    assert.ok(opened < 1000, `${opened} ms of processor time until the first page`);
    assert.ok(JSON.stringify(last.at(-1)).includes(`Question ${count - 1}?`));
    const most = (50 * bytes) / count;
    assert.ok(kept.bytesRead <= 1.1 * most, `${kept.bytesRead} bytes for a page, expected some ${most}`);
    began = process.cpuUsage();
    assert.deepEqual(kept.counts(), [{ code: "identical_pair", rows: count / every }]);
    const before = kept.bytesRead;
    const found = kept.page("identical_pair", 0, 50);
    const filtered = computedSince(began);
    t.diagnostic(`a finding counted and shown in ${filtered.toFixed(1)} ms of processor time`);
    assert.ok(filtered < 1000, `${filtered} ms of processor time for a finding`);
    assert.deepEqual(
      found.slice(0, 3).map(({ line }) => line),
      [8, every + 8, 2 * every + 8],
    );
    assert.ok(kept.bytesRead - before <= 1.1 * most);

    // a filter holds no rows: in the nightly run 2 GB pass through a heap that is a fraction of it
    const cleaning = process.cpuUsage();
    const recipe = `data: ${path}\nworkbench: ${dir}\nfilters: [identical_pair, length_gap]\n`;
    const result = await clean(parseCleanRecipe(recipe, "r.yaml"), null);
    t.diagnostic(`cleaned at ${rateSince(bytes, cleaning).toFixed(0)} MB/s`);
    assert.deepEqual([result.kept, result.filters[0]?.taken], [count - count / every, count / every]);
    const taken = await openVersion(dir, result.digest);
    assert.deepEqual(taken.removed?.counts(), [{ code: "identical_pair", rows: count / every }]);
    if (isNightly)
      assert.ok(process.memoryUsage().rss < 1.5e9, `${process.memoryUsage().rss} bytes of memory`);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});
