/** The HTTP server around the application: where it listens, its time-outs, and how it stops. */
import {
  createServer,
  type IncomingMessage,
  maxHeaderSize,
  type Server,
  type ServerResponse,
  STATUS_CODES,
} from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { getRequestListener } from "@hono/node-server";
import { ConfigError, messageOf } from "../base/errors.ts";
import { ApiError } from "./api-error.ts";
import type { Callers } from "./callers.ts";

/** Where and how to listen. */
export interface ListenOptions {
  host: string;
  /** 0: any that is free. */
  port: number;
  timeouts: RequestTimeouts;
  callers: Callers;
}

/** What a request came on: the second argument of `fetch`. */
export interface RequestSource {
  incoming: Pick<IncomingMessage, "socket">;
}

/** Time for a client to send what it has to say, in ms. */
export interface RequestTimeouts {
  /** All headers of a request; default 10 s. */
  headers: number;
  /** A whole request; default 30 s. */
  request: number;
}

/** A server that listens. */
export interface Listening {
  /** http://host:port */
  url: string;
  /** Takes no more connections; resolves when those that are left have ended, by force after `graceMs`. */
  close(graceMs: number): Promise<void>;
}

/** The times unless others are given. */
export const REQUEST_TIMEOUTS: Readonly<RequestTimeouts> = { headers: 10_000, request: 30_000 };

/**
 * Listens and answers with `fetch`.
 *
 * @throws {ConfigError} if the address cannot be had
 */
export async function listen(
  fetch: (request: Request, source: RequestSource) => Response | Promise<Response>,
  { host, port, timeouts, callers }: ListenOptions,
): Promise<Listening> {
  if (port > 65_535) throw new ConfigError(`--port: expected a whole number from 0 to 65535, got ${port}.`);
  // what reaches this is wrong before there is a request: a missing Host header, a path that is none
  const errorHandler = (error: unknown) => {
    const failure = unreadable(messageOf(error));
    return Response.json(failure.body, { status: failure.status });
  };
  const server = createServer(
    {
      headersTimeout: timeouts.headers,
      requestTimeout: timeouts.request,
      connectionsCheckingInterval: timeouts.headers / 4,
      // a client whose machine vanished is noticed by the connection, not by its silence
      keepAlive: true,
      keepAliveInitialDelay: 30_000,
      // the application's listener refuses it, with a body
      requireHostHeader: false,
    },
    getRequestListener((request, source) => fetch(request, source as RequestSource), { errorHandler }),
  );
  server.on("connection", (socket) => callers.add(socket));
  server.on("request", ({ socket }, response) => response.once("finish", () => callers.served(socket)));
  answerUnreadable(server, timeouts);
  await bind(server, host, port);
  const { address, port: actual, family } = server.address() as AddressInfo;
  return {
    url: `http://${family === "IPv6" ? `[${address}]` : address}:${actual}`,
    close: (graceMs) => closeServer(server, graceMs),
  };
}

function unreadable(why: string): ApiError {
  return new ApiError("notHttp", `Expected an HTTP request that can be read: ${why.replace(/\.$/, "")}.`);
}

/** Answers what Node gives up on before there is a request with errors of OpenAI's form; Node's own have no body. */
function answerUnreadable(server: Server, timeouts: RequestTimeouts): void {
  const replies = new WeakMap<Duplex, ServerResponse>();
  server.on("request", ({ socket }, response) => replies.set(socket, response));
  server.on("clientError", (error: NodeJS.ErrnoException, socket) => {
    const reply = replies.get(socket);
    const isMidReply = reply?.headersSent === true && !reply.writableFinished;
    if (!socket.writable || isMidReply || error.code === "ECONNRESET") {
      socket.destroy(error);
      return;
    }
    const { status, body } = failureOf(error, timeouts);
    const text = JSON.stringify(body);
    const head = `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nContent-Type: application/json\r\nConnection: close`;
    socket.end(`${head}\r\nContent-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`, () =>
      socket.destroy(),
    );
  });
  server.on("checkExpectation", ({ headers }: IncomingMessage, response: ServerResponse) => {
    const { status, body } = unreadable(`Expect may be 100-continue, got ${headers.expect?.slice(0, 60)}`);
    response.statusCode = status;
    response.setHeader("Content-Type", "application/json").end(JSON.stringify(body));
  });
}

function failureOf(
  { code, message }: NodeJS.ErrnoException,
  { headers, request }: RequestTimeouts,
): ApiError {
  if (code === "HPE_HEADER_OVERFLOW") {
    const most = `Expected headers of at most ${maxHeaderSize} bytes together`;
    return new ApiError("headersTooLarge", `${most}, the URL among them. Send fewer or shorter ones.`);
  }
  if (code !== "ERR_HTTP_REQUEST_TIMEOUT") return unreadable(message);
  const times = `Expected all headers within ${headers / 1000} s and the body within ${request / 1000} s`;
  return new ApiError("tooSlow", `${times}: send it again.`);
}

function bind(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const refuse = (error: NodeJS.ErrnoException) => {
      const why: Record<string, string> = {
        EADDRINUSE: "another program listens there. Give another --port, or 0 for any that is free",
        EACCES: "this user may not listen there. Give a --port above 1023",
        EADDRNOTAVAIL: "this machine has no such address. Give another --host",
        ENOTFOUND: "this name has no address. Give another --host",
      };
      reject(
        new ConfigError(`${host}:${port}: ${why[error.code ?? ""] ?? error.message}.`, { cause: error }),
      );
    };
    server.once("error", refuse);
    server.listen(port, host, () => {
      server.off("error", refuse);
      resolve();
    });
  });
}

function closeServer(server: Server, graceMs: number): Promise<void> {
  return new Promise((resolve) => {
    const force = setTimeout(() => server.closeAllConnections(), graceMs);
    server.close(() => {
      clearTimeout(force);
      resolve();
    });
    server.closeIdleConnections();
  });
}
