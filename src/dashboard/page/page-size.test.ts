/** The page stays small: scripts, styles and document together. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { bundlePage } from "../../../scripts/bundle-page.ts";
import { REPORT_STYLE } from "../../report/style-sheet.ts";

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
  const texts = [html, style, REPORT_STYLE, ...[...names].map((name) => scripts[name] ?? "")];
  return texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0);
}

test("what is loaded at the start has fewer than 160 KB, the whole page fewer than 190", () => {
  const first = loadedWith("page.js");
  assert.ok(bytesOf(first) > 100_000, "it is there");
  assert.ok(bytesOf(first) < 160_000, `${bytesOf(first)} bytes at the start`);
  const whole = bytesOf(Object.keys(scripts));
  assert.ok(whole < 190_000, `${whole} bytes as a whole`);
  // a screen of the workbench comes on top of it, and no screen brings the others along
  for (const name of ["arena", "data", "judge", "label", "people", "version"]) {
    const screen = Object.keys(scripts).find((script) => script.startsWith(`${name}-screen-`));
    assert.ok(screen !== undefined && !first.has(screen), `${name} is loaded on demand`);
    const withScreen = bytesOf(loadedWith(screen, new Set(first)));
    assert.ok(withScreen < 163_840, `${withScreen} bytes with ${name}`);
  }
  for (const name of Object.values(needs).flat()) assert.ok(name in scripts, name);
});
