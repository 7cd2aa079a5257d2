/** The page stays small: scripts, styles and document together. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { bundlePage } from "../../../scripts/bundle-page.ts";
import { trimmed } from "../../../scripts/trim-uplot.ts";

const { scripts, needs, style } = await bundlePage();
const html = readFileSync(join(import.meta.dirname, "index.html"), "utf8");

/** What is loaded with a script, itself too. */
function loadedWith(name: string, loaded: Set<string> = new Set()): Set<string> {
  if (loaded.has(name)) return loaded;
  loaded.add(name);
  for (const other of needs[name] ?? []) loadedWith(other, loaded);
  return loaded;
}

/** Bytes of some scripts, with all that is no script. */
function bytesOf(names: Iterable<string>): number {
  const texts = [html, style, ...[...names].map((name) => scripts[name] ?? "")];
  return texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0);
}

test("nothing that the page keeps of uPlot asks for what was left out; a part that is not found stops the build", () => {
  // names of the file itself are made short; those that nothing declares any more are not
  const left =
    /\b(?:isTime|showLegend|xScaleDistr|timeIncrs\w+|days3?|months3?|engNames|subs|localTz|hmm\w*|NL\w*|_tzDate|_fmtDate|_time\w+|initLegendRow|syncLegend|dragY|deferHooks|hooksQueue|flushHooks|toggleDOM|setFocus|setAlpha)\b/;
  for (const text of Object.values(scripts))
    assert.equal(left.exec(text.replaceAll(/"[^"]*"|`[^`]*`/g, '""')), null);
  assert.throws(() => trimmed("const nothing = 0;"), /uPlot has nothing any more that .* describes/);
});

test("the whole page has fewer than 160 KB, what is loaded at the start fewer than 130", (t) => {
  const first = loadedWith("page.js");
  const whole = bytesOf(Object.keys(scripts));
  t.diagnostic(`${bytesOf(first)} bytes at the start, ${whole} as a whole`);
  assert.ok(bytesOf(first) > 100_000, "it is there");
  assert.ok(bytesOf(first) < 130_000, `${bytesOf(first)} bytes at the start`);
  assert.ok(whole < 160_000, `${whole} bytes as a whole`);
  // a screen of the workbench comes on top of it, and no screen brings the others along
  for (const name of ["arena", "data", "judge", "label", "people", "rounds", "version"]) {
    const screen = Object.keys(scripts).find((script) => script.startsWith(`${name}-screen-`));
    assert.ok(screen !== undefined && !first.has(screen), `${name} is loaded on demand`);
  }
  for (const name of Object.values(needs).flat()) assert.ok(name in scripts, name);
});
