/** The lock under which npm packages are installed: whoever was to hold it, no command waits for nobody. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { pathToFileURL } from "node:url";

const bootstrapUrl = pathToFileURL(join(import.meta.dirname, "..", "bin", "bootstrap.mjs")).href;

/** A checkout whose packages are missing, and an npm that installs them by a word. */
function checkout(t: TestContext, lock?: string): { folder: string; lockPath: string } {
  const folder = mkdtempSync(join(tmpdir(), "preftune-install-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  writeFileSync(join(folder, "package-lock.json"), JSON.stringify({ packages: {} }));
  writeFileSync(join(folder, "npm-cli.js"), 'require("node:fs").mkdirSync("node_modules");');
  const lockPath = join(folder, ".preftune", "install.lock");
  if (lock !== undefined) {
    mkdirSync(join(lockPath, ".."));
    writeFileSync(lockPath, lock);
  }
  return { folder, lockPath };
}

/** Installs the packages of `folder` in another process, given up after `seconds`. `shell` goes before it. */
function install(folder: string, { shell = "", seconds = 60 } = {}): { status: number | null; text: string } {
  const program = `
    const { ensurePackages, reportErrors } = await import(${JSON.stringify(bootstrapUrl)});
    reportErrors(() => ensurePackages(${JSON.stringify(folder)}));`;
  const { status, stderr } = spawnSync(
    "/bin/bash",
    ["-c", `${shell} exec "$0" --input-type=module -e "$1"`, process.execPath, program],
    {
      encoding: "utf8",
      env: { ...process.env, npm_execpath: join(folder, "npm-cli.js") },
      timeout: 1000 * seconds,
      killSignal: "SIGKILL",
    },
  );
  return { status, text: stderr };
}

const owner = (changes: object): string =>
  JSON.stringify({ host: hostname(), pid: process.pid, started: null, ...changes });

/** Makes the lock so many seconds older than it is. */
function age(path: string, seconds: number): void {
  const at = Date.now() / 1000 - seconds;
  utimesSync(path, at, at);
}

test("a lock that cannot be written is removed, with a sentence, and the next command installs", (t) => {
  const { folder, lockPath } = checkout(t);
  // no file may be longer than nothing, as on a full disk
  const { status, text } = install(folder, { shell: "trap '' XFSZ; ulimit -f 0;" });
  assert.equal(status, 1);
  assert.match(
    text,
    /^preftune: \S+install\.lock: expected to write it before .* got EFBIG.*\. Free space under \S+, or/,
  );
  assert.ok(!existsSync(lockPath));
  assert.match(install(folder).text, /npm packages installed/);
  assert.deepEqual(readdirSync(join(folder, ".preftune")), []);
});

test("what is there in place of the folder of the lock is named", (t) => {
  const { folder } = checkout(t);
  writeFileSync(join(folder, ".preftune"), "");
  const { status, text } = install(folder);
  assert.equal(status, 1);
  assert.match(text, /^preftune: \S+\.preftune: expected to write it .* got EEXIST/);
});

for (const [what, lock] of [
  ["empty, of a start that was killed", ""],
  ["cut", '{"host":"a","pi'],
  ["of an earlier version", "4194303"],
] as const) {
  test(`a lock that names nobody is taken over once it is ten seconds old: ${what}`, (t) => {
    const { folder, lockPath } = checkout(t, lock);
    age(lockPath, 60);
    assert.match(install(folder).text, /npm packages installed/);
    assert.ok(!existsSync(lockPath));
  });
}

test("a process that got the number of a lock's owner later is not waited for", (t) => {
  const { folder } = checkout(t, owner({ started: "1" }));
  assert.match(install(folder).text, /npm packages installed/);
});

test("a process that runs and holds the lock is waited for, whatever the lock's age", (t) => {
  const stat = readFileSync("/proc/self/stat", "latin1");
  const started = stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
  const { folder, lockPath } = checkout(t, owner({ started }));
  age(lockPath, 4000);
  const { status, text } = install(folder, { seconds: 2 });
  assert.equal(status, null);
  assert.equal(text.split("waiting for process").length, 2, text);
});

test("a lock of another host, whose processes are not seen from here, is good for an hour", (t) => {
  const { folder, lockPath } = checkout(t, owner({ host: "elsewhere", pid: 4194303 }));
  const { status, text } = install(folder, { seconds: 2 });
  assert.equal(status, null);
  assert.match(text, /waiting for process 4194303 on elsewhere, which is installing packages/);
  age(lockPath, 4000);
  assert.match(install(folder).text, /npm packages installed/);
});

test("what an interrupted removal left does not stop the next one", (t) => {
  const { folder, lockPath } = checkout(t, owner({ started: "1" }));
  writeFileSync(`${lockPath}.removing`, "");
  age(`${lockPath}.removing`, 60);
  assert.match(install(folder).text, /npm packages installed/);
});
