/**
 * The first step of every command: npm packages in place, Node 24 found. `become-node.mjs` starts it.
 *
 * Plain JavaScript without dependencies: it runs under Node 20 before `node_modules` exists.
 * Types are JSDoc, checked by `tsc -p tsconfig.scripts.json`. What comes after (torch, addon) is `src/setup`, run by Node 24.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

/** The package's folder: a checkout, or what npm installed. */
export const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** True in a checkout (sources present), false in a published package (only `dist/`). */
export const isCheckout = existsSync(join(root, "src", "cli"));

/** An error whose message is all a user needs. */
export class BootstrapError extends Error {}

/** Tells the user, on standard error. @param {string} line */
export function say(line) {
  process.stderr.write(`preftune: ${line}\n`);
}

/** @param {string} path @returns {any} the parsed file, or null when it is missing or broken */
function readJson(path) {
  try {
    return JSON.parse(readFileSync(path, "utf8"));
  } catch {
    return null;
  }
}

/** @param {string} directory @returns {string} what `npm ci` would install, as one hash */
function lockHash(directory) {
  return createHash("sha256")
    .update(readFileSync(join(directory, "package-lock.json")))
    .digest("hex");
}

/**
 * Whether npm's record of what it installed agrees with the lock file. Packages for other platforms may be absent.
 *
 * @param {Record<string, any>} wanted @param {Record<string, any>} installed
 */
export function sameVersions(wanted, installed) {
  return Object.entries(wanted).every(([path, entry]) => {
    if (!path.includes("node_modules/")) return true;
    const found = installed[path];
    if (found === undefined) return entry.optional === true;
    return entry.link === true || found.version === entry.version;
  });
}

/**
 * Why `npm ci` is needed, or null when `node_modules` is what `package-lock.json` says.
 *
 * @param {string} directory
 * @returns {string | null}
 */
export function packagesProblem(directory) {
  const modules = join(directory, "node_modules");
  if (!existsSync(modules)) return "node_modules is missing";
  const hash = lockHash(directory);
  const stamp = join(modules, ".preftune-stamp");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === hash) return null;
  const wanted = readJson(join(directory, "package-lock.json"))?.packages;
  const installed = readJson(join(modules, ".package-lock.json"))?.packages;
  if (installed == null) return "an earlier installation did not finish";
  if (!sameVersions(wanted, installed)) return "package-lock.json has changed since the last installation";
  writeFileSync(stamp, hash);
  return null;
}

/** @param {number} ms */
function sleep(ms) {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

/** @param {number} pid */
function isRunning(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return /** @type {NodeJS.ErrnoException} */ (error).code === "EPERM";
  }
}

/**
 * Runs `body` while no other process of this checkout installs packages. A lock whose owner is gone is taken over.
 *
 * @param {string} directory @param {() => void} body
 */
function withInstallLock(directory, body) {
  const lock = join(directory, ".preftune", "install.lock");
  mkdirSync(dirname(lock), { recursive: true });
  for (let announced = false; ; announced = true) {
    try {
      writeFileSync(lock, String(process.pid), { flag: "wx" });
      break;
    } catch (error) {
      if (/** @type {NodeJS.ErrnoException} */ (error).code !== "EEXIST") throw error;
    }
    const owner = existsSync(lock) ? Number(readFileSync(lock, "utf8")) : 0;
    if (owner > 0 && !isRunning(owner)) rmSync(lock, { force: true });
    else if (!announced) say(`waiting for process ${owner}, which is installing packages (lock: ${lock})`);
    sleep(300);
  }
  try {
    body();
  } finally {
    rmSync(lock, { force: true });
  }
}

/** npm as a command: the npm that runs this script when there is one, else the one on the path. */
function npmCommand() {
  const cli = process.env["npm_execpath"];
  return cli?.endsWith("npm-cli.js") && existsSync(cli) ? [process.execPath, cli] : ["npm"];
}

/**
 * Makes `node_modules/.bin/node` where npm did not (npm 10 does not for this kind of dependency).
 *
 * @param {string} directory
 */
function linkNode24(directory) {
  const link = join(directory, "node_modules", ".bin", "node");
  const node = findNode24(directory);
  const isPinned = node !== null && node !== process.execPath;
  if (isPinned && process.platform !== "win32" && !existsSync(link))
    symlinkSync(relative(dirname(link), node), link);
}

/**
 * Installs the packages of `package-lock.json` when they are missing or out of date. Under 5 ms when they are in place.
 *
 * @param {string} directory
 * @throws {BootstrapError} when npm is missing or fails
 */
export function ensurePackages(directory) {
  if (packagesProblem(directory) === null) return;
  withInstallLock(directory, () => {
    const problem = packagesProblem(directory);
    if (problem === null) return;
    say(`installing npm packages, Node 24 among them (${problem}); this takes some ten seconds ...`);
    const begin = Date.now();
    const [program = "npm", ...first] = npmCommand();
    const args = [
      ...first,
      "ci",
      "--ignore-scripts",
      "--engine-strict=false",
      "--no-audit",
      "--no-fund",
      "--loglevel=error",
    ];
    const result = spawnSync(program, args, { cwd: directory, stdio: ["ignore", 2, 2] });
    if (result.error)
      throw new BootstrapError(`npm could not be started: ${result.error.message}. Install npm 10 or newer.`);
    if (result.status !== 0) {
      throw new BootstrapError(
        `"npm ci" ended with status ${result.status}. Fix what it says above, then run the command again.`,
      );
    }
    linkNode24(directory);
    writeFileSync(join(directory, "node_modules", ".preftune-stamp"), lockHash(directory));
    say(`npm packages installed in ${((Date.now() - begin) / 1000).toFixed(0)} s`);
  });
}

/** @param {string} version */
const majorOf = (version) => Number(version.split(".")[0]);

/**
 * The Node 24 to run the sources with: the pinned package, else this process's own Node when it is new enough.
 *
 * @param {string} directory
 * @returns {string | null}
 */
export function findNode24(directory) {
  const names = [`node-${process.platform}-${process.arch}`, `node-bin-${process.platform}-${process.arch}`];
  for (const name of names) {
    const path = join(directory, "node_modules", name, "bin", "node");
    if (existsSync(path)) return path;
  }
  return majorOf(process.versions.node) >= 24 ? process.execPath : null;
}

/** @returns {string} the Node 24 to use @throws {BootstrapError} when there is none for this platform */
export function requireNode24() {
  const node = findNode24(root);
  if (node !== null) return node;
  const where = isCheckout
    ? `no pinned Node 24 exists for ${process.platform} ${process.arch}`
    : "this package runs on Node 24";
  throw new BootstrapError(
    `expected Node 24 or newer, got ${process.versions.node}: ${where}. Install Node 24 and run the command again.`,
  );
}

/**
 * Runs `main`, printing the message of a BootstrapError instead of a stack trace.
 *
 * @param {() => void} main
 */
export function reportErrors(main) {
  try {
    main();
  } catch (error) {
    if (!(error instanceof BootstrapError)) throw error;
    say(error.message);
    process.exit(1);
  }
}
