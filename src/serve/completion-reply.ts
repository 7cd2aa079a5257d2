/** One completion request from its admission to the end of its reply, whole or as a stream of server-sent events. */
import { codeVersion } from "../base/code-version.ts";
import { unicodeEscape } from "../base/unicode-escape.ts";
import type { GenerateRequest } from "../generate/request.ts";
import { type Answering, answer } from "./answering.ts";
import { ApiError, clientLeft } from "./api-error.ts";
import type { Echo } from "./echo.ts";
import type { Outlet } from "./outlet.ts";
import { type ReplyForm, type ReplyHead, WholeReply } from "./replies.ts";
import type { Ctx, ServeContext } from "./serve-context.ts";

/** What the engine is asked, and what the answers to each prompt begin with; null: nothing. */
export interface PreparedAsk {
  requests: GenerateRequest[];
  echoes: readonly Echo[] | null;
  /** What the client should know of its prompt; null: nothing. */
  warning: string | null;
}

/** A completion request whose fields are checked. */
export interface CompletionAsk {
  /** Answers in all. */
  answers: number;
  /** null: the reply comes whole. */
  stream: { usage: boolean } | null;
  /** What the engine is asked; called once there is room. */
  prepare: () => Promise<PreparedAsk>;
  form: ReplyForm;
  idPrefix: string;
}

const fingerprint = `preftune-${codeVersion()}`;

/**
 * The reply. Room is held until the engine has done with it, however slowly the client reads.
 *
 * @throws {ApiError} if there is no room, or no engine, or the engine refuses or fails before the reply begins
 */
export async function admitted(c: Ctx, context: ServeContext, ask: CompletionAsk): Promise<Response> {
  const { engine, admission } = context;
  const whyNot = admission.isClosed ? null : engine.whyNot;
  if (whyNot !== null) {
    throw new ApiError("notReady", `${whyNot} Ask again in a moment.`, {
      retryAfter: 2,
    });
  }
  const release = admission.admit(ask.answers);
  try {
    const { requests, echoes, warning } = await ask.prepare();
    if (warning !== null) c.header("X-Preftune-Warning", warning);
    c.get("record").warning = warning;
    const answering = await answer(requests, {
      echoes,
      engine,
      clock: context.metrics.clock,
      arrivedAt: c.get("arrivedAt"),
      signal: c.req.raw.signal,
      onOver: release,
    });
    return ask.stream === null
      ? await whole(c, context, { ask, answering })
      : streamed(c, context, { ask, answering });
  } catch (error) {
    release();
    throw error;
  }
}

/** A request that the engine has begun with. */
interface Begun {
  ask: CompletionAsk;
  answering: Answering;
}

/** A longer reply goes out in pieces, as the client takes them. */
const longReply = 65_536;

async function whole(c: Ctx, context: ServeContext, { ask, answering }: Begun): Promise<Response> {
  const reply = new WholeReply(ask.form, ask.answers);
  for await (const piece of answering.pieces) reply.add(piece);
  const text = reply.text(headOf(c, ask), answering.counts);
  c.get("record").counts = answering.counts;
  const headers = { "Content-Type": "application/json" };
  if (text.length < longReply) return c.body(text, 200, headers);
  const outlet = outletOf(c, context, answering);
  outlet.write(text);
  outlet.end();
  return c.body(outlet.stream, 200, headers);
}

/** A way out for the reply. When it is over, so is the request. */
function outletOf(c: Ctx, { outlets }: ServeContext, answering: Answering): Outlet {
  const record = c.get("record");
  const { signal } = c.req.raw;
  c.set("endsLater", true);
  // a client may have left before anything was asked for
  const left = () => outlet.drop(clientLeft());
  const outlet = outlets.open((error) => {
    // see answering.ts: a listener that stays would keep the whole request
    signal.removeEventListener("abort", left);
    answering.drop();
    record.error = error?.code ?? record.error;
    c.get("finish")();
  });
  if (signal.aborted) left();
  else signal.addEventListener("abort", left);
  return outlet;
}

function headOf(c: Ctx, { idPrefix }: CompletionAsk): ReplyHead {
  const { id, model } = c.get("record");
  return {
    id: `${idPrefix}-${id.replaceAll("-", "")}`,
    created: Math.floor(Date.now() / 1000),
    model: model ?? "",
    system_fingerprint: fingerprint,
  };
}

function streamed(c: Ctx, context: ServeContext, begun: Begun): Response {
  const outlet = outletOf(c, context, begun.answering);
  c.get("record").stream = true;
  void pour(outlet, c, begun);
  // without a charset some clients (requests) read text as Latin-1
  const headers = { "Content-Type": "text/event-stream; charset=utf-8", "X-Accel-Buffering": "no" };
  return c.body(outlet.stream, 200, headers);
}

/** Writes the events of a stream as they come, whether the client reads or not. */
async function pour(outlet: Outlet, c: Ctx, { ask, answering }: Begun): Promise<void> {
  const record = c.get("record");
  const { form, stream, answers } = ask;
  const head = headOf(c, ask);
  try {
    for (let index = 0; index < answers; index++) {
      const opening = form.opening(head, index);
      if (opening !== null) outlet.write(eventOf(opening));
    }
    for await (const piece of answering.pieces) outlet.write(eventOf(form.chunk(head, piece)));
    if (stream?.usage === true) outlet.write(eventOf(form.closing(head, answering.counts)));
    record.counts = answering.counts;
    outlet.write("data: [DONE]\n\n");
  } catch (error) {
    const failure =
      error instanceof ApiError ? error : new ApiError("internal", "The stream was interrupted.");
    record.error = failure.code;
    outlet.write(eventOf(failure.body));
  }
  outlet.end();
}

/** NEL, LS and PS end no line of an event, but Python's splitlines, which httpx and others read events with, ends one there. */
const alsoLineEnds = /[\u0085\u2028\u2029]/g;

function eventOf(data: object): string {
  return `data: ${JSON.stringify(data).replace(alsoLineEnds, unicodeEscape)}\n\n`;
}
