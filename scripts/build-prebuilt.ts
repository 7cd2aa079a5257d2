/**
 * `npm run ts -- scripts/build-prebuilt.ts FOLDER --torch TORCH [--torch TORCH ...] [--glibc 2.28]`: this platform's package of prebuilt
 * addons, one for each folder of an installed torch. Refuses an addon that needs a newer glibc than is given, or a newer libstdc++ than GCC 8's,
 * which came with glibc 2.28. The package is published beside preftune's.
 */
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { addonFiles, compileFlags, nodeHeaderFolders } from "../src/setup/addon.ts";
import { findCompiler } from "../src/setup/compiler.ts";
import { inspectTorch } from "../src/setup/find-torch.ts";
import { sourcesHash } from "../src/setup/native-sources.ts";
import {
  minorVersion,
  type PrebuiltManifest,
  prebuiltPackage,
  torchBesideAddon,
} from "../src/setup/prebuilt.ts";
import { newestSymbols } from "./symbol-versions.ts";

const root = join(import.meta.dirname, "..");

/** The newest symbols of libstdc++ that GCC 8 has. */
const libstdcxx = "3.4.25";

/** Symbols' old versions, where the system has newer ones. */
const oldSymbols = process.platform === "linux" ? ["-include", join(import.meta.dirname, "old-glibc.h")] : [];

function build(folder: string, torchFolder: string, glibc: string): [minor: string, file: string] {
  const torch = inspectTorch(resolve(torchFolder), "PREFTUNE_TORCH");
  if (typeof torch === "string") throw new Error(torch);
  const compiler = findCompiler();
  if (compiler === null) throw new Error("expected a C++ compiler on the path, found none");
  const minor = minorVersion(torch.version);
  const file = `torch-${minor}.node`;
  const target = join(folder, file);
  const flags = compileFlags(torch, nodeHeaderFolders(), compiler, torchBesideAddon);
  const args = [...compiler.prefix, ...oldSymbols, ...addonFiles(), ...flags, "-s", "-o", target];
  const { status } = spawnSync(compiler.path, args, { stdio: "inherit" });
  if (status !== 0) throw new Error(`the addon does not compile against torch ${torch.version}`);
  const newest = newestSymbols(target);
  const text = Object.entries(newest)
    .map(([name, version]) => `${name} ${version}`)
    .join(", ");
  process.stdout.write(`${file}: needs ${text}\n`);
  for (const [family, limit] of Object.entries({ GLIBC: glibc, GLIBCXX: libstdcxx })) {
    const needed = newest[family] ?? "0";
    if (needed.localeCompare(limit, "en", { numeric: true }) <= 0) continue;
    throw new Error(
      `${file} needs ${family} ${needed}: expected ${limit} or older. Ask for the old version in scripts/old-glibc.h, or build on an older system.`,
    );
  }
  return [minor, file];
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { torch: { type: "string", multiple: true }, glibc: { type: "string", default: "2.28" } },
});
const [given] = positionals;
const { torch: torches = [], glibc } = values;
if (given === undefined || torches.length === 0) {
  throw new Error("expected a folder to write and --torch FOLDER for each torch to build for");
}
const folder = resolve(given);
mkdirSync(folder, { recursive: true });
const addons = Object.fromEntries(torches.map((torch) => build(folder, torch, glibc)));
const manifest: PrebuiltManifest = { sources: sourcesHash(), addons };
writeFileSync(join(folder, "prebuilt.json"), `${JSON.stringify(manifest, null, 2)}\n`);
cpSync(join(root, "LICENSE"), join(folder, "LICENSE"));
const { version, license } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as Record<
  string,
  string
>;
const own = {
  ...{ name: prebuiltPackage, version, license },
  description: `preftune's addon for torch ${Object.keys(addons).join(", ")}, compiled for ${process.platform} on ${process.arch}`,
  ...{ os: [process.platform], cpu: [process.arch] },
  ...(process.platform === "linux" ? { libc: ["glibc"] } : {}),
  publishConfig: { access: "public", provenance: true },
  files: ["prebuilt.json", "*.node", "LICENSE"],
};
writeFileSync(join(folder, "package.json"), `${JSON.stringify(own, null, 2)}\n`);
