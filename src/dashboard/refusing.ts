/** Refusals of the library as answers of the server. */
import { ConfigError, DataError } from "../base/errors.ts";
import { PageError } from "./page-error.ts";
import type { Route } from "./route.ts";

/** `answer`, whose errors about what was given are sent as refusals with their words. */
export function refusing(answer: Route["answer"]): Route["answer"] {
  return async (c) => {
    try {
      return await answer(c);
    } catch (error) {
      if (error instanceof DataError || error instanceof ConfigError) throw new PageError(422, error.message);
      throw error;
    }
  };
}
