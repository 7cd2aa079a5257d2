/** What a request says of its body in headers, and what it has beside the body: used or refused. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { gzipSync } from "node:zlib";
import { UnprocessableEntityError } from "openai";
import { scriptedEngine, startServer, type TestServer } from "../support/servers.ts";

let server: TestServer;
before(async () => {
  server = await startServer({ engine: scriptedEngine });
});
after(() => server[Symbol.asyncDispose]());

const plain = { model: "tiny", prompt: "hi", max_tokens: 2 };
const json = "application/json";

async function statusOf(headers: Record<string, string>, body: string | Buffer = JSON.stringify(plain)) {
  const reply = await server.fetch("/v1/completions", { method: "POST", body, headers });
  await reply.text();
  return reply.status;
}

test("a body that says it is not JSON in UTF-8 is 415", async () => {
  const others = ["text/plain", `${json}5`, `${json}; charset=latin1`, `${json};charset="utf-16"`];
  for (const type of others) assert.equal(await statusOf({ "content-type": type }), 415, type);
  for (const type of [json, `${json}; charset=utf-8`, `Application/JSON;Charset="UTF-8"`]) {
    assert.equal(await statusOf({ "content-type": type }), 200, type);
  }
});

test("a compressed body is 415 with the codings that are taken, and so is one that says it is and is not", async () => {
  assert.equal(await statusOf({ "content-encoding": "gzip" }, gzipSync(JSON.stringify(plain))), 415);
  assert.equal(await statusOf({ "content-encoding": "gzip" }), 415);
  assert.equal(await statusOf({ "content-encoding": "identity" }), 200);
  const headers = { "content-encoding": "br" };
  const reply = await server.fetch("/v1/completions", { method: "POST", body: "{}", headers });
  // RFC 9110, section 12.5.3
  assert.equal(reply.headers.get("accept-encoding"), "identity");
});

test("parameters in the URL, where OpenAI's client puts its defaultQuery, are refused by name", async () => {
  const client = server.client().withOptions({ defaultQuery: { temperature: "0" } });
  await assert.rejects(client.completions.create(plain), (error: unknown) => {
    assert.ok(error instanceof UnprocessableEntityError);
    assert.deepEqual([error.code, error.param], ["unsupported_parameter", "temperature"]);
    return true;
  });
  for (const asked of [client.models.list(), client.models.retrieve("tiny")]) {
    await assert.rejects(asked, /422 Expected .*, got "temperature" in the query of the URL. Leave it out/);
  }
});
