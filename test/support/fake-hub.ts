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

/** What a request to a hub that takes files meets: a status, "cut" before it is done, or "lost" after; null: nothing. */
export type HubFault = number | "cut" | "lost" | null;

/** A hub that takes files: one repository, which need not be there yet. */
export interface FakePushHub extends FakeHub {
  /** Null: there is none. */
  repo: { isPublic: boolean } | null;
  /** A new repository is public whatever was asked for, as an owner's settings may have it. */
  makesPublic: boolean;
  /** Large files that have arrived, by SHA-256, in the order in which they did. */
  stored: Map<string, Uint8Array<ArrayBuffer>>;
  /** Bodies of all requests, and their headers. */
  bodies: string[];
  authorizations: Set<string | null>;
  /** Called before each request. */
  fault: (method: string, path: string) => HubFault;
}

/** A fake hub that takes files for the model repository `name`. */
export function fakePushHub(name: string): FakePushHub {
  const hub: FakePushHub = {
    ...fakeModelHub(name, {}),
    repo: null,
    makesPublic: false,
    stored: new Map(),
    bodies: [],
    authorizations: new Set(),
    fault: () => null,
  };
  hub.fetch = (async (input: string | URL | Request, init?: RequestInit) => {
    const request = input instanceof Request ? input : new Request(input, init);
    const path = decodeURIComponent(new URL(request.url).pathname);
    const fault = hub.fault(request.method, path);
    hub.authorizations.add(request.headers.get("authorization"));
    if (fault === "cut") throw new TypeError("fetch failed", { cause: new Error("other side closed") });
    if (typeof fault === "number") {
      return Response.json({ error: `status ${fault}` }, { status: fault, headers: { "retry-after": "1" } });
    }
    const done = await take(hub, name, request, path);
    if (fault === "lost") throw new TypeError("fetch failed", { cause: new Error("other side closed") });
    return done;
  }) as typeof fetch;
  return hub;
}

async function take(hub: FakePushHub, name: string, request: Request, path: string): Promise<Response> {
  if (request.method === "PUT") {
    hub.requests.push(path);
    const bytes = new Uint8Array(await request.arrayBuffer());
    hub.stored.set(createHash("sha256").update(bytes).digest("hex"), bytes);
    return new Response();
  }
  const missing = Response.json({ error: "Repository not found" }, { status: 404 });
  if (request.method === "GET") {
    const isOurs = path.startsWith(`/api/models/${name}/`) || path.startsWith(`/${name}/`);
    if (hub.repo === null || !isOurs) return missing;
    const { isPublic } = hub.repo;
    const answered = answer(hub, name, request);
    if (!path.includes("/revision/")) return answered;
    return Response.json({ ...((await answered.json()) as object), private: !isPublic });
  }
  hub.requests.push(path);
  const body = await request.text();
  hub.bodies.push(body);
  if (path === "/api/repos/create") return create(hub, JSON.parse(body));
  if (hub.repo === null) return missing;
  if (path.includes("/preupload/")) {
    const { files } = JSON.parse(body) as { files: { path: string }[] };
    const modeOf = (file: string): string => (file.endsWith(".safetensors") ? "lfs" : "regular");
    return Response.json({ files: files.map((file) => ({ ...file, uploadMode: modeOf(file.path) })) });
  }
  if (path.endsWith("/info/lfs/objects/batch")) {
    const { objects } = JSON.parse(body) as { objects: { oid: string }[] };
    const upload = { href: `http://hub.invalid/store` };
    const wanted = objects.map((one) => (hub.stored.has(one.oid) ? one : { ...one, actions: { upload } }));
    return Response.json({ transfer: "basic", objects: wanted });
  }
  return commit(hub, body);
}

function create(hub: FakePushHub, asked: { visibility?: string }): Response {
  if (hub.repo !== null) return Response.json({ error: "You already created this repo" }, { status: 409 });
  hub.repo = { isPublic: hub.makesPublic || asked.visibility !== "private" };
  const first = createHash("sha1").update("first").digest("hex");
  hub.commits[first] = { ".gitattributes": "*.safetensors filter=lfs" };
  hub.branches["main"] = first;
  return Response.json({ url: "http://hub.invalid/o/n", id: "1" });
}

function commit(hub: FakePushHub, body: string): Response {
  const head = hub.branches["main"] ?? "";
  const files = { ...hub.commits[head] };
  for (const line of body.split("\n")) {
    const { key, value } = JSON.parse(line) as { key: string; value: Record<string, string> };
    const { path = "", content = "", oid = "", parentCommit } = value;
    if (key === "header" && parentCommit !== head)
      return Response.json({ error: "A commit has happened since" }, { status: 412 });
    if (key === "file") files[path] = new Uint8Array(Buffer.from(content, "base64"));
    else if (key === "deletedFile") delete files[path];
    else if (key === "lfsFile") {
      const bytes = hub.stored.get(oid);
      if (bytes === undefined) return Response.json({ error: `no object ${oid}` }, { status: 400 });
      files[path] = bytes;
    }
  }
  const id = createHash("sha1").update(`${head}${body}`).digest("hex");
  hub.commits[id] = files;
  hub.branches["main"] = id;
  return Response.json({ commitOid: id, commitUrl: "http://hub.invalid/c", hookOutput: "" });
}
