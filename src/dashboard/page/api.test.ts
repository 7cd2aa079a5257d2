/** Questions to the server, and what becomes of its refusals. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { logIn, loginProblem, type Me, me, postForStream } from "./api.ts";

const owner: Me = { role: "owner", name: "a", readOnly: null, empty: {} as Me["empty"] };

/** A server that answers so, and a page at `hash`. */
function answering(t: TestContext, answer: Response, hash: string): void {
  t.mock.method(globalThis, "fetch", async () => answer);
  Object.assign(globalThis, { location: { hash }, history: { replaceState: () => {} } });
  t.after(() => {
    for (const name of ["location", "history"]) Reflect.deleteProperty(globalThis, name);
  });
  loginProblem.value = "";
}

test("a session that cannot be looked up says why; that there is none is no problem", async (t) => {
  answering(t, Response.json({ error: "The disk is full." }, { status: 500 }), "");
  await logIn();
  assert.equal(loginProblem.value, "The disk is full.");
  answering(t, Response.json({ error: "Log in first." }, { status: 401 }), "");
  await logIn();
  assert.deepEqual([loginProblem.value, me.value], ["", null]);
  answering(t, Response.json({ error: "Used already." }, { status: 401 }), "#token=a");
  await logIn();
  assert.equal(loginProblem.value, "Used already.");
});

test("what is read as it comes is refused like anything else", async (t) => {
  const refused = async (answer: Response): Promise<string> => {
    answering(t, answer, "");
    me.value = owner;
    return await postForStream("/api/arena/battles", {}).then(
      () => assert.fail(),
      ({ message }: Error) => message,
    );
  };
  assert.equal(
    await refused(new Response("<p>Bad gateway</p>", { status: 502 })),
    "The dashboard answered with status 502.",
  );
  assert.equal(me.value, owner);
  assert.equal(await refused(Response.json({ error: "Log in first." }, { status: 401 })), "Log in first.");
  assert.equal(me.value, null);
});
