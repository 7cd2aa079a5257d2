/** A page with its own style, which may load and run nothing: a report. */
import { textBelow } from "./is-below.ts";
import { PageError } from "./page-error.ts";
import type { Ctx } from "./route.ts";

/** The page as an answer. */
export function reportPage(c: Ctx, html: string): Response {
  const policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox";
  c.header("Content-Security-Policy", policy);
  return c.body(html, 200, { "Content-Type": "text/html; charset=utf-8" });
}

/**
 * The page that a file below one of `roots` holds; null: there is no file.
 *
 * @throws {PageError} with `missing` where it is not there
 */
export function storedReport(
  c: Ctx,
  roots: readonly string[],
  { path, missing }: { path: string | null; missing: string },
): Response {
  const html = path === null ? null : textBelow(roots, path);
  if (html === null) throw new PageError(404, missing);
  return reportPage(c, html);
}
