/** Errors as a client of the OpenAI API expects them: an HTTP status and a body with message, type, param and code. */

/** Kinds of errors: status, OpenAI's type, and a code for programs. */
const kinds = {
  notJson: { status: 400, type: "invalid_request_error", code: "invalid_json" },
  unauthorized: { status: 401, type: "invalid_request_error", code: "invalid_api_key" },
  foreignHost: { status: 403, type: "invalid_request_error", code: "host_not_allowed" },
  unknownRoute: { status: 404, type: "invalid_request_error", code: "unknown_url" },
  unknownModel: { status: 404, type: "invalid_request_error", code: "model_not_found" },
  wrongMethod: { status: 405, type: "invalid_request_error", code: "method_not_allowed" },
  tooLarge: { status: 413, type: "invalid_request_error", code: "request_too_large" },
  wrongType: { status: 415, type: "invalid_request_error", code: "unsupported_media_type" },
  invalidValue: { status: 422, type: "invalid_request_error", code: "invalid_value" },
  unsupported: { status: 422, type: "invalid_request_error", code: "unsupported_parameter" },
  tooLong: { status: 422, type: "invalid_request_error", code: "context_length_exceeded" },
  queueFull: { status: 429, type: "rate_limit_error", code: "queue_full" },
  clientLeft: { status: 400, type: "invalid_request_error", code: "client_left" },
  internal: { status: 500, type: "server_error", code: "internal_error" },
  engineFailed: { status: 500, type: "server_error", code: "engine_failed" },
  engineLost: { status: 500, type: "server_error", code: "engine_crashed" },
  notReady: { status: 503, type: "server_error", code: "engine_unavailable" },
  stopping: { status: 503, type: "server_error", code: "server_stopping" },
} as const;

/** What went wrong. */
export type ApiErrorKind = keyof typeof kinds;

/** The body of every error, and of an error inside a stream. */
export interface ApiErrorBody {
  error: { message: string; type: string; param: string | null; code: string };
}

/** An error to be told to the client. */
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

  get status(): (typeof kinds)[ApiErrorKind]["status"] {
    return kinds[this.kind].status;
  }

  /** What a program tells errors apart by. */
  get code(): string {
    return kinds[this.kind].code;
  }

  get body(): ApiErrorBody {
    return {
      error: { message: this.message, type: kinds[this.kind].type, param: this.param, code: this.code },
    };
  }
}
