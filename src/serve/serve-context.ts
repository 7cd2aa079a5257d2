/** What the routes of the server share, and the types of hono's context. */
import type { Context } from "hono";
import type { Admission } from "./admission.ts";
import { ApiError } from "./api-error.ts";
import type { EngineView } from "./engine-process.ts";
import type { Outlets } from "./outlet.ts";
import type { Requests } from "./request-reader.ts";
import type { RequestRecord } from "./request-record.ts";
import type { RequestLimits } from "./request-tables.ts";
import type { RequestSource } from "./server.ts";
import type { ServerMetrics } from "./server-metrics.ts";

/** The model that is served. */
export interface ServedModel {
  /** Name of the base model in requests. */
  name: string;
  /** Names of the adapters on it. */
  adapters: readonly string[];
  requests: Requests;
  /** Longest prompt and answer together, in tokens. */
  contextTokens: number;
  /** Token ids are below. */
  vocabSize: number;
}

/** What the routes work with. */
export interface ServeContext {
  model: ServedModel;
  engine: EngineView;
  admission: Admission;
  metrics: ServerMetrics;
  limits: RequestLimits;
  outlets: Outlets;
}

/** hono's environment: what is kept with a request. */
export interface Env {
  Bindings: Partial<RequestSource>;
  Variables: {
    record: RequestRecord;
    /** By `performance.now()`. */
    arrivedAt: number;
    /** To be called when the reply has ended, where that is later than its beginning. */
    finish: () => void;
    /** Whether it is. */
    endsLater: boolean;
    /** To be called when the body is not held any more. */
    releaseBody: () => void;
  };
}

/** A request on its way. */
export type Ctx = Context<Env>;

/**
 * The adapter that a request's `model` names, null for the base model.
 *
 * @throws {ApiError} if there is no such model
 */
export function adapterNamed(wanted: string, model: ServedModel): string | null {
  if (wanted === model.name) return null;
  if (model.adapters.includes(wanted)) return wanted;
  throw unknownModel(model);
}

/** The error of a model that is not served. */
export function unknownModel({ name, adapters }: ServedModel): ApiError {
  const names = [name, ...adapters].map((each) => JSON.stringify(each)).join(", ");
  return new ApiError("unknownModel", `model: expected ${names}; there is no other model on this server.`, {
    param: "model",
  });
}
