/**
 * From Node 20 or newer to the Node 24 that runs the sources, with the signals and the environment that belong to it.
 *
 * Plain JavaScript without dependencies: it runs under Node 20 before `node_modules` exists.
 */
import { spawn } from "node:child_process";
import { existsSync, fstatSync, readFileSync, readlinkSync, readSync, realpathSync, statSync } from "node:fs";
import { constants, homedir } from "node:os";
import { basename, delimiter, join, relative } from "node:path";
import { isCheckout, root, say } from "./bootstrap.mjs";
import "./terminal.mjs";

/** How `preftune` was called, for hints that can be pasted; nothing where another program is started. */
function calledAs() {
  const script = process.argv[1] ?? "";
  const isOurs = /(^|[\\/])preftune(\.mjs)?$/.test(script);
  if (!isOurs) return {};
  if (process.env["npm_command"] === "exec") return { PREFTUNE_CALLED_AS: "npx preftune" };
  const path = quoted(relative(process.cwd(), script));
  if (script.endsWith(".mjs")) return { PREFTUNE_CALLED_AS: `node ${path}` };
  const words = isOnPath(script) ? "preftune" : path.includes("/") ? path : `./${path}`;
  return { PREFTUNE_CALLED_AS: words };
}

/** Whether the word `preftune` starts this very script. @param {string} script */
function isOnPath(script) {
  const folders = (process.env["PATH"] ?? "").split(delimiter);
  const first = folders.map((folder) => join(folder, "preftune")).find((path) => existsSync(path));
  return first !== undefined && realpathSync(first) === realpathSync(script);
}

