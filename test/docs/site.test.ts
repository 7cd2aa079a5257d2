/** The manual as a site: every page and every link has its place. test/campaign/site.test.ts builds it. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { test } from "node:test";
import { anchorsOf } from "../../scripts/markdown-links.ts";
import { contents } from "../../site/.vitepress/contents.ts";
import { placeOf, searchEntries, siteContent } from "../../site/pages.ts";

const root = join(import.meta.dirname, "../..");
const { pages, files, pictures, dead } = siteContent(root);

test("every page of the manual is in the site and its contents, and every link leads to a page, a heading or a file", () => {
  assert.deepEqual(dead, []);
  const listed = contents.flatMap((group) => group.pages.map(([, name]) => `${name}.md`));
  const shown = pages.map(({ path }) => path).filter((path) => !path.startsWith("decisions/"));
  assert.deepEqual(listed.filter((path) => path !== "api/index.md").toSorted(), shown.toSorted());
  assert.ok(files.includes("src/base/errors.ts") && files.every((file) => existsSync(join(root, file))));
  const shownPictures = pages.flatMap(({ path, text }) =>
    [...text.matchAll(/!\[[^\]]*\]\(([^)]*)\)/g)].map(([, to = ""]) => normalize(join(dirname(path), to))),
  );
  assert.ok(shownPictures.length > 0);
  assert.deepEqual(new Set(shownPictures), new Set(pictures.map(placeOf)));
  for (const { path, text } of pages) {
    for (const [whole, to = "", anchor] of text.matchAll(
      /\]\(((?![a-z]+:)[^()\s#]*\.md)?(?:#([^()\s]*))?\)/g,
    )) {
      const target = to === "" ? path : normalize(join(dirname(path), to));
      const page = pages.find((one) => one.path === target);
      assert.ok(page !== undefined, `${path}: ${whole}`);
      if (anchor !== undefined) assert.ok(anchorsOf(page.text).includes(anchor), `${path}: ${whole}`);
    }
  }
});

test("the search has every heading, with the text under it", () => {
  const entries = searchEntries(pages);
  assert.ok(entries.length > 300);
  const found = entries.find(({ url }) => url === "troubleshooting.html#configerror");
  assert.match(found?.text ?? "", /Status 2: a key of the configuration/);
  assert.ok(entries.every(({ text }) => !text.includes("](")));
});
