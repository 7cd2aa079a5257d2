import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { pathToFileURL } from "node:url";
import { startProgram } from "../test/support/command.ts";

interface Bootstrap {
  ensurePackages(directory: string): void;
  sameVersions(wanted: object, installed: object): boolean;
  packagesProblem(directory: string): string | null;
}

const root = join(import.meta.dirname, "..");
const bootstrapUrl = pathToFileURL(join(root, "bin", "bootstrap.mjs")).href;
const bootstrap = (await import(bootstrapUrl)) as Bootstrap;
const becomeNodeUrl = pathToFileURL(join(root, "bin", "become-node.mjs")).href;

function folderWith(t: TestContext, files: Record<string, string>): string {
  const folder = mkdtempSync(join(tmpdir(), "preftune-bootstrap-"));
  t.after(() => rmSync(folder, { recursive: true }));
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(join(folder, name, ".."), { recursive: true });
    writeFileSync(join(folder, name), text);
  }
  return folder;
}

const lock = (version: string) => JSON.stringify({ packages: { "node_modules/a": { version } } });

test("only packages for other platforms may be absent", () => {
  const wanted = {
    "": { version: "1.0.0" },
    tools: { version: "0.0.0" },
    "node_modules/a": { version: "1.2.3" },
    "node_modules/b-darwin": { version: "1.0.0", optional: true },
  };
  assert.equal(bootstrap.sameVersions(wanted, { "node_modules/a": { version: "1.2.3" } }), true);
  assert.equal(bootstrap.sameVersions(wanted, { "node_modules/a": { version: "1.2.4" } }), false);
  assert.equal(bootstrap.sameVersions(wanted, {}), false);
});

test("node_modules: missing, unfinished, out of date, in place", (t) => {
  const folder = folderWith(t, { "package-lock.json": lock("1.0.0") });
  assert.equal(bootstrap.packagesProblem(folder), "node_modules is missing");
  mkdirSync(join(folder, "node_modules"));
  assert.equal(bootstrap.packagesProblem(folder), "an earlier installation did not finish");
  writeFileSync(join(folder, "node_modules", ".package-lock.json"), lock("1.0.0"));
  assert.equal(bootstrap.packagesProblem(folder), null);
  assert.match(readFileSync(join(folder, "node_modules", ".preftune-stamp"), "utf8"), /^[0-9a-f]{64}$/);
  writeFileSync(join(folder, "package-lock.json"), lock("1.0.1"));
  assert.match(bootstrap.packagesProblem(folder) ?? "", /package-lock\.json has changed/);
});

/** An npm that says how it was called, and what `more` prints. */
const npm = (more = "") => `
  const { mkdirSync, statSync, utimesSync, writeFileSync } = require("node:fs");
  mkdirSync("node_modules", { recursive: true });
  writeFileSync("node_modules/.package-lock.json", ${JSON.stringify(lock("1.0.0"))});
  writeFileSync("called.json", JSON.stringify(process.argv.slice(2)));
  ${more}`;

/** Installs the packages of a folder with `npm` in a process of its own. */
function installing(folder: string) {
  const program = `const { ensurePackages } = await import(${JSON.stringify(bootstrapUrl)});
    ensurePackages(${JSON.stringify(folder)});`;
  const env = { npm_execpath: join(folder, "npm-cli.js") };
  return startProgram(["--input-type=module", "-e", program], env);
}

test("packages of development and optional ones are asked for, whatever the environment leaves out", async (t) => {
  const folder = folderWith(t, { "package-lock.json": lock("1.0.0"), "npm-cli.js": npm() });
  assert.equal((await installing(folder).ended).status, 0);
  const called: string[] = JSON.parse(readFileSync(join(folder, "called.json"), "utf8"));
  for (const word of ["ci", "--include=dev", "--include=optional"]) assert.ok(called.includes(word), word);
});

