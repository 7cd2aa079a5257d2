/** The bodies of requests: JSON of a form that a schema says. */
import { z } from "zod";
import { PageError } from "./page-error.ts";
import type { Ctx } from "./route.ts";

/**
 * The body of a request, checked.
 *
 * @throws {PageError} when it is no JSON, or not of this form
 */
export async function bodyOf<T>(c: Ctx, schema: z.ZodType<T>): Promise<T> {
  const type = c.req.header("content-type") ?? "";
  if (!/^application\/json\s*(;|$)/i.test(type)) {
    throw new PageError(
      415,
      `Content-Type: expected application/json, got ${type === "" ? "none" : `"${type}"`}.`,
    );
  }
  const value: unknown = await c.req.json().catch(() => {
    throw new PageError(400, "Expected a body of JSON, got something else.");
  });
  const read = schema.safeParse(value);
  if (read.success) return read.data;
  throw new PageError(422, z.prettifyError(read.error));
}
