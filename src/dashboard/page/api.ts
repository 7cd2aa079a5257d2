/** Questions to the server. An answer that is no success becomes an error with the server's words. */
import { signal } from "@preact/signals";
import type { EmptyTexts } from "../empty-texts.ts";
import type { Role } from "../sessions.ts";

/** Who is logged in, as the server says; null: nobody. `readOnly`: why nothing can be changed here. */
export interface Me {
  role: Role;
  name: string;
  readOnly: string | null;
  /** What screens say where there is nothing yet. */
  empty: EmptyTexts;
}

/** Who is logged in; undefined until it is known. */
export const me = signal<Me | null | undefined>(undefined);

/** Whether who is logged in may change something here. */
export function mayChange(): boolean {
  return me.value?.role === "owner" && me.value.readOnly === null;
}

/** A refusal of the server. */
class Refusal extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** Asks for JSON. @throws {Refusal} with the server's words */
export async function get<T>(path: string): Promise<T> {
  return await ask<T>("GET", path);
}

/** Sends JSON. @throws {Refusal} with the server's words */
export async function post<T>(path: string, body: unknown): Promise<T> {
  return await ask<T>("POST", path, body);
}

/** Asks to delete. @throws {Refusal} with the server's words */
export async function remove<T>(path: string): Promise<T> {
  return await ask<T>("DELETE", path);
}

/** Sends JSON; the answer is read as it comes. @throws {Refusal} with the server's words */
export async function postForStream(path: string, body: unknown): Promise<Response> {
  return await answerTo("POST", path, body);
}

async function ask<T>(method: string, path: string, body?: unknown): Promise<T> {
  const response = await answerTo(method, path, body);
  return (await response.json().catch(() => ({}))) as T;
}

async function answerTo(method: string, path: string, body: unknown): Promise<Response> {
  const sent =
    body === undefined ? {} : { body: JSON.stringify(body), headers: { "Content-Type": "application/json" } };
  const response = await fetch(path, { method, ...sent }).catch(() => {
    throw new Refusal(
      0,
      "The dashboard does not answer: it was stopped, or this machine is out of reach. Runs continue without it.",
    );
  });
  if (response.ok) return response;
  if (response.status === 401) me.value = null;
  const { error } = (await response.json().catch(() => ({}))) as { error?: string };
  throw new Refusal(response.status, error ?? `The dashboard answered with status ${response.status}.`);
}

/** Logs in with the token of the address, which is then taken out of it, or finds out who is logged in. */
export async function logIn(): Promise<void> {
  const token = /^#token=(.+)$/.exec(location.hash)?.[1];
  try {
    if (token !== undefined) {
      history.replaceState(null, "", "/");
      me.value = await post<Me>("/api/session", { token });
    } else me.value = await get<Me>("/api/session");
  } catch (error) {
    me.value = null;
    const { status, message } = error as Refusal;
    // that nobody is logged in is said where nothing else is
    if (token !== undefined || status !== 401) loginProblem.value = message;
  }
}

/** Why the last link did not log in, or why it is not known who is; "" otherwise. */
export const loginProblem = signal("");