test("an installation without the Node 24 that the lock has is made again by a Node that is too old", (t) => {
  const name = `node_modules/node-${process.platform}-${process.arch}`;
  const packages = { "node_modules/a": { version: "1.0.0" }, [name]: { version: "24.0.0", optional: true } };
  const folder = folderWith(t, {
    "package-lock.json": JSON.stringify({ packages }),
    "node_modules/.package-lock.json": lock("1.0.0"),
  });
  assert.equal(bootstrap.packagesProblem(folder), null);
  const { versions } = process;
  t.after(() => Object.defineProperty(process, "versions", { value: versions }));
  Object.defineProperty(process, "versions", { value: { ...versions, node: "22.1.0" }, configurable: true });
  assert.equal(bootstrap.packagesProblem(folder), "Node 24 is not among those installed");
  mkdirSync(join(folder, name, "bin"), { recursive: true });
  writeFileSync(join(folder, name, "bin", "node"), "");
  assert.equal(bootstrap.packagesProblem(folder), null);
});

test("a lock of another PID namespace is waited for as long as it is touched, which its owner does while npm runs", async (t) => {
  const touched = `
    const lock = ".preftune/install.lock";
    utimesSync(lock, 0, 0);
    while (statSync(lock).mtimeMs === 0) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50);`;
  const owner = { host: hostname(), pid: 999_999_999, started: "1", namespace: "pid:[1]" };
  const folder = folderWith(t, {
    "package-lock.json": lock("1.0.0"),
    "npm-cli.js": npm(touched),
    ".preftune/install.lock": JSON.stringify(owner),
  });
  const running = installing(folder);
  await running.said("waiting for process 999999999");
  assert.ok(!existsSync(join(folder, "called.json")));
  utimesSync(join(folder, ".preftune", "install.lock"), 0, 0);
  assert.equal((await running.ended).status, 0);
  assert.ok(
    existsSync(join(folder, "called.json")) && !existsSync(join(folder, ".preftune", "install.lock")),
  );
});

test("an unknown task names the tasks there are", () => {
  const result = spawnSync(process.execPath, [join(root, "scripts", "with-setup.mjs"), "tset"], {
    encoding: "utf8",
  });
  assert.equal(result.status, 1);
  assert.match(result.stderr, /^preftune: expected one of setup, .*test, .*; got "tset"\n$/);
});

/** Starts `script` through `becomeNode`, as a child where `replace` is false, and waits for its first output. */
async function launch(t: TestContext, script: string, replace: boolean) {
  const folder = folderWith(t, { "child.mjs": script });
  const start = `${replace ? "" : "process.execve = undefined;"}
    const { becomeNode } = await import(${JSON.stringify(becomeNodeUrl)});
    becomeNode(process.execPath, [${JSON.stringify(join(folder, "child.mjs"))}]);`;
  const running = startProgram(["--input-type=module", "-e", start]);
  await running.saw("up");
  return running;
}

const obedient =
  "process.on('SIGTERM', () => process.exit(7)); setInterval(() => {}, 1000); console.log('up');";
const stubborn = "process.on('SIGTERM', () => {}); setInterval(() => {}, 1000); console.log('up');";

for (const replace of [true, false]) {
  const how = replace ? "replacing the process" : "starting a child";
  test(`${how}: a signal reaches the program, and its status comes back`, async (t) => {
    const { child, ended } = await launch(t, obedient, replace);
    child.kill("SIGTERM");
    assert.equal((await ended).status, 7);
  });
}

test("starting a child: a program that ignores signals is ended when they do not stop", async (t) => {
  const { child, ended } = await launch(t, stubborn, false);
  // what comes within a second is one signal: the first of a later second is the second
  const again = setInterval(() => child.kill("SIGTERM"), 300);
  const { status } = await ended;
  clearInterval(again);
  assert.equal(status, 137);
});