/** A word as a shell takes it. @param {string} word */
function quoted(word) {
  return /^[\w@%+=:,./~-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/**
 * Whether this process was started with SIGHUP ignored, to outlive its terminal: by `nohup`, or from a script that says
 * `trap '' HUP`. Node forgets it: it gives inherited ignored signals back their default as it starts. What still shows it:
 * the name that most shells leave in `_`, output to nohup.out, standard input that GNU's nohup opened for writing only, and
 * the parent's own signals. PREFTUNE_NOHUP=1 says it where none of these does.
 */
export function ignoresHangup() {
  if (process.env["PREFTUNE_NOHUP"] === "1" || basename(process.env["_"] ?? "") === "nohup") return true;
  const outputs = ["nohup.out", join(homedir(), "nohup.out")];
  if (outputs.some((path) => isFile(1, path) || isFile(2, path))) return true;
  return isWriteOnlyNull(0) || ignoredSignals(process.ppid).has(constants.signals.SIGHUP);
}

/** Whether `descriptor` is open on the file at `path`. @param {number} descriptor @param {string} path */
function isFile(descriptor, path) {
  const file = statSync(path, { throwIfNoEntry: false });
  if (file === undefined) return false;
  const { dev, ino } = fstatSync(descriptor);
  return dev === file.dev && ino === file.ino;
}

/** @param {number} descriptor */
function isWriteOnlyNull(descriptor) {
  try {
    if (!fstatSync(descriptor).isCharacterDevice()) return false;
    if (readlinkSync(`/proc/self/fd/${descriptor}`) !== "/dev/null") return false;
    readSync(descriptor, Buffer.alloc(1));
    return false;
  } catch (error) {
    return /** @type {NodeJS.ErrnoException} */ (error).code === "EBADF";
  }
}

/** The numbers of the signals that process `pid` ignores; none where the system does not tell. @param {number} pid */
function ignoredSignals(pid) {
  /** @type {Set<number>} */
  const numbers = new Set();
  try {
    const [, mask = "0"] = /^SigIgn:\s*([0-9a-f]+)$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? [];
    for (let bits = BigInt(`0x${mask}`), number = 1; bits > 0n; bits >>= 1n, number++)
      if (bits & 1n) numbers.add(number);
  } catch {
    // no /proc: macOS
  }
  return numbers;
}

/** The URL of a file beside this one. @param {string} name @returns {URL} */
const beside = (name) => new URL(name, import.meta.url);

/** Compiled modules of a checkout are kept: without them, taking the types out of the sources is half of a start. */
const compiled = isCheckout ? { NODE_COMPILE_CACHE: join(root, ".preftune", "compile-cache") } : {};

/**
 * Environment of the sources: they are found by "preftune" too, and without a search, type stripping does not warn, and
 * SIGHUP stays ignored, by this program and those that it starts, where it was.
 *
 * @param {boolean} staysOnHangup
 */
function childEnvironment(staysOnHangup) {
  const flags = ["--disable-warning=ExperimentalWarning"];
  if (isCheckout) flags.push("--conditions=preftune-source", `--import=${beside("own-sources.mjs")}`);
  if (staysOnHangup) flags.push(`--import=${beside("nohup.mjs")}`);
  const present = process.env["NODE_OPTIONS"] ?? "";
  const missing = flags.filter((flag) => !present.includes(flag));
  return {
    ...compiled,
    ...process.env,
    ...calledAs(),
    ...(staysOnHangup ? { PREFTUNE_NOHUP: "1" } : {}),
    NODE_OPTIONS: [present, ...missing].filter(Boolean).join(" "),
  };
}

/**
 * Becomes `node ...args`: replaces this process where the system and this Node can (one process, signals go straight
 * to it), else starts a child, passes signals on and ends with its status.
 *
 * @param {string} node @param {string[]} args
 */
export function becomeNode(node, args) {
  const staysOnHangup = ignoresHangup();
  const env = childEnvironment(staysOnHangup);
  const words = ["--import", beside("terminal.mjs").href, ...args];
  if (process.platform !== "win32" && typeof process.execve === "function") {
    process.removeAllListeners("warning");
    process.execve(node, [node, ...words], /** @type {any} */ (env));
  }
  const launched = beside("launched.mjs");
  launched.searchParams.set("launcher", String(process.pid));
  const child = spawn(node, ["--import", launched.href, ...words], { stdio: "inherit", env });
  passSignals(child, staysOnHangup);
  child.on("error", (error) => {
    say(`${node} could not be started: ${error.message}`);
    process.exit(1);
  });
  child.on("exit", (code, signal) => {
    process.exit(signal === null ? (code ?? 1) : 128 + constants.signals[signal]);
  });
}

/** Signals of a shorter time than this are one (as in src/base/stop-signals.ts). */
const sameSignalMs = 1000;

/**
 * Passes signals on, each: a terminal sends Ctrl-C to the child as well, which counts what its parent sends apart from what
 * others do. A child that is still there five seconds after a second SIGINT or SIGTERM is killed.
 *
 * @param {import("node:child_process").ChildProcess} child @param {boolean} staysOnHangup
 */
function passSignals(child, staysOnHangup) {
  let count = 0;
  let heard = Number.NEGATIVE_INFINITY;
  for (const name of /** @type {const} */ (["SIGINT", "SIGTERM", "SIGHUP"])) {
    process.on(name, () => {
      if (name === "SIGHUP" && staysOnHangup) return;
      child.kill(name);
      const now = performance.now();
      if (now - heard < sameSignalMs || (name === "SIGHUP" && count > 0)) return;
      heard = now;
      count += 1;
      if (count > 1) setTimeout(() => child.kill("SIGKILL"), 5 * sameSignalMs).unref();
    });
  }
}

/**
 * V8's flag for the memory of young objects, which holds for all threads of a process; `src/process/child.ts` passes it on.
 * Rows and requests of a megabyte live for milliseconds: V8 would keep up to eight times as much room for such, for good, and
 * 30 to 40 MiB more for a training.
 */
const youngObjects = "--max-semi-space-size=8";

/**
 * Node arguments that prepare torch and addon, then run `script`.
 *
 * @param {string} script @param {string[]} args @param {boolean} needsAddon
 */
export function launchArguments(script, args, needsAddon) {
  const prepare = needsAddon ? ["--import", beside("prepare.mjs").href] : [];
  return [youngObjects, ...prepare, script, ...args];
}
