/** The JSON body of a request: of limited size, depth and form. */
import type { Context } from "hono";
import { messageOf } from "../base/errors.ts";
import { JsonMeter } from "../formats/json-scan.ts";
import { parseJson } from "../text/json.ts";
import { ApiError } from "./api-error.ts";

const maxDepth = 32;

/**
 * The parsed body, numbers as they are spelled.
 *
 * @throws {ApiError} if it is not JSON in UTF-8 that says one thing, says that it is something else, or is nested too deeply
 */
export async function jsonBody(c: Context): Promise<unknown> {
  const type = c.req.header("content-type") ?? "";
  if (!/^application\/json *(;|$)/i.test(type)) {
    throw new ApiError(
      "wrongType",
      `Expected the header Content-Type: application/json, got "${type.slice(0, 60)}".`,
    );
  }
  const bytes = new Uint8Array(await c.req.arrayBuffer());
  const meter = new JsonMeter();
  meter.feed(bytes);
  if (meter.deepest > maxDepth) {
    throw new ApiError("notJson", `Expected JSON nested at most ${maxDepth} deep, got ${meter.deepest}.`);
  }
  try {
    return parseJson(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    throw new ApiError("notJson", `Expected a body of JSON in UTF-8: ${messageOf(error)}.`);
  }
}
