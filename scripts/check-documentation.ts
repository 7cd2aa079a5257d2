/**
 * Fails when a method lacks its source or its documentation (`src/methods/NAME/loss.ts` says `Paper:`, and
 * `docs/objectives.md` has a heading for it), when a link or a path in a document leads nowhere, or when a document or the
 * source of a folder uses a word of `word-list.ts`.
 */
import { existsSync, globSync, readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { brokenLinks, documentsOf } from "./markdown-links.ts";
import { proseOf, refusedWords } from "./word-list.ts";

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

/**
 * Folders whose names, comments and messages keep to the word list, without the tests beside sources; the others follow
 * one by one.
 */
const cleanFolders = [
  "bin",
  "examples",
  "scripts",
  "native",
  "src/base",
  "src/cli",
  "src/config",
  "src/dashboard",
  "src/data",
  "src/evaluate",
  "src/formats",
  "src/forward",
  "src/generate",
  "src/hub",
  "src/methods",
  "src/models",
  "src/nn",
  "src/optim",
  "src/planner",
  "src/process",
  "src/quickstart",
  "src/recipes",
  "src/report",
  "src/runs",
  "src/serve",
  "src/setup",
  "src/stats",
  "src/sweep",
  "src/terminal",
  "src/text",
  "src/toy",
  "src/train",
  "studies",
  "test/cases",
  "test/docs",
  "test/errors",
  "test/gpu",
  "test/invariants",
  "test/package",
  "test/parity",
  "test/online",
  "test/plan",
  "test/serve",
  "test/support",
  "test/sweep",
];

/** Refused words in the documents and in the sources of the clean folders. */
function privateWords(): string[] {
  const sources = cleanFolders.flatMap((folder) => {
    const found = globSync(`${folder}/**/*.{ts,tsx,mjs,yaml,h,cpp}`, { cwd: root });
    if (found.length === 0) throw new Error(`cleanFolders: there is nothing in ${folder}`);
    return found;
  });
  const texts = [
    ...documentsOf(root).map((page) => ({ page, text: proseOf(readFileSync(join(root, page), "utf8")) })),
    ...sources
      .filter((path) => !/^(src|scripts|studies)\/.*\.(test|nightly)\.ts$|\/word-list\.ts$/.test(path))
      .map((page) => ({ page, text: readFileSync(join(root, page), "utf8") })),
  ];
  return texts.flatMap(({ page, text }) =>
    refusedWords(text).map(({ line, word, instead }) => `${page}:${line}: "${word}": write ${instead}`),
  );
}

const complaints = [
  ...undocumentedMethods(),
  ...privateWords(),
  ...documentsOf(root).flatMap((page) => brokenLinks(root, page)),
];
for (const complaint of complaints) process.stdout.write(`${complaint}\n`);
process.exitCode = complaints.length === 0 ? 0 : 1;
