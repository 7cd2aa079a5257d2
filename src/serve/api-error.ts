/** Errors as a client of the OpenAI API expects them: an HTTP status and a body with message, type, param and code. */

/** What can go wrong. */
export type ApiErrorKind =
  | "notHttp"
  | "notJson"
  | "notRendered"
  | "clientLeft"
  | "clientStalled"
  | "unauthorized"
  | "foreignHost"
  | "foreignOrigin"
  | "unknownRoute"
  | "unknownModel"
  | "wrongMethod"
  | "tooSlow"
  | "tooLarge"
  | "headersTooLarge"
  | "wrongType"
  | "invalidValue"
  | "unsupported"
  | "tooLong"
  | "queueFull"
  | "internal"
  | "engineFailed"
  | "engineLost"
  | "notReady"
  | "stopping";

/** A kind of error: HTTP status, a code for programs, and what has happened. */
export interface ApiErrorInfo {
  status: 400 | 401 | 403 | 404 | 405 | 408 | 413 | 415 | 422 | 429 | 431 | 500 | 503;
  code: string;
  meaning: string;
}

const info = (status: ApiErrorInfo["status"], code: string, meaning: string): ApiErrorInfo => {
  return { status, code, meaning };
};

/** Every kind of error. */
export const API_ERRORS: Readonly<Record<ApiErrorKind, ApiErrorInfo>> = {
  notHttp: info(400, "invalid_http", "the request is no HTTP, or without a Host header"),
  notJson: info(400, "invalid_json", "the body is no JSON, or nested too deeply"),
  tooLong: info(
    400,
    "context_length_exceeded",
    "the prompt leaves no room for an answer in the model's context or the cache",
  ),
  notRendered: info(400, "not_rendered", "the chat template leaves out a part of the conversation"),
  clientLeft: info(400, "client_left", "the client left; only in log and metrics"),
  clientStalled: info(400, "client_stalled", "the client did not read its reply; only in log and metrics"),
  unauthorized: info(401, "invalid_api_key", "no key, or a wrong one"),
  foreignHost: info(403, "host_not_allowed", "the Host header names another machine than loopback"),
  foreignOrigin: info(403, "origin_not_allowed", "a web page's origin that `--allow-origin` does not name"),
  unknownRoute: info(404, "unknown_url", "no such path"),
  unknownModel: info(404, "model_not_found", "`model` is none that is served"),
  wrongMethod: info(405, "method_not_allowed", "the path takes another method"),
  tooSlow: info(408, "request_timeout", "headers or body did not arrive in time"),
  tooLarge: info(413, "request_too_large", "the body is longer than `--max-body-bytes`"),
  wrongType: info(
    415,
    "unsupported_media_type",
    "Content-Type is not application/json in UTF-8, or the body is compressed",
  ),
  invalidValue: info(422, "invalid_value", "a field has a value that cannot be"),
  unsupported: info(422, "unsupported_parameter", "a field that is not served, or unknown"),
  queueFull: info(429, "queue_full", "no room for more answers; Retry-After says when to ask again"),
  headersTooLarge: info(431, "headers_too_large", "the headers are longer than 16 KiB"),
  internal: info(500, "internal_error", "a fault of the server; its log says more"),
  engineFailed: info(500, "engine_failed", "the engine failed at this request"),
  engineLost: info(500, "engine_crashed", "the engine process ended with the request under way"),
  notReady: info(503, "engine_unavailable", "the engine is being started"),
  stopping: info(503, "server_stopping", "the server is being stopped"),
};

/** The body of every error, and of an error inside a stream. */
export interface ApiErrorBody {
  error: { message: string; type: string; param: string | null; code: string };
}

/** An error that is sent to the client. */
export class ApiError extends Error {
  readonly kind: ApiErrorKind;
  /** Field of the request at fault. */
  readonly param: string | null;
  /** Value of the Retry-After header, seconds. */
  readonly retryAfter: number | null;

  constructor(kind: ApiErrorKind, message: string, more: { param?: string; retryAfter?: number } = {}) {
    super(message);
    this.name = "ApiError";
    this.kind = kind;
    this.param = more.param ?? null;
    this.retryAfter = more.retryAfter ?? null;
  }

  get status(): ApiErrorInfo["status"] {
    return API_ERRORS[this.kind].status;
  }

  /** Code by which programs distinguish errors. */
  get code(): string {
    return API_ERRORS[this.kind].code;
  }

  get body(): ApiErrorBody {
    return {
      error: { message: this.message, type: typeOf(this.status), param: this.param, code: this.code },
    };
  }
}

/** OpenAI's name for the errors of a status. */
function typeOf(status: number): string {
  if (status === 429) return "rate_limit_error";
  return status < 500 ? "invalid_request_error" : "server_error";
}

/** The error of a request whose client has left: for log and metrics, and for who still works on it. */
export function clientLeft(): ApiError {
  return new ApiError("clientLeft", "The client has left.");
}

/** The error of a prompt that leaves no room for an answer. `prompt`: how many tokens it has, in words. */
export function contextExceeded(size: { contextTokens: number; prompt: string; param: string }): ApiError {
  return new ApiError(
    "tooLong",
    `This model's maximum context length is ${size.contextTokens} tokens. The prompt has ${size.prompt} and leaves no room ` +
      "for an answer: shorten it.",
    { param: size.param },
  );
}
