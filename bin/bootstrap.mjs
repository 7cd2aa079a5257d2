/**
 * The first step of every command: npm packages in place, Node 24 found. `become-node.mjs` starts it.
 *
 * Plain JavaScript without dependencies: it runs under Node 20 before `node_modules` exists.
 * Types are JSDoc, checked by `tsc -p tsconfig.scripts.json`. What comes after (torch, addon) is `src/setup`, run by Node 24.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { hostname } from "node:os";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";

/** The package's folder: a checkout, or what npm installed. */
export const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** True in a checkout (sources present), false in a published package (only `dist/`). */
export const isCheckout = existsSync(join(root, "src", "cli"));

/** An error whose message is all a user needs, and the status with which the process ends. */
export class BootstrapError extends Error {
  /** @param {string} message @param {number} [exitCode] */
  constructor(message, exitCode = 1) {
    super(message);
    this.exitCode = exitCode;
  }
}

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
  const stamp = join(modules, ".preftune-stamp");
  const lacksNode = findNode24(directory) === null && pinsNode24(directory);
  if (lacksNode) return "Node 24 is not among those installed";
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === lockHash(directory)) return null;
  const wanted = readJson(join(directory, "package-lock.json"))?.packages;
  const installed = readJson(join(modules, ".package-lock.json"))?.packages;
  if (installed == null) return "an earlier installation did not finish";
  if (!sameVersions(wanted, installed)) return "package-lock.json has changed since the last installation";
  writeStamp(directory);
  return null;
}

/** Saves the next start a look at all packages; on a full disk it takes that look. @param {string} directory */
function writeStamp(directory) {
  try {
    writeFileSync(join(directory, "node_modules", ".preftune-stamp"), lockHash(directory));
  } catch {
    // a stamp that is cut short agrees with nothing
  }
}

/** @param {number} ms */
function sleep(ms) {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

/**
 * The fields of a process's `stat` from the third, the state, on; none where the system has no such file.
 *
 * @param {number} pid @returns {string[]}
 */
function statOf(pid) {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  } catch {
    return [];
  }
}

/** When a process started, in clock ticks since boot; null where the system does not tell. @param {number} pid */
const startOf = (pid) => statOf(pid)[19] ?? null;

/** @param {number} pid */
function isRunning(pid) {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if (codeOf(error) !== "EPERM") return false;
  }
  // in a container without an init a killed process may never be reaped
  return !/^[ZX]$/.test(statOf(pid)[0] ?? "");
}

/** @param {unknown} error */
const codeOf = (error) => /** @type {NodeJS.ErrnoException} */ (error).code;

/** The PID namespace of this process's number, where the system tells. */
function ownNamespace() {
  try {
    return readlinkSync("/proc/self/ns/pid");
  } catch {
    return null;
  }
}

/** A lock of another host, whose processes are not seen from here, is good for this long, in ms. */
const foreignLockMs = 3_600_000;
/** One of another PID namespace of this host, such as another container, for this long after its owner has touched it last. */
const untouchedLockMs = 60_000;
/** And one that names no owner: who takes a lock writes its name at once. */
const namelessLockMs = 10_000;

/** In ms; 0 where it is not there. @param {string} path */
const ageOf = (path) => Date.now() - (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? Date.now());

/**
 * Makes a file that names this process; false where it is there already.
 *
 * @param {string} lock
 * @throws {BootstrapError} when it cannot be written: no empty file is left, for which all would wait
 */
function taken(lock) {
  let fd = -1;
  try {
    fd = openSync(lock, "wx");
    const { pid } = process;
    const owner = { host: hostname(), pid, started: startOf(pid), namespace: ownNamespace() };
    writeFileSync(fd, JSON.stringify(owner));
    return true;
  } catch (error) {
    if (fd < 0 && codeOf(error) === "EEXIST") return false;
    if (fd >= 0) rmSync(lock, { force: true });
    throw cannotWrite(lock, error);
  } finally {
    if (fd >= 0) closeSync(fd);
  }
}

/** @param {string} path @param {unknown} error */
function cannotWrite(path, error) {
  const { message } = /** @type {Error} */ (error);
  return new BootstrapError(
    `${path}: expected to write it before npm packages are installed, got ${message}. ` +
      `Free space under ${dirname(path)}, or make it writable for this user, then run the command again.`,
  );
}

/** Null while it is being written, after a start that was killed as it wrote it, or when it is gone. @param {string} lock */
function ownerOf(lock) {
  const owner = readJson(lock);
  return typeof owner?.pid === "number" ? owner : null;
}

