/** Who the server lets in: every route and method without a key, foreign hosts, web pages of other origins, addresses without a key. */
import assert from "node:assert/strict";
import { METHODS, request } from "node:http";
import { connect } from "node:net";
import { after, before, test } from "node:test";
import { ConfigError } from "../../src/base/errors.ts";
import { scriptedEngine, startServer, type TestServer } from "../support/servers.ts";

let server: TestServer;
before(async () => {
  server = await startServer({ engine: scriptedEngine });
});
after(() => server[Symbol.asyncDispose]());

interface Asked {
  method: string;
  path: string;
  headers?: Record<string, string>;
  body?: string;
}

/** Sends a request as it is written, without what `fetch` would fix, and gives status and body. */
function ask({
  method,
  path,
  headers = {},
  body,
}: Asked): Promise<{ status: number; body: string; headers: NodeJS.Dict<string | string[]> }> {
  const { port } = new URL(server.url);
  return new Promise((resolve, reject) => {
    const sent = request({ host: "127.0.0.1", port, method, path, headers, agent: false }, (reply) => {
      let text = "";
      reply.setEncoding("utf8").on("data", (chunk: string) => {
        text += chunk;
      });
      reply.on("end", () => resolve({ status: reply.statusCode ?? 0, body: text, headers: reply.headers }));
    });
    sent.on("error", reject);
    sent.end(body);
  });
}

/** Paths of the routes as their 404 names them, so that a new one cannot be forgotten. */
async function knownPaths(): Promise<string[]> {
  const { body } = await ask({
    method: "GET",
    path: "/nothing",
    headers: { authorization: `Bearer ${server.key}` },
  });
  const [, list = ""] = /there are (.*)\.$/.exec(JSON.parse(body).error.message) ?? [];
  const paths = list.split(", ").map((path) => path.replace(":model{.+}", "tiny"));
  assert.ok(paths.length >= 6, list);
  return paths;
}

/** Other ways to write a path that a prefix check could miss. */
function formsOf(path: string): string[] {
  return [
    path,
    `/${path}`,
    `${path}/`,
    `/.${path}`,
    `/x/..${path}`,
    path.replace("/", "/%2f"),
    `${path};x`,
    `${path}?key=${server.key}`,
    path.toUpperCase(),
    `${path}%00`,
    `http://127.0.0.1${path}`,
  ];
}

test("without the key every method of every path is 401, but GET /health", async () => {
  const paths = [...(await knownPaths()), "/", "/v1", "/nothing", "/favicon.ico", "*"];
  // CONNECT makes no request; see the next test
  const methods = METHODS.filter((method) => method !== "CONNECT");
  const isHealth = (method: string, path: string) =>
    method === "GET" && /^(http:\/\/127\.0\.0\.1)?\/(x\/\.\.\/|\.\/)?health(\?.*)?$/.test(path);
  let refused = 0;
  for (const method of methods) {
    for (const path of method === "GET" || method === "POST" ? paths.flatMap(formsOf) : paths) {
      const { status, headers } = await ask({ method, path });
      if (isHealth(method, path)) assert.equal(status, 200, `${method} ${path}`);
      // a path that is none is refused before it is looked at
      else if (status === 400) assert.ok(!path.startsWith("/") || path.includes("*"), `${method} ${path}`);
      else {
        assert.equal(status, 401, `${method} ${path}`);
        assert.equal(headers["www-authenticate"], "Bearer");
        refused++;
      }
    }
  }
  assert.ok(refused > 200);
});