test("a relative import between a checkout's own sources is the file that it names, one of a package is left to Node", (t) => {
  const folder = folderWith(t, {
    "bin/own-sources.mjs": readFileSync(join(root, "bin", "own-sources.mjs"), "utf8"),
    "elsewhere.ts": "export const url: string = import.meta.url;",
    "src/main.ts": `import { url } from "./named.ts";
      import { there } from "../node_modules/a/index.js";
      console.log(JSON.stringify([url, there]));`,
    "node_modules/a/index.js": 'export { url as there } from "./named.ts";',
    "node_modules/a/package.json": '{ "type": "module" }',
    "package.json": '{ "type": "module" }',
  });
  symlinkSync(join(folder, "elsewhere.ts"), join(folder, "src", "named.ts"));
  symlinkSync(join(folder, "elsewhere.ts"), join(folder, "node_modules", "a", "named.ts"));
  const hook = pathToFileURL(join(folder, "bin", "own-sources.mjs")).href;
  const main = join(folder, "src", "main.ts");
  const { stdout, stderr } = spawnSync(process.execPath, [`--import=${hook}`, main], { encoding: "utf8" });
  const at = (...names: string[]) => pathToFileURL(join(realpathSync(folder), ...names)).href;
  assert.deepEqual(JSON.parse(stdout || stderr), [at("src", "named.ts"), at("elsewhere.ts")]);
});

test("an installed command under an older Node says which one is needed, status 2", (t) => {
  const folder = folderWith(t, { "package.json": "{}" });
  cpSync(join(root, "bin"), join(folder, "bin"), { recursive: true });
  const older = `Object.defineProperty(process, "versions", { value: { ...process.versions, node: "22.1.0" } })`;
  const args = [
    "--import",
    `data:text/javascript,${older}`,
    join(folder, "bin", "preftune.mjs"),
    "train",
    "x",
  ];
  const { status, stderr } = spawnSync(process.execPath, args, { encoding: "utf8" });
  assert.match(stderr, /^preftune: expected Node 24 or newer, got 22\.1\.0: .*Install Node 24/);
  assert.equal(status, 2);
});

test("`preftune` in hints is the word alone only where it starts this script", (t) => {
  const folder = folderWith(t, { "other/preftune": "", "own/other": "" });
  const linked = join(folder, "own", "preftune");
  symlinkSync(join(root, "bin", "preftune.mjs"), linked);
  const calledAs = (path: string, cwd = folder): string => {
    const start = `process.argv[1] = ${JSON.stringify(linked)};
      const { becomeNode } = await import(${JSON.stringify(becomeNodeUrl)});
      becomeNode(process.execPath, ["-e", "console.log(process.env.PREFTUNE_CALLED_AS)"]);`;
    const { npm_command: _, PREFTUNE_CALLED_AS: __, ...rest } = process.env;
    const env = { ...rest, PATH: path };
    return spawnSync(process.execPath, ["--input-type=module", "-e", start], {
      cwd,
      env,
      encoding: "utf8",
    }).stdout.trim();
  };
  assert.equal(calledAs(join(folder, "own")), "preftune");
  assert.equal(calledAs("/nowhere"), "own/preftune");
  assert.equal(calledAs(`${folder}/other:${folder}/own`), "own/preftune");
  assert.equal(calledAs("/nowhere", join(folder, "own")), "./preftune");
});

test("what does not compute starts without torch and addon: an unknown command, a report", (t) => {
  const folder = folderWith(t, {});
  for (const [words, expected] of [
    [["trian", "run.yaml"], /unknown command 'trian'/],
    [["report", folder], /run/],
    [["labels", "agreement", folder], /workbench|labels/],
  ] as const) {
    const { PREFTUNE_ADDON: _, ...rest } = process.env;
    // set-up would end with a message about it
    const env = { ...rest, PREFTUNE_TORCH: "/nowhere" };
    const args = [join(root, "bin", "preftune.mjs"), ...words];
    const { status, stderr } = spawnSync(process.execPath, args, { env, encoding: "utf8" });
    assert.doesNotMatch(stderr, /PREFTUNE_TORCH/);
    assert.match(stderr, expected);
    assert.notEqual(status, 0);
  }
});
