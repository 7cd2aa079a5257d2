/** What Node's HTTP server gives up on before there is a request: every error has OpenAI's form all the same. */
import assert from "node:assert/strict";
import { connect } from "node:net";
import { after, before, test } from "node:test";
import { scriptedEngine, startServer, type TestServer } from "../support/servers.ts";

let server: TestServer;
before(async () => {
  server = await startServer({ engine: scriptedEngine, timeouts: { headers: 800, request: 1000 } });
});
after(() => server[Symbol.asyncDispose]());

/** What comes back for bytes sent, until the server closes the connection. */
async function replyTo(bytes: string): Promise<string> {
  const socket = connect(Number(new URL(server.url).port), "127.0.0.1", () => socket.write(bytes));
  let got = "";
  socket.on("data", (data) => {
    got += String(data);
  });
  await new Promise<void>((resolve) => socket.on("error", () => {}).on("close", () => resolve()));
  return got;
}

const host = "Host: localhost\r\nConnection: close\r\n";
const post = (more: string) =>
  `POST /v1/completions HTTP/1.1\r\n${host}Authorization: Bearer ${server.key}\r\nContent-Type: application/json\r\n${more}`;

test("no HTTP, no host, headers too large, an unknown expectation, a body in bad chunks or too slow", async () => {
  const cases: [bytes: string, status: number, code: string, message: RegExp][] = [
    ["GARBAGE\r\n\r\n", 400, "invalid_http", /that can be read: /],
    ["GET /health HTTP/1.1\r\nConnection: close\r\n\r\n", 400, "invalid_http", /Missing host header\./],
    [`GET /health HTTP/1.1\r\n${host}Expect: magic\r\n\r\n`, 400, "invalid_http", /100-continue, got magic/],
    [
      `GET /health HTTP/1.1\r\n${host}X: ${"x".repeat(20_000)}\r\n\r\n`,
      431,
      "headers_too_large",
      /16384 bytes/,
    ],
    [post("Transfer-Encoding: chunked\r\n\r\nZZ\r\n\r\n"), 400, "invalid_http", /that can be read: /],
    [post("Content-Length: 9\r\n\r\n{"), 408, "request_timeout", /the body within 1 s: send it again/],
    ["GET /health HTTP/1.1\r\nHost: loc", 408, "request_timeout", /all headers within 0.8 s/],
  ];
  const replies = await Promise.all(cases.map(([bytes]) => replyTo(bytes)));
  for (const [i, [bytes, status, code, message]] of cases.entries()) {
    const [head = "", body = ""] = (replies[i] ?? "").split("\r\n\r\n");
    assert.match(head, new RegExp(`^HTTP/1.1 ${status} `), bytes.slice(0, 40));
    assert.match(head, /content-type: application\/json/i);
    const { error } = JSON.parse(body) as { error: Record<string, unknown> };
    assert.deepEqual([error["type"], error["param"], error["code"]], ["invalid_request_error", null, code]);
    assert.match(String(error["message"]), message);
  }
});

test("a reply that has begun is not mixed with an error: the connection ends", async () => {
  const body = JSON.stringify({ model: "tiny", prompt: "hi", max_tokens: 400, stream: true });
  const request = post(`Content-Length: ${body.length}\r\n\r\n${body}`).replace("Connection: close\r\n", "");
  const socket = connect(Number(new URL(server.url).port), "127.0.0.1", () => socket.write(request));
  let got = "";
  socket.on("data", (data) => {
    if (!got.includes("GARBAGE") && String(data).includes("text_completion")) socket.write("GARBAGE\r\n\r\n");
    got += String(data);
  });
  await new Promise<void>((resolve) => socket.on("error", () => {}).on("close", () => resolve()));
  assert.equal(got.match(/HTTP\/1\.1/g)?.length, 1);
  assert.doesNotMatch(got, /invalid_http/);
});
