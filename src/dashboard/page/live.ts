/** The page's event stream: open while the page is looked at, from where the page is, and again after a break. */
import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import type { Summary } from "../run-summary.ts";
import type { WireRow } from "../wire.ts";
import { get, type Me, me } from "./api.ts";

/** What a screen does with what comes. */
export interface Listener {
  /** `isWhole`: what changed is all there is. */
  list?: (news: { changed: Summary[]; gone: string[]; isWhole: boolean }) => void;
  summary?: (news: { run: string; summary: Summary }) => void;
  rows?: (news: { run: string; rows: WireRow[] }) => void;
  events?: (news: { run: string }) => void;
  evaluations?: (news: { run: string }) => void;
  /** The run's files were cut or the dashboard was started again: all is to be read again, and nothing more comes. */
  restart?: (news: { run: string }) => void;
  /** Nothing more comes: a run is gone or cannot be read. */
  problem?: (news: { message: string }) => void;
}

/** Streams that got no answer for {@link silentMs}: what their screens show may be old. */
export const silentStreams = signal(0);

/**
 * Listens while the component is on the page and the page is looked at.
 *
 * @param address - of the stream; null: not yet
 * @param of - what the listener adds to: another one has another stream, from where it was read
 */
export function useStream(address: string | null, listener: Listener, of: unknown = null): void {
  // each rendering makes another object of the same listener
  useEffect(() => {
    if (address === null) return;
    const stream = new Stream(address, listener);
    return () => stream.close();
  }, [address, of]);
}

/** News after which nothing more is of use. */
const lasts: readonly string[] = ["restart", "problem"];

/** Ms after which a stream that broke for good is tried again. */
const againMs = 3000;

/** Ms without a connection after which a stream counts as silent: longer than a browser takes to connect again. */
const silentMs = 10_000;

/** One stream of a screen that is on the page. */
export class Stream {
  readonly #address: string;
  readonly #listener: Listener;
  #source: EventSource | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #silence: ReturnType<typeof setTimeout> | undefined;
  #isSilent = false;
  #isClosed = false;
  /** Where the stream was when it was closed. */
  #lastId = "";
  readonly #see = (): void => (document.hidden ? this.#stop() : this.#open());

  constructor(address: string, listener: Listener) {
    this.#address = address;
    this.#listener = listener;
    document.addEventListener("visibilitychange", this.#see);
    this.#see();
  }

  close(): void {
    this.#isClosed = true;
    document.removeEventListener("visibilitychange", this.#see);
    this.#stop();
  }

  #stop(): void {
    this.#heard();
    this.#leave();
  }

  #leave(): void {
    clearTimeout(this.#timer);
    this.#source?.close();
    this.#source = null;
  }

  #heard(): void {
    clearTimeout(this.#silence);
    this.#silence = undefined;
    if (this.#isSilent) silentStreams.value -= 1;
    this.#isSilent = false;
  }

  #unheard(): void {
    this.#silence ??= setTimeout(() => {
      this.#isSilent = true;
      silentStreams.value += 1;
    }, silentMs);
  }

  #open(): void {
    if (this.#isClosed || this.#source !== null) return;
    // the browser repeats the last id after a break by itself, and forgets it where the page closed the stream
    const query = new URLSearchParams(this.#address.split("?")[1]);
    const [runs = "", mark] = this.#lastId.split(";");
    if (runs !== "") query.set("runs", runs);
    if (mark !== undefined) query.set("list", mark);
    const source = new EventSource(`/api/stream?${query}`);
    this.#source = source;
    source.onopen = () => this.#heard();
    source.onerror = () => {
      this.#unheard();
      if (source.readyState === EventSource.CLOSED) void this.#again();
    };
    for (const [name, listen] of Object.entries(this.#listener)) {
      source.addEventListener(name, (event: MessageEvent<string>) => {
        this.#lastId = event.lastEventId;
        if (lasts.includes(name)) this.close();
        (listen as (news: unknown) => void)(JSON.parse(event.data));
      });
    }
  }

  /** The server refused: nobody is logged in any more, or it does not answer. */
  async #again(): Promise<void> {
    this.#leave();
    try {
      me.value = { ...(await get<Me>("/api/session")) };
    } catch (error) {
      if ((error as { status?: number }).status === 401) {
        this.#heard();
        me.value = null;
        return;
      }
    }
    // left, hidden, or seen again in the meantime
    if (this.#isClosed || document.hidden || this.#source !== null) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#see(), againMs);
  }
}
