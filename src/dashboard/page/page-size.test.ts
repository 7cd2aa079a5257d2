/** The page stays small: script, style and document together. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { bundlePage } from "../../../scripts/bundle-page.ts";
import { REPORT_STYLE } from "../../report/style-sheet.ts";

test("the whole page has fewer than 184 KiB", async () => {
  const { script, style } = await bundlePage();
  assert.ok(script.length > 20_000, "it is there");
  const bytes = [script, style, REPORT_STYLE].reduce((sum, text) => sum + Buffer.byteLength(text), 0);
  assert.ok(bytes < 184 * 1024, `${bytes} bytes`);
});
