/** What comes with preftune from others: few packages, none that runs scripts, pinned, with licences that allow it. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { billOfMaterials, lockedPackages } from "../../scripts/sbom.ts";
import { figure, holds } from "../support/campaign.ts";

const root = join(import.meta.dirname, "../..");
const packages = lockedPackages();
const runtime = packages.filter(({ isDevelopment }) => !isDevelopment);

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
  figure(25, "runtime packages", reached, "at most 12 and 25", direct <= 12 && runtime.length <= 25);
});

test("no package runs a script when it is installed, and npm is told to run none", () => {
  const scripts = packages.filter(({ hasInstallScript }) => hasInstallScript === true);
  const npmrc = readFileSync(join(root, ".npmrc"), "utf8");
  assert.match(npmrc, /^ignore-scripts=true$/m);
  assert.match(npmrc, /^min-release-age=7$/m);
  const bootstrap = readFileSync(join(root, "bin", "bootstrap.mjs"), "utf8");
  assert.match(bootstrap, /"ci",\s+"--ignore-scripts"/);
  const what = "packages with install scripts, development included";
  figure(25, what, `${scripts.length} of ${packages.length}`, "0", scripts.length === 0);
});

test("every package is pinned by a SHA-512 sum", () => {
  const loose = packages.filter(({ integrity }) => !/^sha512-[A-Za-z0-9+/]{86}==$/.test(integrity ?? ""));
  const what = "packages without a SHA-512 sum in package-lock.json";
  figure(25, what, `${loose.length} of ${packages.length}`, "0", loose.length === 0);
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
