/**
 * The image of container/Containerfile, built by buildah where no registry of images is (container/without-registry.sh), unpacked by umoci and
 * run by runc as its user on a read-only root without a network. In full only; skipped where the tools are missing.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, chownSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { readJsonFile, writeFileAtomic } from "../../src/base/files.ts";
import { findProgram } from "../../src/setup/path-search.ts";
import { pinnedTorch } from "../../src/setup/version.ts";
import { isNightly } from "../support/campaign.ts";
import { runProgram } from "../support/long-program.ts";

const root = join(import.meta.dirname, "../..");
const containerfile = readFileSync(join(root, "container/Containerfile"), "utf8");
const image = containerfile.slice(containerfile.lastIndexOf("\nFROM "));

/** What keeps the image from being made here; null: nothing. */
function missing(): string | null {
  if (process.getuid?.() !== 0) return "needs root, for mounts";
  const tools = ["mmdebstrap", "buildah", "umoci", "runc"].filter((name) => findProgram(name) === null);
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
  doctor: { status: number; text: string };
  quickstart: { status: number; text: string };
  serve: { health: number; withoutKey: number; wrongKey: number; answer: number };
  dashboard: { withoutKey: number; opened: number; withKey: number; again: number };
}

/** What umoci writes for a runtime, of which the test changes this. */
interface Bundle {
  root: { readonly: boolean };
  process: { args: string[]; user: { uid: number; gid: number }; capabilities: object; terminal: boolean };
  mounts: { destination: string; type: string; source: string; options: string[] }[];
  linux: { resources?: object; namespaces: { type: string }[] };
}

const run = (program: string, ...args: string[]): string => runProgram(root, program, ...args);

/** Values of an instruction of the image. */
const instructions = (name: string): string[] =>
  [...image.matchAll(new RegExp(`^${name} (.*)$`, "gm"))].map(([, value = ""]) => value);

// some GB meanwhile: not in memory
const folder = mkdtempSync(join(tmpdir(), "preftune-container-"));
const [layout, bundle] = [join(folder, "layout"), join(folder, "bundle")];
after(() => rmSync(folder, { recursive: true, force: true }));

/** The wheel of torch for CPUs, where pip's own configuration has one; else the index that the Containerfile names is asked. */
function wheels(): string[] {
  const to = join(folder, "wheels");
  const kind = ["--no-deps", "--only-binary=:all:", "--python-version", "3.11"];
  const wanted = ["-m", "pip", "download", ...kind, "--dest", to, `torch==${pinnedTorch}+cpu`];
  return spawnSync("python3", wanted, { timeout: 900_000 }).status === 0 ? [to] : [];
}

function makeImage(): void {
  // the folder of a test belongs to root alone, and the image's user has to pass through it
  chmodSync(folder, 0o755);
  run("sh", "container/without-registry.sh", layout, ...wheels());
  run("umoci", "unpack", "--image", `${layout}:preftune`, bundle);
  for (const name of ["runs", "models"]) {
    mkdirSync(join(folder, name));
    chownSync(join(folder, name), 10001, 10001);
  }
  cpSync(join(root, "test/support/in-container.mjs"), join(folder, "runs/in-container.mjs"));
}

/** The manifest of the only image of the layout. */
function manifestPath(): string {
  const { manifests } = readJsonFile(join(layout, "index.json")) as { manifests: { digest: string }[] };
  assert.equal(manifests.length, 1);
  return join(layout, "blobs", (manifests[0]?.digest ?? "").replace(":", "/"));
}

/** Runs a program in the image by a container runtime: what the image says, but a read-only root, no rights and a network of its own. */
function inImage(...words: string[]): string {
  const path = join(bundle, "config.json");
  const spec = readJsonFile(path) as Bundle;
  spec.root.readonly = true;
  spec.process = { ...spec.process, args: words, capabilities: {}, terminal: false };
  assert.ok(spec.linux.namespaces.some(({ type }) => type === "network"));
  delete spec.linux.resources;
  const own = new Set(["/tmp", "/runs", "/models"]);
  spec.mounts = spec.mounts.filter(({ destination }) => !own.has(destination));
  const volume = (name: string): Bundle["mounts"][number] => ({
    ...{ destination: `/${name}`, type: "bind", source: join(folder, name) },
    options: ["rbind", "rw"],
  });
  const temporary = { destination: "/tmp", type: "tmpfs", source: "tmpfs", options: ["mode=1777"] };
  spec.mounts.push(temporary, volume("runs"), volume("models"));
  writeFileAtomic(path, JSON.stringify(spec));
  return run("runc", "--root", join(folder, "runc"), "run", "--bundle", bundle, `preftune-${process.pid}`);
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
    const blobs = readJsonFile(manifestPath()) as { layers: { size: number }[] };
    console.log(
      `compressed: ${Math.round(blobs.layers.reduce((sum, { size }) => sum + size, 0) / 2 ** 20)} MB`,
    );
    const parts = { all: "", torch: "opt/torch", preftune: "opt/preftune", node: "usr/local/bin" };
    for (const [name, path] of Object.entries(parts)) {
      console.log(`${name}: ${run("du", "-sm", join(bundle, "rootfs", path)).split("\t")[0]} MB`);
    }
  });

  test("its user writes to the volumes and nowhere else", { skip }, () => {
    assert.deepEqual(
      [found.user, found.root, found.outside, found.volume],
      [10001, "EROFS", "EROFS", "written"],
    );
  });

  test("the doctor finds that training can start", { skip }, () => {
    assert.equal(found.doctor.status, 0, found.doctor.text);
    assert.match(found.doctor.text, /given by PREFTUNE_ADDON and loads: \/opt\/preftune\/preftune\.node/);
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
    const { Docker } = readJsonFile(`${layout}.json`) as { Docker: { config: Record<string, unknown> } };
    const { Entrypoint, Cmd, User, Healthcheck, Volumes } = Docker.config;
    assert.deepEqual([Entrypoint, Cmd, User], [["preftune"], ["--help"], "10001:10001"]);
    assert.deepEqual((Healthcheck as { Test: string[] }).Test, ["CMD", "node", "/opt/preftune/health.mjs"]);
    assert.deepEqual(Object.keys(Volumes as object).sort(), ["/models", "/runs"]);
    assert.match(inImage(...(Entrypoint as string[]), ...(Cmd as string[])), /Usage: preftune/);
  });
});
