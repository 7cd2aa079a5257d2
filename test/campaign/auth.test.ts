/**
 * Who is let in, by enumeration: every route of the router, every method, every way to write a path, without the key and from
 * web pages that may not ask.
 */
import assert from "node:assert/strict";
import { METHODS } from "node:http";
import { connect } from "node:net";
import { test } from "node:test";
import { pageHtml } from "../../src/report/html.ts";
import { keyOf } from "../../src/serve/serve-options.ts";
import { amount, figure, isNightly, progress } from "../support/campaign.ts";
import { type App, appKey, withServedApp } from "../support/served-app.ts";

/** Paths of the router itself, so that a new route is asked like the others; and some that it does not have. */
function pathsOf(app: App): string[] {
  const routed = app.routes.map(({ path }) => path.replace(/:\w+\{.*\}/, "tiny").replace("/*", "/anything"));
  return [...new Set([...routed, "/", "/v1", "/docs", "/favicon.ico", "/invocations"])];
}

/** Other ways to write a path, with which guards that look at paths have been passed. */
function formsOf(path: string): string[] {
  const inner = path.slice(1);
  return [
    ...[
      path,
      `/${path}`,
      `//${path}`,
      `${path}/`,
      `/.${path}`,
      `/x/..${path}`,
      `/%2e${path}`,
      `/health/..${path}`,
    ],
    ...[
      `/%2f${inner}`,
      `/${inner.replaceAll("/", "%2f")}`,
      `/%5c${inner}`,
      `/${inner.replaceAll("/", "%5C")}`,
    ],
    ...[
      `${path};x`,
      `/health;${path}`,
      `${path}?key=${appKey}`,
      `${path}?/health`,
      `${path}#/health`,
      path.toUpperCase(),
    ],
    ...[
      `${path}%00`,
      `${path}%0d%0aX: y`.replace(" ", "%20"),
      `${path}%252f`,
      `/%68ealth${path}`,
      `${path}/%2e%2e/health`,
    ],
    ...[`http://127.0.0.1${path}`, `http://evil.example${path}`, `https://localhost:1${path}`],
  ];
}

/** Headers with which servers have been talked into another path, method or protocol. */
const disguises: readonly (readonly string[])[] = [
  [],
  ["X-Original-URL: /health", "X-Rewrite-URL: /health"],
  ["X-HTTP-Method-Override: GET", "X-Forwarded-For: 127.0.0.1", "X-Forwarded-Host: localhost"],
  [
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
    "Sec-WebSocket-Version: 13",
  ],
  ["Expect: 100-continue", "Content-Length: 0"],
  ["Transfer-Encoding: chunked"],
  [
    `Cookie: key=${appKey}; token=${appKey}`,
    `X-Api-Key: ${appKey}`,
    `Api-Key: ${appKey}`,
    `Proxy-Authorization: Bearer ${appKey}`,
  ],
  [`Authorization: Basic ${Buffer.from(`:${appKey}`).toString("base64")}`],
  [`Authorization: Bearer ${appKey.slice(0, -1)}`],
  [`Authorization: Bearer ${appKey.toUpperCase()}`],
  [`Authorization: Bearer  `],
  [`Authorization: Bearer ${"x".repeat(8000)}`],
];

/** Replies to one request, written byte for byte: the last status, and all of it. */
function ask(port: number, lines: readonly string[], body = ""): Promise<{ status: number; text: string }> {
  return new Promise((resolve) => {
    let text = "";
    const socket = connect(port, "127.0.0.1", () =>
      socket.write(`${lines.join("\r\n")}\r\n\r\n${body}`, "latin1"),
    );
    socket.setEncoding("latin1").on("data", (part: string) => {
      text += part;
    });
    socket.on("error", () => {});
    socket.on("close", () => {
      const statuses = [...text.matchAll(/^HTTP\/1\.1 (\d{3}) /gm)].map(([, status]) => Number(status));
      resolve({ status: statuses.findLast((status) => status !== 100) ?? 0, text });
    });
  });
}

/** Whether a path as it is written is that of the open route, by the rules of URLs. */
function isHealth(path: string): boolean {
  return URL.parse(path.startsWith("/") ? `http://localhost${path}` : path)?.pathname === "/health";
}

interface Counts {
  asked: number;
  unauthorised: number;
  /** Not HTTP as the server reads it: refused before there is a request. */
  malformed: number;
  open: number;
  wrong: string[];
}

