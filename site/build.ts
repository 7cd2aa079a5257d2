/**
 * `npm run site`: the manual as a site in site/dist, which works from a server's folder and from the disk. Its tools (vitepress, typedoc) are
 * packages of this folder alone; they are installed when they are missing.
 */
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { placeOf, searchEntries, siteContent } from "./pages.ts";

const site = import.meta.dirname;
const root = join(site, "..");

const output = join(site, "dist");

/** Runs a program; a warning counts as a failure. */
function run(program: string, args: readonly string[]): void {
  const { status, stdout, stderr, error } = spawnSync(program, args, {
    cwd: site,
    encoding: "utf8",
    env: { ...process.env, NO_COLOR: "1", FORCE_COLOR: "0" },
  });
  const said = `${stdout ?? ""}${stderr ?? ""}`;
  process.stdout.write(said);
  if (status !== 0) throw new Error(`${program} ${args.join(" ")}: ${error?.message ?? `status ${status}`}`);
  if (/\bwarn(ing)?\b(?!s?:? 0)/i.test(said)) throw new Error("a warning counts as an error here");
}

/** Installs the packages of this folder, exactly as its lock has them. */
function install(): void {
  if (existsSync(join(site, "node_modules/vitepress/package.json"))) return;
  run("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund"]);
}

/** Writes the pages, and what they link to, for vitepress. */
function writePages(): void {
  const { pages, files, pictures, dead } = siteContent(root);
  if (dead.length > 0) throw new Error(`dead links:\n${dead.join("\n")}`);
  const folder = join(site, ".pages");
  rmSync(folder, { recursive: true, force: true });
  const write = (path: string, text: string): void => {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  };
  for (const { path, text } of pages) write(path, text);
  const index = JSON.stringify(searchEntries(pages));
  write("public/search-index.js", `globalThis.searchEntries = ${index.replaceAll("\u2028", " ")};\n`);
  cpSync(join(site, "site.js"), join(folder, "public/site.js"));
  for (const picture of pictures) cpSync(join(root, picture), join(folder, placeOf(picture)));
  for (const file of files) {
    mkdirSync(join(folder, "public/files", dirname(file)), { recursive: true });
    cpSync(join(root, file), join(folder, "public/files", `${file}.txt`));
  }
}

install();
writePages();
rmSync(output, { recursive: true, force: true });
run(process.execPath, ["node_modules/vitepress/bin/vitepress.js", "build", "."]);
if (!process.argv.includes("--no-api"))
  run(process.execPath, ["node_modules/typedoc/bin/typedoc", "--options", "typedoc.json"]);
process.stdout.write(`site/dist/index.html\n`);
