/**
 * Fails when a method lacks its source or its documentation (a file in `src/objectives` that makes an objective says
 * `Paper:`, and `docs/objectives.md` has a heading for it), or when a link or a path in a document leads nowhere.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { brokenLinks, documentsOf } from "./markdown-links.ts";

const root = join(import.meta.dirname, "..");

/** Files of `src/objectives` that are not methods but what methods are made of. */
const parts = new Set(["objective.ts", "token-logps.ts", "index.ts"]);

/** Methods without a `Paper:` line or a heading. */
function undocumentedMethods(): string[] {
  const folder = join(root, "src", "objectives");
  const manual = join(root, "docs", "objectives.md");
  const headings = existsSync(manual) ? readFileSync(manual, "utf8").toLowerCase() : "";
  const methods = readdirSync(folder).filter((name) => !name.endsWith(".test.ts") && !parts.has(name));
  return methods.flatMap((name) => {
    const method = name.replace(/\.ts$/, "");
    const found: string[] = [];
    if (!readFileSync(join(folder, name), "utf8").includes("Paper:"))
      found.push(`src/objectives/${name}: no "Paper:" line`);
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
