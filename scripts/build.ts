/** `npm run build`: compiles `src` into `dist`, the form that is published, and tries that the result loads. */
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, globSync, rmSync } from "node:fs";
import { join } from "node:path";
import { writePage } from "./bundle-page.ts";

const root = join(import.meta.dirname, "..");
const dist = join(root, "dist");

function node(...args: string[]): boolean {
  return spawnSync(process.execPath, args, { cwd: root, stdio: "inherit" }).status === 0;
}

/** Files beside the sources that are read at run time: tables, operator lists. */
function copyTables(): void {
  for (const file of globSync("src/**/*.{txt,json,css,html}", { cwd: root, exclude: ["**/tsconfig.json"] })) {
    cpSync(join(root, file), join(dist, file.slice("src/".length)));
  }
}

async function main(): Promise<boolean> {
  rmSync(dist, { recursive: true, force: true });
  if (!node(join("node_modules", "typescript", "bin", "tsc"), "-p", "tsconfig.build.json")) return false;
  copyTables();
  await writePage(join(dist, "dashboard", "page"));
  const doctor = join(dist, "setup", "doctor-text.js");
  if (!existsSync(doctor)) {
    process.stderr.write(`expected ${doctor} after compiling, found none\n`);
    return false;
  }
  if (!node("--input-type=module", "-e", `await import(${JSON.stringify(doctor)})`)) return false;
  process.stdout.write(`built ${globSync("**/*.js", { cwd: dist }).length} files into ${dist}\n`);
  return true;
}

process.exitCode = (await main()) ? 0 : 1;
