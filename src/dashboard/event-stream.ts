/**
 * The event stream of a page: what is new of the list and of the runs that it shows. A page says where it is, so that only new lines
 * are sent; after a break the browser repeats the last id, and the stream continues there.
 */
import { type SSEStreamingApi, streamSSE } from "hono/streaming";
import { sha256 } from "../base/files.ts";
import type { LivePlace, LiveRun } from "./live-run.ts";
import { PageError } from "./page-error.ts";
import { type Ctx, type DashboardContext, type Route, seesRuns } from "./route.ts";
import type { RunStore } from "./run-store.ts";
import type { Summary } from "./run-summary.ts";
import type { Session } from "./sessions.ts";
import { wireRow } from "./wire.ts";

/** Times of a stream, ms. */
export interface StreamTimes {
  /** Between two looks at the files of the runs that are shown. */
  tick: number;
  /** Between two looks at all runs. */
  list: number;
  /** Without anything to say. */
  heartbeat: number;
  /** In which a page has to take what is sent. */
  patience: number;
}

/** The times unless others are given. */
export const streamTimes: StreamTimes = { tick: 500, list: 3000, heartbeat: 15_000, patience: 30_000 };

/** Most streams at once: pages that are looked at. */
const mostStreams = 64;
/** Most of one session: a browser opens six connections to an address, and what its windows ask for besides needs some. */
const mostOfSession = 4;
/** Most runs of one stream. */
const mostRuns = 8;
/** Most rows in one message: a page that was long away gets the rest in the next. */
const mostRows = 500;

let streams = 0;
/** The streams of each session, the oldest first. */
const streamsOf: WeakMap<Session, PageStream[]> = new WeakMap();

/** The route of the stream: `?runs=ID@PLACE,…&list=MARK`. */
export function streamRoutes(context: DashboardContext, times: StreamTimes): Route[] {
  return [{ method: "GET", path: "/api/stream", roles: seesRuns, answer: (c) => answer(c, context, times) }];
}

/** A place as text: "reading.rows.events.evaluations". */
export function placeText({ reading, rows, events, evaluations }: LivePlace): string {
  return [reading, rows, events, evaluations].join(".");
}

/** Tells one list from another, so that a page which has this one need not get it again. */
export function listMark(summaries: readonly Summary[]): string {
  return sha256(JSON.stringify(summaries)).slice(0, 16);
}

function placeOf(text: string): LivePlace | null {
  const [reading, rows, events, evaluations] = text.split(".").map(Number);
  const numbers = [reading, rows, events, evaluations];
  if (numbers.some((one) => one === undefined || !Number.isSafeInteger(one) || one < 0)) return null;
  return { reading, rows, events, evaluations } as LivePlace;
}

/** Where the page is: in each of its runs, and the mark of its list; null where it shows none. */
interface PagePlace {
  places: Map<string, LivePlace | null>;
  list: string | null;
}

/** As text, the id of a message: `ID@PLACE,…`, and `;MARK` where the page shows the list. */
function pageText({ places, list }: PagePlace): string {
  const runs = [...places].map(([run, place]) => `${run}@${place === null ? "" : placeText(place)}`);
  return `${runs.join(",")}${list === null ? "" : `;${list}`}`;
}

/** From the browser's last id, or else from the address. */
function placesOf(c: Ctx): PagePlace {
  const asked = (c.req.query("runs") ?? "").split(",").filter(Boolean);
  if (asked.length > mostRuns)
    throw new PageError(422, `Expected at most ${mostRuns} runs, got ${asked.length}.`);
  const places = new Map(asked.map(parts));
  const [runs = "", mark] = (c.req.header("last-event-id") ?? "").split(";");
  for (const [id, place] of runs.split(",").filter(Boolean).map(parts)) {
    if (places.has(id)) places.set(id, place);
  }
  const list = c.req.query("list") ?? null;
  return { places, list: list === null ? null : (mark ?? list) };
}

function parts(text: string): [string, LivePlace | null] {
  const [id = "", place = ""] = text.split("@");
  return [id, placeOf(place)];
}

function answer(c: Ctx, { runs, sessions, onFault }: DashboardContext, times: StreamTimes): Response {
  const { places, list } = placesOf(c);
  c.header("X-Accel-Buffering", "no");
  const leave = (): void => void c.env?.incoming?.socket.destroy();
  const session = c.get("session");
  // a page sees no status of a stream: what is refused for what it asks is said within
  return streamSSE(c, async (stream) => {
    const page = new PageStream(stream, { runs, places, list, times, leave });
    if (streams >= mostStreams) {
      await page.sayProblem(`${streams} pages are open already: close one and load this one again.`);
      return;
    }
    streams += 1;
    const hide = runs.show([...places.keys()]);
    takeTurn(session, page);
    const over = session === null ? null : sessions.endOf(session);
    const end = (): void => page.end();
    over?.addEventListener("abort", end);
    try {
      if (over?.aborted !== true) await page.run();
    } catch (error) {
      if (error instanceof PageError) await page.sayProblem(error.message);
      else onFault(error);
    } finally {
      over?.removeEventListener("abort", end);
      streams -= 1;
      takeTurn(session, page, false);
      hide();
    }
  });
}

/**
 * Adds a stream to those of a session, or takes it out. The oldest of too many ends; its page comes back after some seconds, and the
 * next one's turn is over: more windows of one browser than can be served at once take turns.
 */
