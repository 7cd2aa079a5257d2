import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { type TestContext, test } from "node:test";
import type { Torch } from "./find-torch.ts";
import { locateAddon } from "./locate.ts";
import { sourcesHash } from "./native-sources.ts";
import { stateFolder } from "./places.ts";
import { minorVersion, prebuiltAddon } from "./prebuilt.ts";
import { readRecord } from "./record.ts";

const torch = readRecord(stateFolder())?.torch as Torch;
const sources = sourcesHash();

/** A platform's package whose addon is `file`. */
function packageOf(t: TestContext, file: string | null, minor = minorVersion(torch.version)): string {
  const folder = mkdtempSync(join(tmpdir(), "preftune-prebuilt-"));
  t.after(() => rmSync(folder, { recursive: true }));
  if (file === null) writeFileSync(join(folder, "addon.node"), "no library");
  else symlinkSync(file, join(folder, "addon.node"));
  writeFileSync(
    join(folder, "prebuilt.json"),
    JSON.stringify({ sources, addons: { [minor]: "addon.node" } }),
  );
  return join(folder, "prebuilt.json");
}

/** Finds the addon and takes away what was put into the state folder for it. */
async function found(t: TestContext, manifest: string, by: string = sources, of: Torch = torch) {
  const result = await prebuiltAddon(of, by, manifest);
  if (result.addon !== null)
    t.after(() => rmSync(dirname(result.addon as string), { recursive: true, force: true }));
  return result;
}

test("an addon that fits is put beside a link to torch's libraries, and computes", async (t) => {
  const manifest = packageOf(t, locateAddon());
  // another place of the same torch, so that a prebuilt addon in use is none of the test's business
  const elsewhere = join(dirname(manifest), "torch");
  symlinkSync(torch.folder, elsewhere);
  const { addon, refused, watched } = await found(t, manifest, sources, { ...torch, folder: elsewhere });
  assert.equal(refused, null);
  assert.deepEqual(readFileSync(addon ?? ""), readFileSync(locateAddon()));
  assert.ok(readFileSync(join(dirname(addon ?? ""), "torch", "libtorch_cpu.so")).length > 0);
  assert.deepEqual(watched, [manifest, join(dirname(manifest), "addon.node")]);
});

test("another torch, other sources, a file that does not load: each refused with the reason", async (t) => {
  const refusals: [manifest: string, by: string, reason: RegExp][] = [
    [packageOf(t, locateAddon(), "2.1"), sources, /has addons for torch 2\.1, and this is 2\./],
    [packageOf(t, locateAddon()), "other", /from the sources of another version/],
    [packageOf(t, null), sources, /preftune\.node/],
  ];
  for (const [manifest, by, reason] of refusals) {
    const { addon, refused } = await found(t, manifest, by);
    assert.equal(addon, null);
    assert.match(refused ?? "", reason);
  }
});

test("without a package there is none and nothing to say; PREFTUNE_PREBUILT=no leaves it alone", async (t) => {
  assert.deepEqual(await prebuiltAddon(torch, sources, null), { addon: null, refused: null, watched: [] });
  process.env["PREFTUNE_PREBUILT"] = "no";
  t.after(() => delete process.env["PREFTUNE_PREBUILT"]);
  const { addon, refused } = await prebuiltAddon(torch, sources, packageOf(t, locateAddon()));
  assert.deepEqual([addon, refused], [null, null]);
  process.env["PREFTUNE_PREBUILT"] = "false";
  await assert.rejects(prebuiltAddon(torch, "x", null), /PREFTUNE_PREBUILT: expected no, .*got "false"/);
});
