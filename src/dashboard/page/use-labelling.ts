/** The pair at hand and the votes on their way. */
import { useEffect, useRef, useState } from "preact/hooks";
import type { ShowingOrder } from "../../workbench/label-events.ts";
import type { Progress, ShownTexts, SidedVote } from "../../workbench/labelling.ts";
import { me, post } from "./api.ts";
import { clearPending, keepPending, namesOf, pendingVotes } from "./pending-vote.ts";
import { place } from "./place.ts";

/** What the server says of the pairs that come. */
interface Next {
  pair: ShownTexts | null;
  /** The one after it, which is shown as soon as the pair is judged. */
  ahead: ShownTexts | null;
  progress: Progress;
}

interface Asked extends Next {
  rubric: string;
  workbench: string;
}

interface Voted extends Next {
  /** The vote was not taken: another one stands. */
  wasJudged: boolean;
}

/** The pair at hand, and what can be done with it. */
interface Labelling {
  next: Next | null;
  problem: string;
  rubric: string;
  vote: (vote: SidedVote) => Promise<void>;
  undo: () => void;
  fail: (problem: string) => void;
}

const keptWords =
  "The judgment is kept in this browser, and sent again with the next key or when this page is opened again.";
const elsewhereWords = "The pair was judged in another tab before: that judgment counts.";

/** The order that the address asks for. */
export const order = (): ShowingOrder => (place.value.query.has("unsure") ? "uncertain" : "random");

/** The pair at hand. A vote shows the one after it at once, and is sent meanwhile; if that fails, its pair is there again. */
export function useLabelling(): Labelling {
  const [next, setNext] = useState<Next | null>(null);
  const [problem, fail] = useState("");
  const rubric = useRef("");
  // of the votes that the browser keeps
  const names = useRef("");
  // what a key finds: the newest, also before it is drawn
  const shown = useRef<Next | null>(null);
  const answered = useRef<Promise<void>>(Promise.resolve());
  const isUndoing = useRef(false);
  const put = (now: Next): void => {
    shown.current = now;
    setNext(now);
  };
  // what is said stays until the next press: the answers to other votes do not take it away
  const add = (words: string): void =>
    fail((before) => (before === "" || before === words ? words : `${before} ${words}`));
  // one after the other, in the order of the keys
  const show = (ask: () => Promise<Next>, before: Next | null = null): Promise<void> => {
    answered.current = answered.current.then(ask).then(put, (error: Error) => {
      add(error.message);
      if (before !== null) put(before);
    });
    return answered.current;
  };
  const deliver = async (vote: SidedVote): Promise<Next> => {
    const { answer, words } = await sent(vote);
    clearPending(names.current, vote);
    if (words !== "") add(words);
    return answer ?? (await askNext());
  };
  useEffect(() => {
    const begin = async (): Promise<Next> => {
      const first = await askNext();
      rubric.current = first.rubric;
      names.current = namesOf(first.workbench, me.value?.name ?? "");
      const kept = pendingVotes(names.current);
      for (const vote of kept) await deliver(vote);
      // the first pair may be one of theirs
      return kept.length === 0 ? first : await askNext();
    };
    void show(begin);
  }, []);
  const vote = (given: SidedVote): Promise<void> => {
    fail("");
    // a press after an answer that never came sends the first one again
    const kept = pendingVotes(names.current).find(({ showing }) => showing === given.showing);
    const now = kept ?? given;
    keepPending(names.current, now);
    const before = shown.current;
    if (before !== null && before.ahead !== null) put({ ...before, pair: before.ahead, ahead: null });
    return show(() => deliver(now), before);
  };
  const undo = (): void => {
    // a second press before the answer would take another vote back, which nobody has seen
    if (isUndoing.current) return;
    isUndoing.current = true;
    fail("");
    // which vote is the last is known when those on their way are answered
    void show(async () => {
      const now = shown.current;
      const last = now?.progress.last ?? null;
      return now !== null && last === null
        ? now
        : await post<Next>("/api/label/undo", { order: order(), vote: last });
    }).finally(() => {
      isUndoing.current = false;
    });
  };
  return { next, problem, rubric: rubric.current, vote, undo, fail };
}

async function askNext(): Promise<Asked> {
  return await post<Asked>("/api/label/next", { order: order() });
}

/**
 * Sends a vote that the browser keeps. `words`: what is to be said of it; `answer`: null where it was refused.
 *
 * @throws where it may be taken later: without an answer or a login
 */
async function sent(vote: SidedVote): Promise<{ answer: Next | null; words: string }> {
  try {
    const answer = await post<Voted>("/api/label/vote", { order: order(), ...vote });
    return { answer, words: answer.wasJudged ? elsewhereWords : "" };
  } catch (error) {
    const { status, message } = error as Error & { status?: number };
    // what was refused is not sent again: the pair is not this person's, or not there any more
    if (status === 404 || status === 422)
      return { answer: null, words: `A judgment was not taken: ${message}` };
    throw new Error(`${message} ${keptWords}`);
  }
}