/** Whether nobody holds the lock any more. @param {string} lock */
function isLeft(lock) {
  const owner = ownerOf(lock);
  if (owner === null) return ageOf(lock) > namelessLockMs;
  if (owner.host !== hostname()) return ageOf(lock) > foreignLockMs;
  // an earlier version's lock says nothing of namespaces
  if ((owner.namespace ?? null) !== null && owner.namespace !== ownNamespace())
    return ageOf(lock) > untouchedLockMs;
  // another process may have got its number since, in a container above all
  return !isRunning(owner.pid) || startOf(owner.pid) !== owner.started;
}

/** Removes a lock that was left; one process at a time, as another could remove that of whoever has taken it since. @param {string} lock */
function takeAway(lock) {
  const guard = `${lock}.removing`;
  if (!taken(guard)) {
    if (ageOf(guard) > namelessLockMs) rmSync(guard, { force: true });
    return;
  }
  try {
    if (isLeft(lock)) rmSync(lock, { force: true });
  } finally {
    rmSync(guard, { force: true });
  }
}

/**
 * Runs `body` while no other process of this checkout installs packages. A lock whose owner is gone is taken over.
 *
 * @param {string} directory @param {() => void} body
 */
function withInstallLock(directory, body) {
  const lock = join(directory, ".preftune", "install.lock");
  try {
    mkdirSync(dirname(lock), { recursive: true });
  } catch (error) {
    throw cannotWrite(dirname(lock), error);
  }
  for (let announced = false; !taken(lock); ) {
    if (isLeft(lock)) {
      takeAway(lock);
      continue;
    }
    const owner = ownerOf(lock);
    if (owner !== null && !announced) {
      say(`waiting for process ${owner.pid} on ${owner.host}, which is installing packages (lock: ${lock})`);
      announced = true;
    }
    sleep(300);
  }
  const toucher = touching(lock);
  try {
    body();
  } finally {
    void toucher.terminate();
    rmSync(lock, { force: true });
  }
}

/** Touches a file every two seconds, in a thread, as this one waits for npm. @param {string} path */
function touching(path) {
  const program = `
    const { utimesSync } = require("node:fs");
    const { workerData } = require("node:worker_threads");
    setInterval(() => {
      try {
        utimesSync(workerData, new Date(), new Date());
      } catch {
        // it was removed
      }
    }, 2000);`;
  const worker = new Worker(program, { eval: true, workerData: path, execArgv: [] });
  worker.unref();
  return worker;
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
      // Node 24 and TypeScript, which NODE_ENV=production or npm's "omit" would leave out
      "--include=dev",
      "--include=optional",
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
    writeStamp(directory);
    say(`npm packages installed in ${((Date.now() - begin) / 1000).toFixed(0)} s`);
  });
}

/** @param {string} version */
const majorOf = (version) => Number(version.split(".")[0]);

/** Packages that are Node for this platform. */
const nodePackages = ["node", "node-bin"].map((name) => `${name}-${process.platform}-${process.arch}`);

/** Whether `package-lock.json` has a Node for this platform. @param {string} directory */
function pinsNode24(directory) {
  const wanted = readJson(join(directory, "package-lock.json"))?.packages ?? {};
  return nodePackages.some((name) => `node_modules/${name}` in wanted);
}

/**
 * The Node 24 to run the sources with: the pinned package, else this process's own Node when it is new enough.
 *
 * @param {string} directory
 * @returns {string | null}
 */
export function findNode24(directory) {
  for (const name of nodePackages) {
    const path = join(directory, "node_modules", name, "bin", "node");
    if (existsSync(path)) return path;
  }
  return majorOf(process.versions.node) >= 24 ? process.execPath : null;
}

/** @returns {string} the Node 24 to use @throws {BootstrapError} when there is none for this platform */
export function requireNode24() {
  const node = findNode24(root);
  if (node !== null) return node;
  const pinned = pinsNode24(root) ? "was not installed by npm ci" : "does not exist";
  const where = isCheckout
    ? `a pinned Node 24 for ${process.platform} ${process.arch} ${pinned}`
    : "this package runs on Node 24";
  throw new BootstrapError(
    `expected Node 24 or newer, got ${process.versions.node}: ${where}. Install Node 24 and run the command again.`,
    // that of the library's ConfigError for it (src/base/node-version.ts)
    2,
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
    process.exit(error.exitCode);
  }
}