/** One way to ask without the key. */
interface Attempt {
  method: string;
  form: string;
  headers: readonly string[];
  version: string;
}

/** Ways to ask for `path` with a method: in `npm test` the two everyday methods in every form, the others in one. */
function attemptsOf(path: string, method: string): Attempt[] {
  const isAll = isNightly || method === "GET" || method === "POST";
  if (!isAll) return [{ method, form: path, headers: [], version: "1.1" }];
  return formsOf(path).flatMap((form, i) => {
    const dressed = isNightly || i === 0 ? disguises : disguises.slice(0, 1);
    return dressed.map((headers) => ({ method, form, headers, version: i % 5 === 4 ? "1.0" : "1.1" }));
  });
}

/** Asks, and counts what became of it. */
async function attempt(
  { method, form, headers, version }: Attempt,
  port: number,
  counts: Counts,
): Promise<void> {
  const lines = [`${method} ${form} HTTP/${version}`, "Host: localhost", "Connection: close", ...headers];
  const body = headers[0]?.startsWith("Transfer") === true ? "0\r\n\r\n" : "";
  const { status, text } = await ask(port, lines, body);
  counts.asked++;
  if (status === 401 && /^www-authenticate: bearer/im.test(text)) counts.unauthorised++;
  else if (method === "GET" && status === 200 && isHealth(form)) counts.open++;
  else if (status === 400) counts.malformed++;
  else counts.wrong.push(`${status}: ${lines[0]} ${headers.join(", ").slice(0, 60)}`);
}

/** Asks each of `requests`, a few at a time. */
async function askAll(requests: readonly (() => Promise<void>)[]): Promise<void> {
  let next = 0;
  const tell = progress();
  const worker = async (): Promise<void> => {
    for (let i = next++; i < requests.length; i = next++) {
      await requests[i]?.();
      if (isNightly) tell(() => `${i} of ${requests.length} requests`);
    }
  };
  await Promise.all(Array.from({ length: 8 }, worker));
}

test("without the key every method of every route, however its path is written, is 401; GET /health is open", async () => {
  await withServedApp({}, async ({ app, listen }) => {
    const server = await listen();
    const port = Number(new URL(server.url).port);
    const counts: Counts = { asked: 0, unauthorised: 0, malformed: 0, open: 0, wrong: [] };
    const methods = METHODS.filter((method) => method !== "CONNECT");
    const attempts = pathsOf(app).flatMap((path) => methods.flatMap((method) => attemptsOf(path, method)));
    await askAll(attempts.map((each) => () => attempt(each, port, counts)));
    const tunnel = await ask(port, ["CONNECT localhost:80 HTTP/1.1", "Host: localhost"]);
    if (tunnel.status === 200) counts.wrong.push("CONNECT");
    await server.close(100);
    const { asked, unauthorised, malformed, open, wrong } = counts;
    assert.ok(open > 0 && unauthorised > asked / 2);
    figure(
      20,
      "Routes of the router × methods × ways to write a path and to disguise it, without the key",
      `${asked} requests: ${unauthorised} are 401, ${malformed} no HTTP (400), ${open} GET /health, ${wrong.length} let in${wrong.slice(0, 3).map((line) => `\n${line}`)}`,
      "401 for all but GET /health, none of them no HTTP",
      wrong.length === 0 && malformed === 0,
    );
  });
});

