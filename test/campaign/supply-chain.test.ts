/** What comes with preftune from others: few packages, none that runs scripts, pinned, with licences that allow it. */
import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { billOfMaterials, lockedPackages } from "../../scripts/sbom.ts";
import { figure, holds } from "../support/campaign.ts";

const root = join(import.meta.dirname, "../..");
const runtime = lockedPackages().filter(({ isDevelopment }) => !isDevelopment);

/** Lock file -> its packages: those of a checkout, of the manual as a site, and of the test of a packed tarball. */
const locked = new Map(
  globSync("**/package-lock.json", {
    cwd: root,
    exclude: (name) => /node_modules|^[.]preftune$|^dist$/.test(name),
  })
    .sort()
    .map((path) => [path, lockedPackages(path)] as const),
);

/** Licences that allow use, change and sale, with notice alone. */
const allowed = new Set([
  "MIT",
  "ISC",
  "Apache-2.0",
  "BSD-2-Clause",
  "BSD-3-Clause",
  "0BSD",
  "BlueOak-1.0.0",
]);

test("runtime packages: at most 12 that are named, at most 25 in all", () => {
  const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { dependencies: object };
  const direct = Object.keys(manifest.dependencies).length;
  const reached = `${direct} direct, ${runtime.length} in all`;
  figure(
    25,
    "runtime packages in package-lock.json",
    reached,
    "at most 12 and 25",
    direct <= 12 && runtime.length <= 25,
  );
});

test("no package runs a script when it is installed, and npm is told to run none", () => {
  const installers = {
    "package-lock.json": "bin/bootstrap.mjs",
    "site/package-lock.json": "site/build.ts",
    "toolchain/release/package-lock.json": "test/package/packed.test.ts",
  };
  assert.deepEqual([...locked.keys()], Object.keys(installers));
  for (const source of Object.values(installers))
    assert.match(readFileSync(join(root, source), "utf8"), /"ci",\s+"--ignore-scripts"/);
  for (const folder of [".", "site"]) {
    const npmrc = readFileSync(join(root, folder, ".npmrc"), "utf8");
    assert.match(npmrc, /^ignore-scripts=true$/m);
    assert.match(npmrc, /^min-release-age=7$/m);
  }
  for (const [lockFile, packages] of locked) {
    const scripts = packages.filter(({ hasInstallScript }) => hasInstallScript === true);
    const names = scripts.map(({ name }) => name);
    // vitepress needs it, and works without its script
    const known = lockFile === "site/package-lock.json" ? ["esbuild"] : [];
    const reached = `${names.length} of ${packages.length}${names.length > 0 ? ` (${names.join(", ")})` : ""}`;
    const goal = known.length > 0 ? `${known.length}, which npm does not run` : "0";
    const held = names.length <= known.length && names.every((name) => known.includes(name));
    const what = `packages with install scripts, development included, in ${lockFile}`;
    const less = `${lockFile} has a package with an install script, esbuild (first goal: none), since vitepress needs it; npm runs none (\`ignore-scripts\`)`;
    figure(25, what, reached, goal, held, known.length > 0 ? less : undefined);
  }
});

test("every package is pinned by a SHA-512 sum", () => {
  for (const [lockFile, packages] of locked) {
    const loose = packages.filter(({ integrity }) => !/^sha512-[A-Za-z0-9+/]{86}==$/.test(integrity ?? ""));
    const reached = `${loose.length} of ${packages.length}`;
    figure(25, `packages without a SHA-512 sum in ${lockFile}`, reached, "0", loose.length === 0);
  }
});

test("licences of runtime packages allow use with notice alone", () => {
  const others = runtime.filter(({ license }) => !allowed.has(license ?? ""));
  const reached =
    others.map(({ name, license }) => `${name} (${license ?? "none stated"})`).join(", ") || "0";
  const what = "runtime packages with another licence than MIT, ISC, BSD, Apache 2.0 or BlueOak";
  figure(25, what, reached, "0", others.length === 0);
});

test("the bill of materials (npm run sbom) names exactly the runtime packages", async () => {
  const bill = billOfMaterials();
  assert.equal(bill.bomFormat, "CycloneDX");
  const listed = bill.components.map(({ name, version }) => `${name}@${version}`).sort();
  const wanted = runtime.map(({ name, version }) => `${name}@${version}`).sort();
  const known = new Set([...wanted, "preftune@0.1.0"]);
  const held = await holds("bill of materials", () => {
    assert.deepEqual(listed, wanted);
    for (const { ref, dependsOn = [] } of bill.dependencies)
      for (const name of [ref, ...dependsOn]) assert.ok(known.has(name), name);
  });
  figure(25, "bill of materials (CycloneDX)", `${listed.length} packages`, "those of the lock file", held);
});
