/** One completion request from its admission to the end of its reply, whole or as a stream of server-sent events. */
import { codeVersion } from "../base/version.ts";
import type { GenerateRequest } from "../generate/request.ts";
import { type Answering, type AnswerPiece, answer } from "./answering.ts";
import { ApiError } from "./api-error.ts";
import type { Echo } from "./echo.ts";
import { joinPieces, type ReplyForm, type ReplyHead } from "./replies.ts";
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
 * The reply. Room is held until it has ended.
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
    });
    const head = headOf(c, ask);
    if (ask.stream !== null) return streamed(c, { ask, answering, head, release });
    const pieces: AnswerPiece[] = [];
    for await (const piece of answering.pieces) pieces.push(piece);
    c.get("record").counts = answering.counts;
    release();
    return c.json(ask.form.whole(head, joinPieces(pieces, ask.answers), answering.counts));
  } catch (error) {
    release();
    throw error;
  }
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

interface Streaming {
  ask: CompletionAsk;
  answering: Answering;
  head: ReplyHead;
  release: () => void;
}

function streamed(c: Ctx, streaming: Streaming): Response {
  const record = c.get("record");
  const { signal } = c.req.raw;
  record.stream = true;
  let isOver = false;
  /** The reply has ended, with an error's code or without: room and record go back. */
  const end = (error: string | null): void => {
    if (isOver) return;
    isOver = true;
    // see answering.ts: a listener that stays would keep the whole request
    signal.removeEventListener("abort", left);
    record.error = error;
    streaming.release();
    c.get("finish")();
  };
  // a client may have left before the first event is asked for
  const left = () => end(new ApiError("clientLeft", "").code);
  if (signal.aborted) left();
  else signal.addEventListener("abort", left);
  const events = async function* (): AsyncGenerator<string> {
    try {
      yield* chunks(streaming);
      record.counts = streaming.answering.counts;
      yield "data: [DONE]\n\n";
      end(null);
    } catch (error) {
      const told = error instanceof ApiError ? error : new ApiError("internal", "The stream broke off.");
      yield eventOf(told.body);
      end(told.code);
    }
  };
  const headers = { "Content-Type": "text/event-stream", "X-Accel-Buffering": "no" };
  return c.body(encoded(events(), left), 200, headers);
}

/** The texts as bytes, made when they are asked for. */
function encoded(texts: AsyncGenerator<string>, onCancel: () => void): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  return new ReadableStream({
    async pull(controller) {
      const { done, value } = await texts.next();
      if (done === true) controller.close();
      else controller.enqueue(encoder.encode(value));
    },
    async cancel() {
      onCancel();
      await texts.return(undefined);
    },
  });
}

async function* chunks({
  ask: { form, stream, answers },
  answering,
  head,
}: Streaming): AsyncGenerator<string> {
  for (let index = 0; index < answers; index++) {
    const opening = form.opening(head, index);
    if (opening !== null) yield eventOf(opening);
  }
  for await (const piece of answering.pieces) yield eventOf(form.chunk(head, piece));
  if (stream?.usage === true) yield eventOf(form.closing(head, answering.counts));
}

function eventOf(data: object): string {
  return `data: ${JSON.stringify(data)}\n\n`;
}
