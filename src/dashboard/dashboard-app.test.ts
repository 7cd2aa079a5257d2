/** Who may ask what: every route of the router's own list, in every way. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync } from "node:fs";
import { get, type IncomingMessage } from "node:http";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { type Question, serveDashboard, withDashboardApp, writeRun } from "../../test/support/dashboards.ts";
import { scratch } from "../../test/support/scratch.ts";
import type { Dashboard } from "./dashboard.ts";
import type { Route } from "./route.ts";
import { idOf } from "./run-store.ts";
import type { Role } from "./sessions.ts";

const methods = ["GET", "POST", "PUT", "PATCH", "DELETE"];
const roles: readonly Role[] = ["owner", "labeller", "viewer"];

/** A path with its parameters filled in. */
const filled = (path: string, run: string): string => path.replace(":run", run).replace(/:\w+/g, "none");

/** Ways to ask that are refused whoever is logged in. */
const foreign: Readonly<Record<string, Question["headers"]>> = {
  "foreign Host": { host: "evil.example" },
  "foreign Host with our port": { host: "evil.example:8720" },
  "foreign Origin": { origin: "http://evil.example" },
  "Origin null": { origin: "null" },
  "another port of this machine": { origin: "http://127.0.0.1:9999" },
  "cross-site": { "sec-fetch-site": "cross-site" },
  "same site, other origin": { "sec-fetch-site": "same-site" },
};

/** The status of an answer, whose stream is not waited for. */
async function statusOf(asked: Promise<Response>): Promise<number> {
  const answer = await asked;
  await answer.body?.cancel();
  return answer.status;
}

/** Every way to ask for the paths of the routes: whatever method, whoever asks. */
function waysToAsk(routes: readonly Route[]): { path: string; method: string; as: Role | undefined }[] {
  const paths = [...new Set(routes.map(({ path }) => path))];
  return paths.flatMap((path) =>
    methods.flatMap((method) => [undefined, ...roles].map((as) => ({ path, method, as }))),
  );
}

test("every route × method × who: only those it names are let in", async () => {
  await withDashboardApp(async ({ root, routes, ask }) => {
    const run = idOf(realpathSync(writeRun(root, "a")));
    assert.ok(routes.length > 8);
    for (const { path, method, as } of waysToAsk(routes)) {
      const route = routes.find((one) => one.path === path && one.method === method);
      const body = method === "GET" ? {} : { body: {} };
      const status = await statusOf(ask(filled(path, run), { method, ...(as && { as }), ...body }));
      const what = `${method} ${path} as ${as ?? "nobody"}`;
      if (route === undefined) assert.equal(status, 405, what);
      else requireStatus(route, as, status, what);
    }
  });
});

test("every route × method, asked by another site or another name by who may do all: refused", async () => {
  await withDashboardApp(async ({ root, routes, ask }) => {
    const run = idOf(realpathSync(writeRun(root, "a")));
    const asked = waysToAsk(routes)
      .filter(({ as }) => as === "owner")
      .flatMap((one) => Object.entries(foreign).map(([way, headers = {}]) => ({ ...one, way, headers })));
    for (const { path, method, way, headers } of asked) {
      const body = method === "GET" ? {} : { body: {} };
      const status = await statusOf(ask(filled(path, run), { method, as: "owner", headers, ...body }));
      // a file holds nothing of anybody, and other sites cannot read it
      const isFile = !path.startsWith("/api/") && headers["host"] === undefined;
      const ofFile = method === "GET" ? 200 : 405;
      assert.equal(status, isFile ? ofFile : 403, `${method} ${path}, ${way}`);
    }
  });
});

function requireStatus({ roles: mayAsk }: Route, as: Role | undefined, status: number, what: string): void {
  if (mayAsk === "anyone") assert.ok(status < 500 && status !== 403 && status !== 405, `${what}: ${status}`);
  else if (as === undefined) assert.equal(status, 401, what);
  else if (!mayAsk.includes(as)) assert.equal(status, 403, what);
  // the question is empty: what counts is that it reached its route
  else assert.ok([200, 201, 400, 404, 409, 422].includes(status), `${what}: ${status}`);
}

