/**
 * The image of container/Containerfile without a registry of images: a base system by mmdebstrap, the image's own part by the script that the
 * Containerfile calls, run as its user on a read-only root without a network. In full only; skipped where the tools are missing.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  cpSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { after, before, suite, test } from "node:test";
import { findTorch } from "../../src/setup/find-torch.ts";
import { locateAddon } from "../../src/setup/locate.ts";
import { findProgram } from "../../src/setup/path-search.ts";
import { isNightly } from "../support/campaign.ts";
import { scratch } from "../support/scratch.ts";

const root = join(import.meta.dirname, "../..");
const containerfile = readFileSync(join(root, "container/Containerfile"), "utf8");
const image = containerfile.slice(containerfile.lastIndexOf("\nFROM "));

/** What keeps the image from being made here; null: nothing. */
function missing(): string | null {
  if (process.getuid?.() !== 0) return "needs root, for mounts";
  const tools = ["mmdebstrap", "unshare", "chroot", "ip", "mount"].filter(
    (name) => findProgram(name) === null,
  );
  return tools.length === 0 ? null : `missing: ${tools.join(", ")}`;
}

const reason = isNightly ? missing() : "in full only";
const skip = reason ?? false;

interface Findings {
  user: number;
  root: string;
  outside: string;
  volume: string;
  healthWithoutServer: number;
  quickstart: { status: number; text: string };
  serve: { health: number; withoutKey: number; wrongKey: number; answer: number };
  dashboard: { withoutKey: number; opened: number; withKey: number; again: number };
}

function run(program: string, ...args: string[]): string {
  const { status, stdout, stderr, error } = spawnSync(program, args, {
    cwd: root,
    encoding: "utf8",
    timeout: 900_000,
    maxBuffer: 2 ** 26,
    env: { ...process.env, PATH: `${dirname(process.execPath)}:${process.env["PATH"]}` },
  });
  assert.equal(status, 0, `${program} ${args.join(" ")}: ${error?.message ?? ""}\n${stdout}\n${stderr}`);
  return stdout;
}

/** Values of an instruction of the image. */
const instructions = (name: string): string[] =>
  [...image.matchAll(new RegExp(`^${name} (.*)$`, "gm"))].map(([, value = ""]) => value);

const folder = mkdtempSync(join(scratch(), "preftune-container-"));
const base = join(folder, "root");
after(() => rmSync(folder, { recursive: true, force: true }));

/** Bytes below a folder, in MB. */
const megabytes = (path: string): number => Number(run("du", "-sm", path).split("\t")[0]);

/** Makes the root of the image. */
function makeImage(): void {
  // the folder of a test belongs to root alone, and the image's user has to pass through it
  chmodSync(folder, 0o755);
  const { VERSION_CODENAME: suiteName = "" } = Object.fromEntries(
    readFileSync("/etc/os-release", "utf8")
      .split("\n")
      .map((line) => line.split("=")),
  ) as Record<string, string>;
  const sources = globSync(["/etc/apt/sources.list", "/etc/apt/sources.list.d/*.{list,sources}"]);
  run("mmdebstrap", "--variant=minbase", "--include=libgomp1", suiteName, base, ...sources);
  const packed = run("npm", "pack", "--ignore-scripts=false", "--json", "--pack-destination", folder);
  const [{ filename }] = JSON.parse(packed.slice(packed.indexOf("["))) as [{ filename: string }];
  const { torch } = findTorch();
  assert.ok(torch !== null);
  const parts = [process.execPath, join(folder, filename), torch.folder, locateAddon()];
  run("sh", "container/assemble.sh", base, ...parts);
  for (const name of ["runs", "models"]) {
    mkdirSync(join(folder, name));
    chownSync(join(folder, name), 10001, 10001);
  }
  cpSync(join(root, "test/support/in-container.mjs"), join(folder, "runs/in-container.mjs"));
}

/** Runs a program as a container engine would: own mounts, processes and network, a read-only root, the image's user and variables. */
function inImage(...words: string[]): string {
  const [user = ""] = instructions("USER");
  const variables = instructions("ENV").flatMap((line) => line.split(" "));
  const script = [
    "set -e",
    `mount --bind ${base} ${base}`,
    `mount --bind ${folder}/runs ${base}/runs`,
    `mount --bind ${folder}/models ${base}/models`,
    `mount --bind /dev ${base}/dev`,
    `mount -t proc proc ${base}/proc`,
    `mount -t tmpfs tmpfs ${base}/tmp`,
    `mount -o remount,bind,ro ${base}`,
    "ip link set lo up",
    `exec chroot --userspec=${user} --groups= ${base} /usr/bin/env -i -C ${instructions("WORKDIR")[0]} "$@"`,
  ];
  const spaces = ["--mount", "--pid", "--fork", "--net", "--ipc", "--kill-child"];
  return run("unshare", ...spaces, "sh", "-c", script.join("\n"), "sh", ...variables, ...words);
}

test("the file for GPUs makes the same image but for torch and CUDA", () => {
  const text = readFileSync(join(root, "container/Containerfile.cuda"), "utf8");
  const other = text.slice(text.lastIndexOf("\nFROM ")).split("\n");
  const lacking = image.split("\n").filter((line) => !other.includes(line));
  assert.deepEqual(lacking, []);
  assert.ok(
    text.includes("sh container/assemble.sh ") && containerfile.includes("sh container/assemble.sh "),
  );
  assert.deepEqual(instructions("USER"), ["10001:10001"]);
  assert.deepEqual(instructions("VOLUME"), ["/models /runs"]);
});

suite("the image", () => {
  let found: Findings;

  before(() => {
    if (skip !== false) return;
    makeImage();
    const said = inImage("node", "/runs/in-container.mjs");
    found = JSON.parse(/^FINDINGS (.*)$/m.exec(said)?.[1] ?? "null") as Findings;
    const parts = { all: "", torch: "opt/torch", preftune: "opt/preftune", node: "usr/local/bin" };
    for (const [name, path] of Object.entries(parts))
      console.log(`${name}: ${megabytes(join(base, path))} MB`);
  });

  test("its user writes to the volumes and nowhere else", { skip }, () => {
    assert.deepEqual(
      [found.user, found.root, found.outside, found.volume],
      [10001, "EROFS", "EROFS", "written"],
    );
  });

  test("the quick start runs", { skip }, () => {
    assert.equal(found.quickstart.status, 0, found.quickstart.text);
    assert.match(found.quickstart.text, /SLIME/);
  });

  test("the server answers with its key alone, and says when it is healthy", { skip }, () => {
    assert.equal(found.healthWithoutServer, 1);
    assert.deepEqual(found.serve, { health: 200, withoutKey: 401, wrongKey: 401, answer: 200 });
  });

  test("the dashboard shows runs to who came by its link, which works once", { skip }, () => {
    assert.deepEqual(found.dashboard, { withoutKey: 401, opened: 200, withKey: 200, again: 401 });
  });

  test("preftune is what it starts, and its help is what it says", { skip }, () => {
    assert.deepEqual(instructions("ENTRYPOINT"), ['["preftune"]']);
    assert.match(inImage("preftune", "--help"), /Usage: preftune/);
  });
});
