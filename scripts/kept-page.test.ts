import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { temporaryDirectory } from "../test/support/tiny-models.ts";
import { bundlePage } from "./bundle-page.ts";
import { keptPage } from "./kept-page.ts";

test("a kept page is the bundled one, made again when a file of it is another or what was kept is damaged", async () => {
  using dir = temporaryDirectory();
  const place = join(dir.path, "page.json");
  const { inputs, ...bundle } = await bundlePage();
  for (const path of ["src/dashboard/page/main.tsx", "src/report/style-sheet.ts", "scripts/bundle-page.ts"])
    assert.ok(inputs.includes(path), `${path} among ${inputs}`);
  assert.ok(inputs.some((path) => path.startsWith("node_modules/uplot/")));
  assert.deepEqual(await keptPage(place), bundle);
  const text = readFileSync(place, "utf8");
  const kept = JSON.parse(text) as { madeOf: Record<string, string>; bundle: { style: string } };
  kept.bundle.style = "of the kept one";
  writeFileSync(place, JSON.stringify(kept));
  assert.equal((await keptPage(place)).style, "of the kept one");
  kept.madeOf["src/dashboard/page/main.tsx"] = "another";
  for (const damaged of [JSON.stringify(kept), text.slice(0, 500), "{}"]) {
    writeFileSync(place, damaged);
    assert.deepEqual(await keptPage(place), bundle);
    assert.equal(readFileSync(place, "utf8"), text);
  }
});

test("where nothing can be kept the page is made all the same", async () => {
  using dir = temporaryDirectory();
  writeFileSync(join(dir.path, "file"), "");
  const place = join(dir.path, "file", "page.json");
  assert.ok("page.js" in (await keptPage(place)).scripts);
  assert.equal(existsSync(place), false);
});
