/** A chat endpoint of the tests on loopback: answers by a rule, faults on demand, every request remembered. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** A request as it came. */
export interface ChatCall {
  /** All messages' contents, joined by newlines. */
  text: string;
  body: Record<string, unknown>;
  authorization: string | null;
  path: string;
}

/** How a call is answered: a text, or anything that servers do wrong. */
export type ChatAnswer =
  | string
  | { status: number; headers?: Record<string, string>; body?: string }
  | { body: string }
  | { text: string; finishReason?: string; usage?: null; delayMs?: number }
  | "hang up"
  | "no answer";

/** A running endpoint. */
export interface JudgeServer extends AsyncDisposable {
  /** Up to and with `/v1`. */
  baseUrl: string;
  calls: ChatCall[];
  /** Most requests that were under way at once. */
  mostAtOnce: number;
}

/** Tokens that the endpoint says it read and wrote, each time. */
const promptTokens = 100;
const completionTokens = 10;

/** Starts an endpoint. `answer` gets the call and how many came before it. Port 0 is any that is free. */
export async function startJudge(
  answer: (call: ChatCall, before: number) => ChatAnswer | Promise<ChatAnswer>,
  wanted = 0,
): Promise<JudgeServer> {
  const state = { calls: [] as ChatCall[], mostAtOnce: 0, open: 0 };
  const server = createServer((request, response) => {
    state.mostAtOnce = Math.max(state.mostAtOnce, ++state.open);
    response.on("close", () => state.open--);
    void respond(request, response, state.calls, answer);
  });
  await new Promise<void>((resolve) => server.listen(wanted, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    baseUrl: `http://127.0.0.1:${port}/v1`,
    calls: state.calls,
    get mostAtOnce() {
      return state.mostAtOnce;
    },
    [Symbol.asyncDispose]: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function respond(
  request: IncomingMessage,
  response: ServerResponse,
  calls: ChatCall[],
  answer: (call: ChatCall, before: number) => ChatAnswer | Promise<ChatAnswer>,
): Promise<void> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const body = JSON.parse(Buffer.concat(chunks).toString()) as Record<string, unknown>;
  const messages = body["messages"] as { content: string }[];
  const call: ChatCall = {
    text: messages.map(({ content }) => content).join("\n"),
    body,
    authorization: request.headers.authorization ?? null,
    path: request.url ?? "",
  };
  const before = calls.push(call) - 1;
  const given = await answer(call, before);
  if (given === "no answer") return;
  if (given === "hang up") {
    response.destroy();
    return;
  }
  if (typeof given === "object" && "status" in given) {
    response.writeHead(given.status, { "content-type": "application/json", ...given.headers });
    response.end(given.body ?? JSON.stringify({ error: { message: `status ${given.status}` } }));
    return;
  }
  if (typeof given === "object" && "body" in given) {
    response.writeHead(200, { "content-type": "application/json" });
    response.end(given.body);
    return;
  }
  const reply = typeof given === "string" ? { text: given } : given;
  if (reply.delayMs !== undefined) await new Promise((resolve) => setTimeout(resolve, reply.delayMs));
  response.writeHead(200, { "content-type": "application/json" });
  response.end(completion(reply));
}

/** The body of an ordinary answer. */
export function completion({
  text,
  finishReason = "stop",
  usage,
}: {
  text: string;
  finishReason?: string;
  usage?: null;
}): string {
  const counts = { prompt_tokens: promptTokens, completion_tokens: completionTokens, total_tokens: 110 };
  return JSON.stringify({
    id: "chatcmpl-1",
    object: "chat.completion",
    choices: [{ index: 0, message: { role: "assistant", content: text }, finish_reason: finishReason }],
    ...(usage === null ? {} : { usage: counts }),
  });
}
