/** `preftune/serve`: the OpenAI-style HTTP server over a model. */
import "../base/node-version.ts";

export { serve } from "../serve/serve.ts";
export type { ServeEvent, ServeOptions } from "../serve/serve-options.ts";
