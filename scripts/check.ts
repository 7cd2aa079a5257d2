/** `npm run check`: every static check at once, a line per tool, and in full what a failing one says. */
import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";

const root = join(import.meta.dirname, "..");
const tool = (path: string) => join(root, "node_modules", path);

/** Name -> script run by this Node, and its arguments. */
const checks: Record<string, string[]> = {
  "format and lint": [
    tool("@biomejs/biome/bin/biome"),
    "ci",
    "--colors=off",
    "--error-on-warnings",
    "--max-diagnostics=50",
    ".",
  ],
  types: [tool("typescript/bin/tsc"), "-p", "."],
  "types of the page": [tool("typescript/bin/tsc"), "-p", "src/dashboard/page"],
  "types of plain JavaScript": [tool("typescript/bin/tsc"), "-p", "tsconfig.scripts.json"],
  layering: [join(root, "scripts", "check-layers.ts")],
  "dead code": [tool("knip/bin/knip.js"), "--no-progress"],
  duplication: [tool("jscpd/run-jscpd.js"), "--config", ".jscpd.json", "src", "studies"],
  architecture: [join(root, "scripts", "check-architecture.ts")],
  documentation: [join(root, "scripts", "check-documentation.ts")],
};

interface Result {
  name: string;
  passed: boolean;
  output: string;
}

function runCheck(name: string, args: string[]): Promise<Result> {
  const begin = Date.now();
  const env = { ...process.env, NO_COLOR: "1", FORCE_COLOR: "0" };
  const child: ChildProcess = spawn(process.execPath, args, {
    cwd: root,
    env,
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  const listen = (chunk: Buffer) => {
    output += chunk.toString("utf8");
  };
  child.stdout?.on("data", listen);
  child.stderr?.on("data", listen);
  return new Promise((resolve) => {
    child.on("close", (code) => {
      const seconds = `${((Date.now() - begin) / 1000).toFixed(1)} s`.padStart(7);
      process.stdout.write(`${code === 0 ? "ok    " : "FAILED"} ${seconds}  ${name}\n`);
      resolve({ name, passed: code === 0, output });
    });
  });
}

const results = await Promise.all(Object.entries(checks).map(([name, args]) => runCheck(name, args)));
const failed = results.filter((result) => !result.passed);
for (const { name, output } of failed) process.stdout.write(`\n--- ${name} ---\n${output.trimEnd()}\n`);
process.stdout.write(
  failed.length === 0
    ? "\nAll checks are clean.\n"
    : `\n${failed.length} of ${results.length} checks failed.\n`,
);
process.exitCode = failed.length === 0 ? 0 : 1;
