/** A hub in the place of `fetch`: repositories as plain objects, faults on demand, every request remembered. */
import { createHash } from "node:crypto";

/** Files of a revision: content by path. */
export type HubFiles = Record<string, string | Uint8Array<ArrayBuffer>>;

/** What a fake hub answers. Change it between requests. */
export interface FakeHub {
  fetch: typeof fetch;
  /** Commit -> files. */
  commits: Record<string, HubFiles>;
  /** Branch or tag -> commit. */
  branches: Record<string, string>;
  /** Paths of the files whose content was sent, in order; emptied by the test as it likes. */
  sent: string[];
  /** All requests, by path. */
  requests: string[];
  /** Content sent in place of a file's own, by path. */
  lies: HubFiles;
  /** Paths at which the connection breaks. */
  breaks: Set<string>;
  /** Status of every answer; null: as it should be, 0: no network. */
  down: number | null;
}

/** A fake hub of the model repository `name`. Files that end in .safetensors lie in large-file storage. */
export function fakeModelHub(name: string, commits: Record<string, HubFiles>): FakeHub {
  const hub: FakeHub = {
    fetch: (async (input: string | URL | Request, init?: RequestInit) =>
      answer(hub, name, input instanceof Request ? input : new Request(input, init))) as typeof fetch,
    commits,
    branches: { main: Object.keys(commits)[0] ?? "" },
    sent: [],
    requests: [],
    lies: {},
    breaks: new Set(),
    down: null,
  };
  return hub;
}

function answer(hub: FakeHub, name: string, request: Request): Response {
  const path = decodeURIComponent(new URL(request.url).pathname);
  hub.requests.push(path);
  if (hub.down === 0) throw new TypeError("fetch failed", { cause: new Error("getaddrinfo ENOTFOUND") });
  if (hub.down !== null) return Response.json({ error: "set to fail" }, { status: hub.down });
  const [, revision] = path.split(`/api/models/${name}/revision/`);
  if (revision !== undefined) {
    const sha = hub.branches[revision];
    if (sha === undefined) return Response.json({ error: "Invalid rev id" }, { status: 404 });
    return Response.json({ _id: "1", id: name, sha });
  }
  const [, listed] = path.split(`/api/models/${name}/tree/`);
  if (listed !== undefined) return Response.json(Object.entries(hub.commits[listed] ?? {}).map(entryOf));
  const [, resolved = ""] = path.split(`/${name}/resolve/`);
  const [commit = "", ...parts] = resolved.split("/");
  const file = parts.join("/");
  const content = hub.lies[file] ?? hub.commits[commit]?.[file];
  if (content === undefined) return new Response("not found", { status: 404 });
  return contentOf(hub, file, content, request.headers.get("range"));
}

function entryOf([path, content]: [string, string | Uint8Array<ArrayBuffer>]): Record<string, unknown> {
  const size = Buffer.from(content).byteLength;
  const oid = createHash("sha1").update(`blob ${size}\0`).update(content).digest("hex");
  if (!path.endsWith(".safetensors")) return { type: "file", path, size, oid };
  const sha256 = createHash("sha256").update(content).digest("hex");
  return { type: "file", path, size, oid: "pointer", lfs: { oid: sha256, size, pointerSize: 100 } };
}

function contentOf(
  hub: FakeHub,
  file: string,
  content: string | Uint8Array<ArrayBuffer>,
  range: string | null,
): Response {
  const headers = { etag: '"e"', "content-range": `bytes 0-0/${Buffer.from(content).byteLength}` };
  if (range === "bytes=0-0") return new Response(content.slice(0, 1), { status: 206, headers });
  if (hub.breaks.has(file)) throw new TypeError("terminated", { cause: new Error("other side closed") });
  hub.sent.push(file);
  return new Response(content, { headers });
}
