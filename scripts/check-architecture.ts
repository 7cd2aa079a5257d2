/**
 * Fails when ARCHITECTURE.md and the disk disagree: every file has its line there, and every line its file.
 * `--write` (`npm run architecture`) mends the tree; a new file's line is then the first sentence of its header.
 */
import { existsSync, globSync, readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { compareArchitecture, openingSentence, writeTree } from "./architecture-list.ts";

const root = join(import.meta.dirname, "..");
const folders = [
  "native",
  "src",
  "scripts",
  "bin",
  "test",
  "recipes",
  "examples",
  "docs",
  "toolchain",
  ".ci",
];

function describe(file: string): string {
  const sentence = openingSentence(readFileSync(join(root, file), "utf8"));
  const source = file.replace(/\.test\.ts$/, ".ts");
  return sentence === "" && source !== file && existsSync(join(root, source))
    ? `Tests of ${basename(source)}`
    : sentence;
}

/** Files of a folder before those of the folders in it. */
function treeOrder(a: string, b: string): number {
  const [left, right] = [a.split("/"), b.split("/")];
  let depth = 0;
  while (depth < left.length - 1 && left[depth] === right[depth]) depth += 1;
  const leftIsFile = depth === left.length - 1;
  const rightIsFile = depth === right.length - 1;
  if (leftIsFile !== rightIsFile) return leftIsFile ? -1 : 1;
  return (left[depth] ?? "") < (right[depth] ?? "") ? -1 : 1;
}

const files = globSync(`{${folders.join(",")}}/**/*`, { cwd: root, withFileTypes: true })
  .filter((entry) => entry.isFile() && !/node_modules|__pycache__/.test(entry.parentPath))
  .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1))
  // a fixture is a folder of data; test/fixtures/README.md says what is in each
  .filter((file) => !/^test\/fixtures\/.*\//.test(file))
  .sort(treeOrder);
const path = join(root, "ARCHITECTURE.md");
const markdown = existsSync(path) ? readFileSync(path, "utf8") : "";

if (process.argv.includes("--write")) {
  writeFileSync(path, writeTree(markdown, files, describe));
}
const { unlisted, absent, repeated, undescribed } = compareArchitecture(
  existsSync(path) ? readFileSync(path, "utf8") : "",
  files,
);
const complaints = [
  ...unlisted.map((file) => `${file}: add a line for it (npm run architecture)`),
  ...absent.map((file) => `${file}: listed, but there is no such file`),
  ...repeated.map((file) => `${file}: listed twice`),
  ...undescribed.map((file) => `${file}: say in a few words what it is`),
];
for (const complaint of complaints) process.stdout.write(`ARCHITECTURE.md: ${complaint}\n`);
process.exitCode = complaints.length === 0 ? 0 : 1;
