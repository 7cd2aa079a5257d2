/** A page with its own style, which may load and run nothing: a report. */
import type { Ctx } from "./route.ts";

/** The page as an answer. */
export function reportPage(c: Ctx, html: string): Response {
  const policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox";
  c.header("Content-Security-Policy", policy);
  return c.body(html, 200, { "Content-Type": "text/html; charset=utf-8" });
}
