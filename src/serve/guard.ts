/** Who may ask: the Host header of a loopback server, and the key of every request but GET /health. */
import { createHash, timingSafeEqual } from "node:crypto";
import { isIPv4, isIPv6 } from "node:net";
import type { MiddlewareHandler } from "hono";
import { ApiError } from "./api-error.ts";

/** Path that anyone may GET. */
export const openPath = "/health";

/** Whether an address to listen on, or a name in a Host header, stands for this machine itself. */
export function isLoopback(host: string): boolean {
  const name = host.replace(/^\[(.*)\]$/, "$1").toLowerCase();
  if (isIPv4(name)) return name.startsWith("127.");
  if (isIPv6(name)) return name === "::1";
  return name === "localhost";
}

/**
 * Refuses requests whose Host header names another machine. A web page that had its own name resolved to this machine
 * (DNS rebinding) shows that name.
 *
 * @param more - names that are let through besides those of this machine, such as a proxy's
 */
export function allowedHostsOnly(more: readonly string[] = []): MiddlewareHandler {
  const names = more.map((name) => name.toLowerCase());
  return async (c, next) => {
    const host = c.req.header("host") ?? "";
    const name = host.replace(/:\d*$/, "");
    if (!isLoopback(name) && !names.includes(name.toLowerCase())) {
      const allowed = ["localhost", "127.0.0.1", "[::1]", ...names].join(", ");
      throw new ApiError(
        "foreignHost",
        `This server is asked by the names ${allowed} only: use one of them.`,
      );
    }
    await next();
  };
}

/**
 * Refuses what a web page asks whose origin may not: by the origin that browsers send with it, and where they send none (an
 * image, a form) by what they say of the page it is for. Other programs send neither.
 */
export function allowedPagesOnly(origins: readonly string[]): MiddlewareHandler {
  return async (c, next) => {
    const origin = c.req.header("origin");
    const site = c.req.header("sec-fetch-site") ?? "none";
    const isForeign = origin === undefined ? !ownSites.includes(site) : !origins.includes(origin);
    if (isForeign) {
      // of a page from a file, a sandboxed frame: it names no page, so none can be let in by it
      const remedy =
        origin === "null"
          ? "Its origin is null, as that of a page opened from a file: open the page from a web server, and let its origin in by"
          : "Start the server with";
      throw new ApiError(
        "foreignOrigin",
        `Web pages of this origin may not ask. ${remedy} --allow-origin ORIGIN${origin === "null" ? "." : " to let them."}`,
      );
    }
    await next();
  };
}

/** An address that the user typed, and a page of this server. Another port of the same machine is another site here. */
const ownSites: readonly string[] = ["none", "same-origin"];

/** Whether a request needs no key. */
export function isOpen({ method, path }: { method: string; path: string }): boolean {
  return method === "GET" && path === openPath;
}

/** Lets requests with `Authorization: Bearer <key>` through, and GET /health without. */
export function keyRequired(key: string): MiddlewareHandler {
  const wanted = digest(key);
  return async (c, next) => {
    if (!isOpen(c.req)) {
      const [, given] = /^Bearer +(\S+) *$/i.exec(c.req.header("authorization") ?? "") ?? [];
      // digests have one length, so that comparing takes the same time whatever was given
      if (!timingSafeEqual(digest(given ?? ""), wanted)) {
        c.header("WWW-Authenticate", "Bearer");
        throw new ApiError(
          "unauthorized",
          given === undefined
            ? "Expected the server's key in the header Authorization: Bearer KEY, got none of this form. The server prints it when it starts."
            : "The key in the Authorization header is not this server's. The server prints its key when it starts.",
        );
      }
    }
    await next();
  };
}

function digest(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}
