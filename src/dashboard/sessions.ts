/** Who is logged in: links with a token that works once, and the sessions that they open. Both are gone when the program ends. */
import { createHash, randomBytes } from "node:crypto";

/** What somebody may do: an owner everything, a labeller label and nothing else, a viewer look and nothing else. */
export type Role = "owner" | "labeller" | "viewer";

/** A person who has logged in. */
export interface Session {
  role: Role;
  /** What labels and notes of this person carry. */
  name: string;
}

/** Most links that wait for their first use; the oldest goes when there are more. */
const mostLinks = 1000;
/** Most sessions at once; the oldest ends when there are more. */
const mostSessions = 1000;

/** The links and sessions of one dashboard. Secrets are kept as digests. */
export class Sessions {
  readonly #links: Map<string, Session> = new Map();
  readonly #sessions: Map<string, Session> = new Map();
  readonly #ends: WeakMap<Session, AbortController> = new WeakMap();

  /** A token that logs somebody in once. */
  link(session: Session): string {
    return this.#add(this.#links, session, mostLinks);
  }

  /** The secret of a new session in exchange for a link's token; null for one that is unknown or was used. */
  exchange(token: string): string | null {
    const key = digest(token);
    const session = this.#links.get(key);
    if (session === undefined) return null;
    this.#links.delete(key);
    this.#ends.set(session, new AbortController());
    return this.#add(this.#sessions, session, mostSessions);
  }

  /** Fires when the session ends: what it still reads ends too. */
  endOf(session: Session): AbortSignal {
    return this.#ends.get(session)?.signal ?? AbortSignal.abort();
  }

  /** Who has this secret; null for nobody. */
  of(secret: string): Session | null {
    return this.#sessions.get(digest(secret)) ?? null;
  }

  /** Ends a session. */
  end(secret: string): void {
    this.#take(this.#sessions, digest(secret));
  }

  #take(map: Map<string, Session>, key: string): void {
    const session = map.get(key);
    map.delete(key);
    if (session !== undefined) this.#ends.get(session)?.abort();
  }

  #add(map: Map<string, Session>, session: Session, most: number): string {
    const [oldest] = map.keys();
    if (map.size >= most && oldest !== undefined) this.#take(map, oldest);
    const secret = randomBytes(32).toString("base64url");
    map.set(digest(secret), session);
    return secret;
  }
}

// a digest is looked up, so that the time which it takes says nothing of the secret
function digest(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
