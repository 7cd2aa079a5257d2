/**
 * Addons that were compiled before they were published: a package for each platform beside preftune's, with one addon for each minor
 * version of torch. What does not fit, or does not compute, is left alone, and the addon is compiled.
 */
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, extname, join } from "node:path";
import { ConfigError } from "../base/errors.ts";
import { io } from "../base/file-io.ts";
import { makeDirectory, readJsonFile, sha256, writeDirectoryAtomic, writeFileAtomic } from "../base/files.ts";
import type { Torch } from "./find-torch.ts";
import { stateFolder } from "./places.ts";

/** `prebuilt.json` of a platform's package. */
export interface PrebuiltManifest {
  /** Hash of the native sources that were compiled. */
  sources: string;
  /** File by minor version of torch, such as "2.13". */
  addons: Readonly<Record<string, string>>;
}

/** The result of looking for one. */
export interface PrebuiltSearch {
  /** Path of the addon; null: it has to be compiled. */
  addon: string | null;
  /** Why one that is there is not used; null where there is none. */
  refused: string | null;
  /** Files whose change can change the outcome. */
  watched: string[];
}

/** The package with this platform's addons. */
export const prebuiltPackage: string = `preftune-${process.platform}-${process.arch}`;

/** Where the addon of a platform's package looks for torch's libraries: a link beside it. */
export const torchBesideAddon: string = "$ORIGIN/torch";

/** Path of the package's manifest; null where it is not installed. */
function manifestPath(): string | null {
  try {
    return createRequire(import.meta.url).resolve(`${prebuiltPackage}/prebuilt.json`);
  } catch {
    return null;
  }
}

/** "2.13" of "2.13.0+cpu" */
export function minorVersion(version: string): string {
  return /^\d+\.\d+/.exec(version)?.[0] ?? version;
}

/**
 * The addon for `torch`, put beside a link to its libraries and tried in a child process: a forward and a backward pass.
 *
 * @param sources - hash of the native sources that are expected
 * @param manifest - path of the package's manifest
 * @throws {ConfigError} for another PREFTUNE_PREBUILT than no
 */
export async function prebuiltAddon(
  torch: Torch,
  sources: string,
  manifest: string | null = manifestPath(),
): Promise<PrebuiltSearch> {
  const choice = process.env["PREFTUNE_PREBUILT"] ?? "";
  if (choice !== "" && choice !== "no") {
    throw new ConfigError(
      `PREFTUNE_PREBUILT: expected no, which compiles in any case, got "${choice}". Unset it to take a prebuilt addon where one fits.`,
    );
  }
  if (manifest === null || choice === "no") {
    return { addon: null, refused: null, watched: [] };
  }
  const refused = (why: string): PrebuiltSearch => ({ addon: null, refused: why, watched: [manifest] });
  const { sources: built, addons } = readJsonFile(manifest) as PrebuiltManifest;
  if (built !== sources) return refused("it was built from the sources of another version");
  const minor = minorVersion(torch.version);
  const file = addons[minor];
  if (file === undefined) {
    return refused(`it has addons for torch ${Object.keys(addons).join(", ")}, and this is ${torch.version}`);
  }
  const from = join(dirname(manifest), file);
  const folder = join(
    stateFolder(),
    "addon",
    `prebuilt-${sha256(JSON.stringify([sources, minor, torch.folder])).slice(0, 16)}`,
  );
  const addon = join(folder, "preftune.node");
  if (!existsSync(addon)) await place(from, folder, torch);
  const problem = tryComputing(addon);
  return problem === null ? { addon, refused: null, watched: [manifest, from] } : refused(problem);
}

async function place(from: string, folder: string, torch: Torch): Promise<void> {
  makeDirectory(dirname(folder));
  const fill = (fresh: string): void => {
    writeFileAtomic(join(fresh, "preftune.node"), readFileSync(from));
    io.symlinkSync(join(torch.folder, "lib"), join(fresh, "torch"));
  };
  await writeDirectoryAtomic(folder, fill, { replace: true, durable: false });
}

/** Why an addon does not compute what it should; null where it does. */
function tryComputing(addon: string): string | null {
  const program = join(import.meta.dirname, "..", "torch", `probe-child${extname(import.meta.filename)}`);
  const env = { ...process.env, PREFTUNE_ADDON: addon };
  const ran = spawnSync(process.execPath, [program], { env, encoding: "utf8", timeout: 300_000 });
  if (ran.status === 0) return null;
  const said = ran.stderr.trim().split("\n");
  return said.findLast((line) => /error/i.test(line)) ?? said.at(-1) ?? `it ended by ${ran.signal}`;
}
