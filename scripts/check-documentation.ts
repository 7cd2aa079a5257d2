/**
 * Fails when a method lacks its source or its documentation (`src/methods/NAME/loss.ts` says `Paper:`, and
 * `docs/objectives.md` has a heading for it), or when a link or a path in a document leads nowhere.
 */
import { existsSync, globSync, readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { brokenLinks, documentsOf } from "./markdown-links.ts";

const root = join(import.meta.dirname, "..");

/** Methods without a `Paper:` line or a heading. */
function undocumentedMethods(): string[] {
  const manual = join(root, "docs", "objectives.md");
  const headings = existsSync(manual) ? readFileSync(manual, "utf8").toLowerCase() : "";
  return globSync("src/methods/*/loss.ts", { cwd: root }).flatMap((path) => {
    const method = basename(dirname(path));
    const found: string[] = [];
    if (!readFileSync(join(root, path), "utf8").includes("Paper:")) found.push(`${path}: no "Paper:" line`);
    if (!new RegExp(`^#+ .*\\b${method}\\b`, "m").test(headings))
      found.push(`docs/objectives.md: no heading for ${method}`);
    return found;
  });
}

const complaints = [
  ...undocumentedMethods(),
  ...documentsOf(root).flatMap((page) => brokenLinks(root, page)),
];
for (const complaint of complaints) process.stdout.write(`${complaint}\n`);
process.exitCode = complaints.length === 0 ? 0 : 1;
