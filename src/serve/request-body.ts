/** The body of a request: that it says it is JSON as it is, and how much of all bodies may be held at once. */
import type { MiddlewareHandler } from "hono";
import { ApiError } from "./api-error.ts";
import type { PromptRoutes, ReadRequest } from "./request-reader.ts";
import type { Ctx, Env, ServeContext } from "./serve-context.ts";

/** Bodies that are announced to be no longer find room whatever others have sent. */
const smallBody = 65_536;

/** Counts the bytes of bodies that are being received or read. */
export class BodyRoom {
  readonly #capacity: number;
  #held = 0;

  /** @param capacity - bytes held at once, small bodies not counted */
  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  /**
   * Takes room for a body.
   *
   * @returns what is to be called once when it is not held any more
   * @throws {ApiError} if there is none
   */
  take(bytes: number): () => void {
    if (bytes <= smallBody) return () => {};
    if (this.#held > 0 && this.#held + bytes > this.#capacity) {
      throw new ApiError(
        "queueFull",
        `Requests of ${this.#held} bytes are being read, and ${this.#capacity} may be: ask again later.`,
        { retryAfter: 1 },
      );
    }
    this.#held += bytes;
    let isHeld = true;
    return () => {
      if (isHeld) this.#held -= bytes;
      isHeld = false;
    };
  }
}

/** Takes room for the body of a request until it was read, or the request is over. */
export function roomForBody(room: BodyRoom, maxBodyBytes: number): MiddlewareHandler<Env> {
  return async (c, next) => {
    const length = Number(c.req.header("content-length") ?? 0);
    const wanted = c.req.header("transfer-encoding") === undefined ? length : maxBodyBytes;
    // one that is too long is refused for that
    const release = wanted > maxBodyBytes ? () => {} : room.take(wanted);
    c.set("releaseBody", release);
    try {
      await next();
    } finally {
      release();
    }
  };
}

/**
 * The request in a body.
 *
 * @throws {ApiError} if it does not say that it is JSON, is compressed, is not all of the request, or cannot be read
 */
export async function readRequest<R extends keyof PromptRoutes>(
  c: Ctx,
  { model }: Pick<ServeContext, "model">,
  route: R,
): Promise<ReadRequest<R>> {
  checkHeaders(c);
  refuseQuery(c, "Expected all parameters in the body", "Move it into the body.");
  const body = new Uint8Array(await c.req.arrayBuffer());
  return model.requests.read(route, body, c.req.raw.signal);
}

/** @throws {ApiError} naming a parameter in the URL */
export function refuseQuery(c: Ctx, expected: string, remedy: string): void {
  const [stray] = new URL(c.req.url).searchParams.keys();
  if (stray === undefined) return;
  const name = stray.slice(0, 60);
  throw new ApiError(
    "unsupported",
    `${expected}, got ${JSON.stringify(name)} in the query of the URL. ${remedy}`,
    { param: name },
  );
}

/** What a body may say of its characters: JSON is UTF-8, of which ASCII is a part. */
const charsets = ["utf-8", "utf8", "us-ascii", "ascii"];

function checkHeaders(c: Ctx): void {
  const type = c.req.header("content-type") ?? "";
  const [, charset = "utf-8"] = /; *charset *= *"?([^\s;"]*)/i.exec(type) ?? [];
  if (!/^application\/json *(;|$)/i.test(type) || !charsets.includes(charset.toLowerCase())) {
    throw new ApiError(
      "wrongType",
      `Expected the header Content-Type: application/json, its charset UTF-8 or none, got "${type.slice(0, 60)}".`,
    );
  }
  const coding = c.req.header("content-encoding") ?? "identity";
  if (coding.trim().toLowerCase() === "identity") return;
  c.header("Accept-Encoding", "identity");
  throw new ApiError(
    "wrongType",
    `Expected a body that is not compressed, got Content-Encoding: ${coding.slice(0, 60)}. Send it as it is.`,
  );
}