function takeTurn(session: Session | null, page: PageStream, isOpen = true): void {
  if (session === null) return;
  const others = (streamsOf.get(session) ?? []).filter((other) => other !== page);
  const all = isOpen ? [...others, page] : others;
  for (const one of all.slice(0, -mostOfSession)) one.end();
  streamsOf.set(session, all.slice(-mostOfSession));
}

interface Watched extends PagePlace {
  runs: RunStore;
  times: StreamTimes;
  /** Ends the connection. */
  leave: () => void;
}

/** The messages to one page. */
class PageStream {
  readonly #stream: SSEStreamingApi;
  readonly #watched: Watched;
  /** Summaries as they were sent, by id. */
  readonly #list: Map<string, string> = new Map();
  readonly #states: Map<string, string> = new Map();
  #listedAt = Number.NEGATIVE_INFINITY;
  #saidAt: number = performance.now();
  #wake: () => void = () => {};
  #isOver = false;

  constructor(stream: SSEStreamingApi, watched: Watched) {
    this.#stream = stream;
    this.#watched = watched;
    // a page that leaves gives its place back at once
    stream.onAbort(() => this.#wake());
  }

  /** Says no more. */
  end(): void {
    this.#isOver = true;
    this.#wake();
  }

  /** Tells what is new until the page leaves or its turn is over. */
  async run(): Promise<void> {
    const { places, times } = this.#watched;
    while (!this.#isOver && !this.#stream.aborted && !this.#stream.closed) {
      for (const id of places.keys()) await this.#sayRun(id);
      await this.#sayList();
      if (performance.now() - this.#saidAt >= times.heartbeat) await this.#say("beat", {});
      if (!this.#isOver && !this.#stream.aborted) await this.#wait(times.tick);
    }
  }

  #wait(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.#wake(), ms);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  async #sayRun(id: string): Promise<void> {
    const { runs, places } = this.#watched;
    const run = await runs.live(id);
    for (const news of newsOf(run, places.get(id) ?? null)) {
      places.set(id, news.place);
      await this.#say(news.event, { run: id, ...news.data });
    }
    // the small curve, and when a file was touched last, are of no use to a page that sees all curves
    const summary = { ...runs.summary(id), points: [] };
    const text = JSON.stringify({ ...summary, changedAt: 0 });
    const before = this.#states.get(id);
    this.#states.set(id, text);
    if (before !== text) await this.#say("summary", { run: id, summary });
  }

  async #sayList(): Promise<void> {
    const { runs, list, times } = this.#watched;
    if (list === null || performance.now() - this.#listedAt < times.list) return;
    const summaries = await runs.list();
    const isFirst = !Number.isFinite(this.#listedAt);
    const changed = changesOf(summaries, this.#list);
    // what a page has that was away is not known: it gets the list as it is now, unless that is what it has
    const mark = isFirst || changed !== null ? listMark(summaries) : list;
    const isKnown = isFirst && mark === list;
    this.#watched.list = mark;
    if (isFirst ? !isKnown : changed !== null) await this.#say("list", { ...changed, isWhole: isFirst });
    this.#listedAt = performance.now();
  }

  /** Says why nothing more comes: a run that is gone or cannot be read. */
  async sayProblem(message: string): Promise<void> {
    await this.#say("problem", { message });
  }

  /** A page that does not take what is sent is left, and its connection ended. */
  async #say(event: string, data: object): Promise<void> {
    const { times, leave } = this.#watched;
    const timer = setTimeout(() => {
      this.#stream.abort();
      leave();
    }, times.patience);
    await this.#stream.writeSSE({ event, data: JSON.stringify(data), id: pageText(this.#watched) });
    clearTimeout(timer);
    this.#saidAt = performance.now();
  }
}

interface News {
  event: "rows" | "events" | "evaluations" | "restart";
  data: object;
  place: LivePlace;
}

/** What a reader at `from` does not know yet; all places but those of this reading of the files are no more. */
function newsOf(run: LiveRun, from: LivePlace | null): News[] {
  const end = run.place;
  if (from === null || from.reading !== end.reading || from.rows > end.rows || from.events > end.events) {
    return [{ event: "restart", data: {}, place: end }];
  }
  const news: News[] = [];
  let at = from;
  for (; at.rows < end.rows; ) {
    const rows = run.rows.slice(at.rows, at.rows + mostRows);
    at = { ...at, rows: at.rows + rows.length };
    news.push({ event: "rows", data: { rows: rows.map(wireRow) }, place: at });
  }
  if (at.events < end.events) {
    at = { ...at, events: end.events };
    news.push({ event: "events", data: { count: end.events }, place: at });
  }
  if (at.evaluations < end.evaluations) {
    at = { ...at, evaluations: end.evaluations };
    news.push({ event: "evaluations", data: { count: end.evaluations }, place: at });
  }
  return news;
}

/** The summaries that are not as they were sent, and the ids that are gone; null when all is as it was. */
function changesOf(
  summaries: readonly Summary[],
  sent: Map<string, string>,
): { changed: readonly Summary[]; gone: readonly string[] } | null {
  const changed = summaries.filter((summary) => sent.get(summary.id) !== JSON.stringify(summary));
  const there = new Set(summaries.map(({ id }) => id));
  const gone = [...sent.keys()].filter((id) => !there.has(id));
  for (const id of gone) sent.delete(id);
  for (const summary of changed) sent.set(summary.id, JSON.stringify(summary));
  return changed.length === 0 && gone.length === 0 ? null : { changed, gone };
}