test("CONNECT gets no tunnel", async () => {
  const { port } = new URL(server.url);
  const heard = await new Promise<string>((resolve) => {
    let text = "";
    const socket = connect(Number(port), "127.0.0.1", () =>
      socket.write("CONNECT example.com:80 HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    );
    socket.on("data", (chunk) => {
      text += chunk.toString();
    });
    socket.on("error", () => {});
    socket.on("close", () => resolve(text));
  });
  assert.doesNotMatch(heard, /^HTTP\/1.1 200/);
});

test("a wrong key, another scheme and an empty key are refused; the key is let in", async () => {
  const wrong = [
    "Bearer wrong-key",
    `Basic ${server.key}`,
    "Bearer",
    "Bearer ",
    `Bearer ${server.key}x`,
    server.key,
    `Bearer ${server.key} x`,
    `Bearer ${"x".repeat(7000)}`,
  ];
  for (const authorization of wrong) {
    const { status, body } = await ask({ method: "GET", path: "/v1/models", headers: { authorization } });
    assert.equal(status, 401, authorization.slice(0, 40));
    assert.equal(JSON.parse(body).error.code, "invalid_api_key");
  }
  for (const authorization of [`Bearer ${server.key}`, `bearer ${server.key}`]) {
    assert.equal((await ask({ method: "GET", path: "/v1/models", headers: { authorization } })).status, 200);
  }
});

test("a known path with another method is 405 and says which; an unknown path is 404 and says which there are", async () => {
  const headers = { authorization: `Bearer ${server.key}` };
  const wrong = await ask({ method: "DELETE", path: "/v1/chat/completions", headers });
  assert.equal(wrong.status, 405);
  assert.equal(wrong.headers["allow"], "POST");
  const unknown = await ask({ method: "GET", path: "/v1/embeddings", headers });
  assert.equal(unknown.status, 404);
  assert.match(JSON.parse(unknown.body).error.message, /\/v1\/chat\/completions/);
});

test("a Host header with another name is refused, with and without the key: DNS rebinding", async () => {
  for (const host of [
    "evil.example",
    "evil.example:80",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "10.0.0.1",
    "[::2]",
    "0.0.0.0",
  ]) {
    for (const path of ["/health", "/v1/models"]) {
      for (const method of ["GET", "POST", "DELETE", "OPTIONS", "HEAD"]) {
        const headers = { host, authorization: `Bearer ${server.key}` };
        assert.equal((await ask({ method, path, headers })).status, 403, `${method} ${path} at ${host}`);
      }
    }
  }
  for (const host of ["localhost", "LOCALHOST:1234", "127.0.0.1:9", "127.1.2.3", "[::1]:80"]) {
    assert.equal((await ask({ method: "GET", path: "/health", headers: { host } })).status, 200, host);
  }
});

test("no CORS headers unless an origin is allowed; then for that origin alone", async () => {
  const origin = "https://page.example";
  const asked = {
    method: "GET",
    path: "/v1/models",
    headers: { origin, authorization: `Bearer ${server.key}` },
  };
  assert.equal((await ask(asked)).headers["access-control-allow-origin"], undefined);
  const closed = await fetch(`${server.url}/v1/chat/completions`, {
    method: "OPTIONS",
    headers: { origin, "access-control-request-method": "POST" },
  });
  assert.equal(closed.status, 403);
  assert.match(
    await closed.text(),
    /"Web pages of this origin may not ask\. Start the server with --allow-origin/,
  );
  await using open = await startServer({ engine: scriptedEngine, origins: [origin], awaitReady: false });
  const allowed = await open.fetch("/v1/models", { headers: { origin } });
  assert.equal(allowed.headers.get("access-control-allow-origin"), origin);
  const other = await open.fetch("/v1/models", { headers: { origin: "https://other.example" } });
  assert.equal(other.headers.get("access-control-allow-origin"), null);
  const extension = "chrome-extension://abcdefgh";
  await using app = await startServer({ engine: scriptedEngine, origins: [extension], awaitReady: false });
  const ofApp = (await app.fetch("/v1/models", { headers: { origin: extension } })).headers;
  assert.equal(ofApp.get("access-control-allow-origin"), extension);
  const fromFile = await app.fetch("/v1/models", { headers: { origin: "null" } });
  assert.match(await fromFile.text(), /Its origin is null, as that of a page opened from a file/);
  const preflight = (from: string) =>
    fetch(`${open.url}/v1/chat/completions`, {
      method: "OPTIONS",
      headers: {
        origin: from,
        "access-control-request-method": "POST",
        // what OpenAI's client sends besides
        "access-control-request-headers": "authorization,x-stainless-lang,x-stainless-retry-count",
      },
    });
  const granted = (await preflight(origin)).headers;
  assert.equal(granted.get("access-control-allow-origin"), origin);
  assert.match(granted.get("access-control-allow-headers") ?? "", /x-stainless-retry-count/);
  assert.match(allowed.headers.get("access-control-expose-headers") ?? "", /Retry-After/);
  assert.equal((await preflight("https://other.example")).headers.get("access-control-allow-origin"), null);
  const withoutKey = await fetch(`${open.url}/v1/models`, { headers: { origin } });
  assert.equal(withoutKey.status, 401);
});

test("another address than loopback needs a key of the user's; loopback makes a random one for each start", async () => {
  for (const host of ["0.0.0.0", "::", "192.0.2.1", "example.com"]) {
    await assert.rejects(startServer({ host, key: null, engine: scriptedEngine }), (error: Error) => {
      assert.ok(error instanceof ConfigError);
      assert.match(error.message, /PREFTUNE_API_KEY/);
      return true;
    });
  }
  await using one = await startServer({ key: null, engine: scriptedEngine, awaitReady: false });
  await using two = await startServer({ key: null, engine: scriptedEngine, awaitReady: false });
  assert.match(one.key, /^[\w-]{32}$/);
  assert.notEqual(one.key, two.key);
  assert.equal((await one.fetch("/v1/models")).status, 200);
  assert.equal(
    (await one.fetch("/v1/models", { headers: { authorization: `Bearer ${two.key}` } })).status,
    401,
  );
});

test("what cannot be listened on, or let in, is reported before the model is loaded", async () => {
  const port = Number(new URL(server.url).port);
  const engine = scriptedEngine;
  await assert.rejects(startServer({ engine, port }), /another program listens there/);
  await assert.rejects(startServer({ engine, port: 70_000 }), /expected a whole number from 0 to 65535/);
  await assert.rejects(startServer({ engine, key: "two words" }), /without spaces/);
  await assert.rejects(startServer({ engine, key: "" }), /without spaces/);
  for (const origin of [
    ...["*", "page.example", "https://page.example/", "https://page.example/path"],
    ...["null", "file:///page.html", "app://obsidian.md/", "data:text/html,x"],
  ]) {
    await assert.rejects(startServer({ engine, origins: [origin] }), /--allow-origin: expected an origin/);
  }
});
