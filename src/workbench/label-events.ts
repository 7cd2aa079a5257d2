/** What happens while people label, and the state that follows from it. Events are only ever added; undo is one of them. */
import { type Choice, type Comparison, exchanged } from "./comparison.ts";

/** Who judges: a person, a model that judges, or a file that does not say who. */
export type PersonKind = "person" | "judge" | "file";

/** What a judgment says. "skip": nothing, for a reason. */
export type Verdict = Choice | "skip";

/** A judgment of one item. */
export interface VoteBody {
  verdict: Verdict;
  /** 2: much better. */
  strength: 1 | 2;
  /** Milliseconds from showing to key; null where that is not known. */
  ms: number | null;
  reason?: string;
  /** Of a judge that was asked in both orders: with answer "a" shown first, and with "b" shown first. */
  orders?: readonly [Choice, Choice];
  /** A better wording of one answer, which becomes the chosen one. */
  edit?: { answer: "a" | "b"; text: string };
}

/** How the item came to be shown: only those drawn at random count in win rates. */
export type ShowingOrder = "random" | "uncertain";

/** Bodies of events by their kind. */
export interface EventBodies {
  person: { kind: PersonKind };
  shown: {
    swapped: boolean;
    isRepeat: boolean;
    order: ShowingOrder;
    /** Of a battle: who wrote answer "a" and who "b" this time. Others may have written the same words before. */
    models?: Comparison["models"];
  };
  vote: VoteBody;
  /** Takes a vote back. */
  undo: { vote: number };
  note: { text: string };
  flag: { isSet: boolean };
  /** Of a model that scored both answers: how far it prefers "a". */
  margin: { margin: number };
  /** What counts for an item whatever was voted. */
  decision: { choice: Choice | null };
}

/** A line of the log. */
export type LabelEvent = {
  [K in keyof EventBodies]: {
    seq: number;
    time: string;
    kind: K;
    person: string;
    /** "" where the event is about no item. */
    item: string;
    /** "" where it is about none: votes that came with a file. */
    showing: string;
    body: EventBodies[K];
  };
}[keyof EventBodies];

/** An item as it was put before a person. */
export interface Showing {
  id: string;
  seq: number;
  item: string;
  person: string;
  /** Whether answer "b" stood on the left. */
  swapped: boolean;
  /** Whether the person had judged it before. */
  isRepeat: boolean;
  order: ShowingOrder;
  models?: Comparison["models"];
  /** The vote that stands, or null. */
  vote: number | null;
}

/** A vote that stands. */
export interface Vote extends VoteBody {
  seq: number;
  time: string;
  item: string;
  person: string;
  /** Null: it came with a file. */
  showing: Showing | null;
}

/** The votes of one person. */
export interface OwnVotes {
  /** In their order. */
  all: Vote[];
  /** The first of each item; repeats and skips are left out. */
  firsts: Map<string, Vote>;
}

/** What somebody wrote about an item. */
export interface Note {
  person: string;
  text: string;
}

/** What counts for an item, and who said so. */
export interface Decision {
  choice: Choice;
  person: string;
}

/** The side that a verdict names: -1 the left answer, 1 the right one, 0 neither. */
export function sideOf({ verdict, showing }: Vote): -1 | 0 | 1 {
  if (showing === null || (verdict !== "a" && verdict !== "b")) return 0;
  const onScreen = showing.swapped ? exchanged(verdict) : verdict;
  return onScreen === "a" ? -1 : 1;
}

/** The state after a row of events. */
export class LabelState {
  /** The last event that was applied. */
  seq = 0;
  /** The last one that changed what a judge or a model says of an item. */
  opinionSeq = 0;
  readonly people: Map<string, PersonKind> = new Map();
  readonly showings: Map<string, Showing> = new Map();
  /** Votes that stand, in their order. */
  readonly votes: Map<number, Vote> = new Map();
  /** Of each item, everybody's last note. */
  readonly notes: Map<string, Note[]> = new Map();
  /** Of each item, who has flagged it. */
  readonly flags: Map<string, ReadonlySet<string>> = new Map();
  readonly decisions: Map<string, Decision> = new Map();
  /** Of each model, its last margin of every item that it scored. */
  readonly margins: Map<string, Map<string, number>> = new Map();

  apply(event: LabelEvent): void {
    this.seq = event.seq;
    if (this.people.get(event.person) !== "person") this.opinionSeq = event.seq;
    switch (event.kind) {
      case "person":
        this.people.set(event.person, event.body.kind);
        break;
      case "shown": {
        const { showing: id, seq, item, person } = event;
        this.showings.set(id, { id, seq, item, person, ...event.body, vote: null });
        break;
      }
      case "vote":
        this.#vote(event.seq, event.time, event);
        break;
      case "undo":
        this.#undo(event.body.vote);
        break;
      case "note":
        this.#note(event.item, { person: event.person, text: event.body.text });
        break;
      case "flag":
        this.#flag(event.item, event.person, event.body.isSet);
        break;
      case "margin":
        this.#margin(event.person, event.item, event.body.margin);
        break;
      case "decision":
        if (event.body.choice === null) this.decisions.delete(event.item);
        else this.decisions.set(event.item, { choice: event.body.choice, person: event.person });
    }
  }

  /** What stands of everybody who voted. */
  votesByPerson(): Map<string, OwnVotes> {
    const found = new Map<string, OwnVotes>();
    for (const vote of this.votes.values()) {
      const { person, item, verdict, showing } = vote;
      const { all, firsts } = found.get(person) ?? { all: [], firsts: new Map<string, Vote>() };
      found.set(person, { all, firsts });
      all.push(vote);
      if (verdict !== "skip" && showing?.isRepeat !== true && !firsts.has(item)) firsts.set(item, vote);
    }
    return found;
  }

  #vote(seq: number, time: string, { item, person, showing: id, body }: LabelEvent & { kind: "vote" }): void {
    const showing = this.showings.get(id) ?? null;
    if (showing !== null) showing.vote = seq;
    this.votes.set(seq, { seq, time, item, person, showing, ...body });
  }

  #note(item: string, note: Note): void {
    const others = (this.notes.get(item) ?? []).filter(({ person }) => person !== note.person);
    this.notes.set(item, note.text === "" ? others : [...others, note]);
  }

  #flag(item: string, person: string, isSet: boolean): void {
    const others = [...(this.flags.get(item) ?? [])].filter((one) => one !== person);
    this.flags.set(item, new Set(isSet ? [...others, person] : others));
  }

  #margin(model: string, item: string, margin: number): void {
    const own = this.margins.get(model) ?? new Map<string, number>();
    this.margins.set(model, own.set(item, margin));
  }

  #undo(seq: number): void {
    const vote = this.votes.get(seq);
    if (vote?.showing != null) vote.showing.vote = null;
    this.votes.delete(seq);
  }
}
