/** Variables that say whether the hub is asked, where it is and with which token: as huggingface_hub 1 reads them. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { after, beforeEach, test } from "node:test";
import { fakeModelHub } from "../../test/support/fake-hub.ts";
import { HubError, hubCacheFolder, hubCommit, isOffline } from "./hub.ts";
import { resolveModelDirectory } from "./hub-model.ts";

const root = mkdtempSync(join(tmpdir(), "preftune-hub-"));
const names = [
  ...["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_ENDPOINT"],
  ...["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH"],
  ...["HOME", "XDG_CACHE_HOME", "HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"],
];
const before = names.map((name) => [name, process.env[name]] as const);
const stored = join(root, "token");
writeFileSync(stored, "\nhf_stored\r\n", { mode: 0o600 });

beforeEach(() => set({}));
after(() => {
  set(Object.fromEntries(before));
  rmSync(root, { recursive: true });
});

/** Sets these variables, and none of the others. */
function set(values: Readonly<Record<string, string | undefined>>): void {
  for (const name of names) delete process.env[name];
  for (const [name, value] of Object.entries(values)) if (value !== undefined) process.env[name] = value;
}

/** What is sent for the commit of a model: address and token. */
async function sent(hubUrl?: string): Promise<{ url: string; token: string | null }[]> {
  const found: { url: string; token: string | null }[] = [];
  const ask: typeof fetch = async (input, init) => {
    const { url, headers } = new Request(input, init);
    found.push({ url, token: headers.get("authorization") });
    return Response.json({ _id: "1", id: "o/n", sha: "a".repeat(40) });
  };
  await hubCommit(
    { type: "model", name: "o/n" },
    { fetch: ask, ...(hubUrl === undefined ? {} : { hubUrl }) },
  );
  return found;
}

for (const [hub, transformers, expected] of [
  [undefined, undefined, false],
  ["1", undefined, true],
  ["on", undefined, true],
  ["Yes", undefined, true],
  ["TRUE", undefined, true],
  ["0", undefined, false],
  ["false", undefined, false],
  ["False", undefined, false],
  ["no", undefined, false],
  ["off", undefined, false],
  [undefined, "1", true],
  ["", "true", true],
  ["0", "1", false],
] as const) {
  test(`HF_HUB_OFFLINE ${hub}, TRANSFORMERS_OFFLINE ${transformers}: ${expected ? "offline" : "asks"}`, async () => {
    set({ HF_HUB_OFFLINE: hub, TRANSFORMERS_OFFLINE: transformers, HF_TOKEN_PATH: join(root, "none") });
    assert.equal(isOffline(), expected);
    if (!expected) return assert.equal((await sent()).length, 1);
    const said = hub ? `HF_HUB_OFFLINE is ${hub}` : `TRANSFORMERS_OFFLINE is ${transformers}`;
    await assert.rejects(sent(), (error) => error instanceof HubError && error.message.includes(said));
  });
}

test("HF_HUB_OFFLINE: a cached model serves, and nobody is asked", async () => {
  const hub = fakeModelHub("o/n", { ["a".repeat(40)]: { "config.json": "{}", "model.safetensors": "w" } });
  const search = { fetch: hub.fetch, hubUrl: "http://hub.invalid", cacheDirectory: join(root, "cache") };
  const directory = await resolveModelDirectory("o/n", search);
  set({ HF_HUB_OFFLINE: "1" });
  hub.requests.length = 0;
  assert.equal(await resolveModelDirectory("o/n", search), directory);
  await assert.rejects(resolveModelDirectory("o/other", search), /HF_HUB_OFFLINE is 1/);
  assert.deepEqual(hub.requests, []);
});

for (const [own, old, path, expected] of [
  ["hf_own", "hf_old", stored, "hf_own"],
  [" hf_own\r\n", undefined, stored, "hf_own"],
  ["", "hf_old", stored, "hf_old"],
  [undefined, "hf_old\n", stored, "hf_old"],
  ["", "", stored, "hf_stored"],
  [" ", "hf_old", stored, "hf_stored"],
  ["", undefined, join(root, "none"), null],
  ["a-hub-of-their-own", undefined, stored, "a-hub-of-their-own"],
] as const) {
  const given = JSON.stringify([own, old, path === stored ? "stored" : "none stored"]);
  test(`of the tokens ${given} ${expected} is sent`, async () => {
    set({ HF_TOKEN: own, HUGGING_FACE_HUB_TOKEN: old, HF_TOKEN_PATH: path });
    const [{ token } = {}] = await sent();
    assert.equal(token, expected === null ? null : `Bearer ${expected}`);
  });
}

for (const [endpoint, expected] of [
  [undefined, "https://huggingface.co"],
  ["", "https://huggingface.co"],
  ["https://hub.example", "https://hub.example"],
  ["https://hub.example/", "https://hub.example"],
  ["https://hub.example/mirror//", "https://hub.example/mirror"],
] as const) {
  test(`HF_ENDPOINT ${endpoint} asks ${expected}`, async () => {
    set({ HF_ENDPOINT: endpoint, HF_TOKEN: "token-of-another-hub" });
    const [{ url = "", token } = {}] = await sent();
    assert.equal(url.split("/api/")[0], expected);
    assert.equal(token, "Bearer token-of-another-hub");
  });
}

// what HF_HUB_CACHE of huggingface_hub 2.4 is under these variables
for (const [variables, expected] of [
  [{}, "/home/ann/.cache/huggingface/hub"],
  [{ XDG_CACHE_HOME: "$HOME/x" }, "/home/ann/x/huggingface/hub"],
  [{ HF_HOME: "~/hf" }, "/home/ann/hf/hub"],
  [{ HF_HOME: "~" }, "/home/ann/hub"],
  [{ HF_HOME: ["$", "{HOME}/hf"].join("") }, "/home/ann/hf/hub"],
  [{ HF_HOME: "$NOT_SET_BY_US/~hf" }, "$NOT_SET_BY_US/~hf/hub"],
  [{ HF_HOME: "~/hf", HUGGINGFACE_HUB_CACHE: "/data/old" }, "/data/old"],
  [{ HF_HUB_CACHE: "~/own", HUGGINGFACE_HUB_CACHE: "/data/old" }, "/home/ann/own"],
] as const) {
  test(`with ${JSON.stringify(variables)} the cache is ${expected}`, () => {
    set({ HOME: "/home/ann", ...variables });
    assert.equal(hubCacheFolder(), expected);
  });
}

for (const [name, value] of [
  ["HF_TOKEN_PATH", "~/token"],
  ["HF_HOME", "~"],
  ["HF_HOME", "$HOME"],
] as const) {
  test(`the stored token is found by ${name}=${value}`, async () => {
    set({ HOME: root, [name]: value });
    const [{ token } = {}] = await sent();
    assert.equal(token, "Bearer hf_stored");
  });
}