/** What a browser sends for a page that may not ask, and a rebound name. */
const foreign: readonly (readonly string[])[] = [
  ["Host: evil.example"],
  ["Host: localhost.evil.example:80"],
  ["Host: 10.0.0.7"],
  ["Host: localhost", "Origin: https://evil.example"],
  ["Host: localhost", "Origin: null"],
  ["Host: localhost", "Origin: http://localhost:3000", "Sec-Fetch-Site: same-site"],
  ["Host: localhost", "Origin: http://127.0.0.1.evil.example"],
  ["Host: localhost", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors"],
  ["Host: localhost", "Sec-Fetch-Site: same-site"],
  ["Host: localhost", "Origin: https://evil.example", "Access-Control-Request-Method: POST"],
];

test("a rebound name, a page of another origin, a form of text/plain and a stream are 403 with every method, with the key and without", async () => {
  await withServedApp({}, async ({ app, listen }) => {
    const server = await listen();
    const port = Number(new URL(server.url).port);
    const content = JSON.stringify({
      model: "tiny",
      messages: [{ role: "user", content: "hi" }],
      stream: true,
    });
    const wrong: string[] = [];
    let asked = 0;
    const methods = METHODS.filter((method) => method !== "CONNECT").filter(
      (method) => isNightly || ["GET", "POST", "DELETE", "OPTIONS"].includes(method),
    );
    const requests = pathsOf(app).flatMap((path) =>
      methods.flatMap((method) =>
        foreign.flatMap((headers) =>
          ["application/json", "text/plain"].slice(0, amount(1, 2)).flatMap((type) =>
            [[], [`Authorization: Bearer ${appKey}`]].map((key) => async () => {
              const sized = [`Content-Type: ${type}`, `Content-Length: ${content.length}`];
              const lines = [`${method} ${path} HTTP/1.1`, "Connection: close", ...headers, ...sized, ...key];
              const { status, text } = await ask(port, lines, content);
              asked++;
              if (status !== 403 || /^access-control-allow/im.test(text) || text.includes("event-stream"))
                wrong.push(`${status}: ${lines.join(", ")}`);
            }),
          ),
        ),
      ),
    );
    await askAll(requests);
    // the same without what makes it foreign
    const own = [
      "POST /v1/chat/completions HTTP/1.1",
      "Host: localhost",
      "Connection: close",
      "Sec-Fetch-Site: none",
    ];
    const json = [
      `Authorization: Bearer ${appKey}`,
      "Content-Type: application/json",
      `Content-Length: ${content.length}`,
    ];
    assert.match((await ask(port, [...own, ...json], content)).text, /^HTTP\/1\.1 200 .*event-stream/is);
    await server.close(100);
    figure(
      21,
      "Foreign Host, Origin, Sec-Fetch-Site, JSON as text/plain, streams × every route and method, with the key and without",
      `${asked} requests: ${asked - wrong.length} are 403, ${wrong.length} others${wrong.slice(0, 3).map((line) => `\n${line}`)}`,
      "403 for all, no Access-Control-Allow-Origin",
      wrong.length === 0,
      "JSON as text/plain without a foreign header is refused with 415 (first goal: 403), since that says what is wrong with it",
    );
  });
});

test("an origin that is allowed gets headers for itself, and no one a star; JSON as text/plain is refused with the key as well", async () => {
  const origin = "https://page.example";
  await withServedApp({ origins: [origin] }, async ({ app }) => {
    const headers = { host: "localhost", authorization: `Bearer ${appKey}` };
    const stars: string[] = [];
    for (const path of pathsOf(app)) {
      for (const method of ["GET", "POST", "OPTIONS", "DELETE"]) {
        const reply = await app.request(path, { method, headers: { ...headers, origin } });
        if (reply.headers.get("access-control-allow-origin") !== origin) stars.push(`${method} ${path}`);
        const other = await app.request(path, {
          method,
          headers: { ...headers, origin: "https://other.example" },
        });
        if (other.status !== 403 || other.headers.has("access-control-allow-origin"))
          stars.push(`${method} ${path}`);
      }
    }
    assert.deepEqual(stars, []);
    const body = JSON.stringify({ model: "tiny", prompt: "hi" });
    const type = "text/plain";
    const plain = await app.request("/v1/completions", {
      method: "POST",
      body,
      headers: { ...headers, "content-type": type },
    });
    assert.equal(plain.status, 415);
  });
});

test("keys are made for loopback alone, each another; pages that are written run no script", () => {
  const keys = new Set(Array.from({ length: 1000 }, () => keyOf({ key: null, host: "127.0.0.1" })));
  const open = [
    "0.0.0.0",
    "::",
    "::ffff:127.0.0.1",
    "0",
    "192.168.0.1",
    "example.com",
    "localhost.example.com",
    "",
  ];
  for (const host of open) assert.throws(() => keyOf({ key: null, host }), /needs a key of yours/, host);
  const page = pageHtml("title", []);
  const [, written = ""] = /Content-Security-Policy" content="([^"]*)"/.exec(page) ?? [];
  const policy = written.replaceAll("&#39;", "'");
  const isStrict =
    policy.startsWith("default-src 'none'") &&
    !policy.includes("script-src") &&
    !/<script|\son\w+=/i.test(page);
  figure(
    21,
    "Random keys on loopback; other addresses without a key; the policy of HTML that is written",
    `${keys.size} of 1000 keys differ, ${open.length} of ${open.length} addresses refused, scripts ${isStrict ? "forbidden" : "allowed"}`,
    "1000 differ, all refused, no script",
    keys.size === 1000 && isStrict,
  );
});