/** The answer to a request for the page under the name `host`. */
async function askedAs(port: string, host: string): Promise<{ status: number | undefined; body: string }> {
  const asking = get({ host: "127.0.0.1", port, headers: { host } });
  const [answer] = (await once(asking, "response")) as [IncomingMessage];
  return { status: answer.statusCode, body: await text(answer) };
}

test("the link of a dashboard that listens for other machines has a name that it answers to", async () => {
  const dir = mkdtempSync(join(scratch(), "preftune-link-"));
  const { dashboard } = await serveDashboard(dir, { host: "0.0.0.0", allowedHosts: ["lab.example", "b"] });
  try {
    const { host, hostname, port } = new URL(dashboard.link());
    assert.equal(hostname, "lab.example");
    assert.equal((await askedAs(port, host)).status, 200);
    const refused = await askedAs(port, `0.0.0.0:${port}`);
    assert.equal(refused.status, 403);
    assert.match(
      refused.body,
      /This server is asked by the names localhost, 127\.0\.0\.1, \[::1\], lab\.example, b only: use one of them\./,
    );
  } finally {
    await dashboard.close();
    rmSync(dir, { recursive: true, force: true });
  }
});

test("names of this machine and of the proxy are let in, with and without a port", async () => {
  await withDashboardApp(async ({ ask }) => {
    for (const host of ["localhost", "127.0.0.1:1", "[::1]:8720", "proxy.example", "Proxy.Example:443"]) {
      assert.equal((await ask("/", { headers: { host } })).status, 200, host);
    }
    const headers = { host: "proxy.example", origin: "https://proxy.example" };
    assert.equal((await ask("/api/runs", { as: "viewer", headers })).status, 200);
  });
});

test("a token works once, and its session until it is ended", async () => {
  await withDashboardApp(async ({ context, ask }) => {
    const token = context.sessions.link({ role: "viewer", name: "Ada" });
    const first = await ask("/api/session", { method: "POST", body: { token } });
    const { empty, ...who } = (await first.json()) as { empty: Record<string, string> };
    assert.deepEqual(who, { role: "viewer", name: "Ada", readOnly: null });
    assert.match(empty["pairs"] ?? "", /preftune labels import WORKBENCH FILE/);
    const cookie = first.headers.get("set-cookie") ?? "";
    assert.match(cookie, /^preftune-0=[\w-]{43}; Path=\/; HttpOnly; SameSite=Strict$/);
    const headers = { cookie: cookie.split(";")[0] ?? "" };
    assert.equal((await ask("/api/session", { headers })).status, 200);
    assert.equal((await ask("/api/session", { method: "POST", body: { token } })).status, 401);
    assert.equal((await ask("/api/session", { method: "DELETE", headers })).status, 200);
    assert.equal((await ask("/api/session", { headers })).status, 401);
    assert.equal((await ask("/api/session", { headers: { cookie: "preftune-0=" } })).status, 401);
  });
});

test("a start of the dashboard ends the sessions and links of the one before, on the same port", async () => {
  const root = mkdtempSync(join(scratch(), "preftune-again-"));
  // a connection that was kept would be one to the dashboard before
  const connection = "close";
  const login = async (link: string): Promise<{ status: number; cookie: string }> => {
    const [url = "", token = ""] = link.split("/#token=");
    const headers = { "content-type": "application/json", connection };
    const answer = await fetch(`${url}/api/session`, {
      method: "POST",
      headers,
      body: JSON.stringify({ token }),
    });
    return { status: answer.status, cookie: answer.headers.get("set-cookie")?.split(";")[0] ?? "" };
  };
  const runsAs = async (link: string, cookie: string): Promise<number> =>
    (await fetch(new URL("/api/runs", link), { headers: { cookie, connection } })).status;
  let running: Dashboard | null = null;
  try {
    const { dashboard: first } = await serveDashboard(root);
    running = first;
    const [used, unused] = [first.link(), first.link()];
    const { cookie } = await login(used);
    assert.equal(await runsAs(used, cookie), 200);
    await first.close();
    running = null;
    const { dashboard: second } = await serveDashboard(root, { port: Number(new URL(used).port) });
    running = second;
    assert.equal(await runsAs(used, cookie), 401);
    assert.equal((await login(unused)).status, 401);
    assert.equal((await login(second.link())).status, 200);
  } finally {
    await running?.close();
    rmSync(root, { recursive: true, force: true });
  }
});

