/**
 * Fails when ARCHITECTURE.md and the tree disagree: its tables of folders are those of the disk and of the layer rules,
 * every link and path leads to a file, it has at most 155 lines, and no folder of `src` is larger than its budget.
 *
 * `--write` (`npm run architecture`) makes the tables again, with a row for each new folder whose sentence is then to be
 * written by hand, and repairs links to files that have moved, here and in the other documents.
 */
import { globSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { folderTable, type Layers, layerTable, replaceTable, rowsOf, UNDESCRIBED } from "./folder-table.ts";
import { brokenLinks, documentsOf, repairLinks } from "./markdown-links.ts";

const MOST_LINES = 155;
const root = join(import.meta.dirname, "..");
const path = join(root, "ARCHITECTURE.md");

const { layers, libtorchFree } = (await import(
  pathToFileURL(join(root, ".dependency-cruiser.mjs")).href
)) as { layers: Layers; libtorchFree: string[] };

const ignored = new Set([".git"]);
for (const line of readFileSync(join(root, ".gitignore"), "utf8").split("\n")) {
  const folder = /^\/([^/*]+)\/$/.exec(line)?.[1];
  if (folder !== undefined) ignored.add(folder);
}

/** Folders in `folder` ("" is the root), by their path from the root. */
function foldersIn(folder: string): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && entry.name !== "node_modules" && entry.name !== "__pycache__")
    .map((entry) => join(folder, entry.name))
    .filter((path) => !ignored.has(path))
    .sort();
}

/** Lines of source in a folder of `src`, tests and generated files left out. */
function linesIn(folder: string): number {
  return globSync(`src/${folder}/**/*.{ts,tsx}`, { cwd: root })
    .filter((file) => !/\.(test|nightly)\.ts$|\/generated\//.test(file))
    .reduce((sum, file) => sum + readFileSync(join(root, file), "utf8").split("\n").length - 1, 0);
}

const lines = new Map(foldersIn("src").map((folder) => [folder.slice(4), linesIn(folder.slice(4))]));
const others = foldersIn("")
  .filter((folder) => folder !== "src")
  .flatMap((folder) => [folder, ...(/^(docs|scripts|test)$/.test(folder) ? foldersIn(folder) : [])]);

/** The document with its tables as the tree has them. */
function withTables(markdown: string): string {
  const known = rowsOf(markdown);
  const layered = replaceTable(markdown, "layers", layerTable(layers, libtorchFree, lines, known));
  return replaceTable(layered, "folders", folderTable(others, known));
}

if (process.argv.includes("--write")) {
  const files = globSync("{src,native,test,scripts,examples,bin,studies,toy}/**/*.*", { cwd: root });
  for (const page of documentsOf(root)) {
    const markdown = readFileSync(join(root, page), "utf8");
    const repaired = repairLinks(page, markdown, files);
    if (repaired !== markdown) writeFileSync(join(root, page), repaired);
  }
  writeFileSync(path, withTables(readFileSync(path, "utf8")));
}

const markdown = readFileSync(path, "utf8");
const length = markdown.split("\n").length - 1;
const complaints = brokenLinks(root, "ARCHITECTURE.md");
if (withTables(markdown) !== markdown)
  complaints.push(
    "its tables are not those of the tree and of .dependency-cruiser.mjs: npm run architecture",
  );
if (length > MOST_LINES) complaints.push(`expected at most ${MOST_LINES} lines, got ${length}`);
for (const [folder, { holds, budget }] of rowsOf(markdown)) {
  const size = lines.get(folder.replace(/^src\//, "")) ?? 0;
  if (holds === UNDESCRIBED)
    complaints.push(`${folder}: say in its row what it holds, with links to its doors`);
  if (budget !== undefined && size > budget)
    complaints.push(
      `${folder}: ${size} lines of source, at most ${budget}: delete some, or raise the number and say why`,
    );
}
for (const complaint of complaints) process.stdout.write(`ARCHITECTURE.md: ${complaint}\n`);
process.exitCode = complaints.length === 0 ? 0 : 1;
