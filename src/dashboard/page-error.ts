/** Refusals that are sent to the page. */

/** A refusal that is sent to the page: what was expected, what came, what to do. */
export class PageError extends Error {
  readonly status: 400 | 401 | 403 | 404 | 405 | 409 | 413 | 415 | 422 | 500;

  constructor(status: PageError["status"], message: string) {
    super(message);
    this.name = "PageError";
    this.status = status;
  }
}