test("where nothing is yet, a command fills it; its folders are told to the owner alone", async () => {
  await withDashboardApp(async ({ root, ask }) => {
    for (const as of roles) {
      const { empty } = (await (await ask("/api/session", { as })).json()) as {
        empty: Record<string, string>;
      };
      for (const [what, text] of Object.entries(empty)) {
        assert.match(text, /`preftune \w/, what);
        assert.equal(
          /runs|unjudged/.test(what) && text.includes(root),
          as === "owner" && /runs|unjudged/.test(what),
          `${what} as ${as}`,
        );
      }
    }
  });
});

test("every answer says what a page may load, files and refusals too", async () => {
  await withDashboardApp(async ({ ask }) => {
    for (const path of ["/", "/page.js", "/screen-AB12.js", "/api/runs", "/nothing", "/api/nothing"]) {
      const { headers } = await ask(path);
      assert.match(headers.get("content-security-policy") ?? "", /^default-src 'none'; script-src 'self';/);
      assert.match(headers.get("content-security-policy") ?? "", /frame-ancestors 'none'/);
      assert.equal(headers.get("x-content-type-options"), "nosniff");
      assert.equal(headers.get("referrer-policy"), "no-referrer");
      if (path.endsWith(".js")) assert.equal(headers.get("content-type"), "text/javascript; charset=utf-8");
    }
  });
});

test("runs are named by ids: no path reaches anything, nor does a link out of the given directory", async () => {
  await withDashboardApp(async ({ root, ask }) => {
    mkdirSync(join(root, "given"));
    writeRun(root, "a");
    const elsewhere = writeRun(mkdirSync(join(root, ".hidden"), { recursive: true }) ?? root, "secret");
    symlinkSync(elsewhere, join(root, "link"));
    const { runs } = (await (await ask("/api/runs", { as: "owner" })).json()) as {
      runs: { folder: string }[];
    };
    assert.deepEqual(
      runs.map(({ folder }) => folder),
      ["a"],
    );
    const escapes = ["..", "%2e%2e", "a", "..%2fa", "%2fetc%2fpasswd", "a%00", idOf(elsewhere)];
    for (const id of escapes) {
      const answer = await ask(`/api/runs/${id}/curves`, { as: "owner" });
      assert.equal(answer.status, 404, id);
      assert.ok(!(await answer.text()).includes(root), id);
    }
  });
});

test("a body has to be JSON of the form that is asked for, and not too long", async () => {
  await withDashboardApp(async ({ ask }) => {
    const post = (headers: Record<string, string>, body: unknown) =>
      ask("/api/session", { method: "POST", headers, body });
    assert.equal((await post({ "content-type": "text/plain" }, {})).status, 415);
    const wrong = await post({}, { token: 1, more: 2 });
    assert.equal(wrong.status, 422);
    assert.match(
      ((await wrong.json()) as { error: string }).error,
      /Unrecognized key: "more"[\s\S]*expected string/,
    );
    assert.equal((await post({ "content-length": "2000000" }, "x".repeat(2_000_000))).status, 413);
  });
});

test("what is started is answered without paths and processes of this machine", async () => {
  await withDashboardApp(async ({ root, ask, faults }) => {
    const values = { model_name_or_path: "m", train_data: "t.jsonl", output_dir: join(root, "new") };
    const draft = await ask("/api/drafts", { method: "POST", as: "owner", body: { values } });
    const { id } = (await draft.json()) as { id: string };
    const started = await ask(`/api/drafts/${id}/start`, { method: "POST", as: "owner", body: {} });
    const text = await started.text();
    assert.equal(started.status, 200, text);
    assert.ok(!text.includes(root) && !/"(pid|argv|process)"/.test(text), text);
    assert.deepEqual(faults, []);
  });
});
