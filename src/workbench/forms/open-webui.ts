/** Feedback of Open WebUI as its administrator exports it: a rated message, with those that other models wrote beside it. */
import type { Message } from "../../text/messages.ts";
import type { Comparison } from "../comparison.ts";
import {
  answerIn,
  type Form,
  NoComparison,
  nameIn,
  objectIn,
  onlyVote,
  placeOf,
  textIn,
  without,
} from "./form.ts";

type Messages = Record<string, Record<string, unknown>>;

export const openWebui: Form = {
  name: "open-webui",
  words: "feedback of Open WebUI (JSON): a rated answer with the one of another model beside it",
  fits: (columns) => objectIn(columns["data"]) !== null && objectIn(columns["snapshot"]) !== null,
  read(row): Comparison {
    const { value } = row;
    const data = objectIn(value["data"]) ?? {};
    const meta = objectIn(value["meta"]) ?? {};
    const messages = messagesIn(value["snapshot"]);
    const id = textIn(meta["message_id"]);
    const rated = id === null ? undefined : messages[id];
    if (id === null || rated === undefined)
      throw new NoComparison("a rating whose message is not in its snapshot");
    const siblings = Object.entries(messages).filter(
      ([other, message]) =>
        other !== id && message["parentId"] === rated["parentId"] && message["role"] === rated["role"],
    );
    const [sibling] = siblings;
    if (sibling === undefined) throw new NoComparison("a rating of one answer, with no other beside it");
    if (siblings.length > 1) throw new NoComparison("a rating among three answers or more, which is no pair");
    const place = placeOf(row, "snapshot");
    const answer = (message: Record<string, unknown>) => answerIn([plain(message)], place);
    const rating = Number(data["rating"]);
    const person = nameIn(value["user_id"]);
    return {
      prompt: answerIn(before(rated, messages), place),
      answers: [answer(rated), answer(sibling[1])],
      models: [nameIn(data["model_id"]) ?? nameIn(rated["model"]), nameIn(sibling[1]["model"])],
      votes: rating === 1 || rating === -1 ? [{ person, choice: rating === 1 ? "a" : "b" }] : [],
      extra: without(data, ["rating", "model_id", "sibling_model_ids"]),
    };
  },
  write(comparison): Record<string, unknown> {
    const vote = onlyVote(comparison, "Open WebUI");
    if (vote?.choice === "tie" || vote?.choice === "bad")
      throw new NoComparison("a tie, for which Open WebUI has no rating");
    const { prompt, models, extra } = comparison;
    const [a, b] = comparison.answers;
    const asked: Message[] = typeof prompt === "string" ? [{ role: "user", content: prompt }] : prompt;
    const chain = asked.map((message, i) => [
      `p${i}`,
      { ...message, id: `p${i}`, parentId: i === 0 ? null : `p${i - 1}` },
    ]);
    const reply = (id: string, answer: typeof a, model: string | null) => [
      id,
      { ...lastOf(answer), id, parentId: `p${asked.length - 1}`, model },
    ];
    const messages = Object.fromEntries([...chain, reply("a", a, models[0]), reply("b", b, models[1])]);
    return {
      type: "rating",
      ...(vote?.person == null ? {} : { user_id: vote.person }),
      data: {
        ...extra,
        ...(vote === null ? {} : { rating: vote.choice === "a" ? 1 : -1 }),
        model_id: models[0],
        sibling_model_ids: models[1] === null ? [] : [models[1]],
      },
      meta: { message_id: "a" },
      snapshot: { chat: { chat: { history: { messages } } } },
    };
  },
};

/** The messages by their ids: `snapshot.chat.chat.history.messages`. */
function messagesIn(snapshot: unknown): Messages {
  const outer = objectIn(objectIn(snapshot)?.["chat"]);
  const inner = objectIn(outer?.["chat"]) ?? outer;
  const found = objectIn(objectIn(inner?.["history"])?.["messages"]) ?? {};
  return Object.fromEntries(
    Object.entries(found).flatMap(([id, message]) => {
      const fields = objectIn(message);
      return fields === null ? [] : [[id, fields]];
    }),
  );
}

/** The messages from the first to the one that was answered. */
function before(message: Record<string, unknown>, messages: Messages): Record<string, unknown>[] {
  const chain: Record<string, unknown>[] = [];
  const seen = new Set<string>();
  for (let id = textIn(message["parentId"]); id !== null && !seen.has(id); ) {
    seen.add(id);
    const parent = messages[id];
    if (parent === undefined) break;
    chain.unshift(plain(parent));
    id = textIn(parent["parentId"]);
  }
  return chain;
}

function plain({ role, content }: Record<string, unknown>): Record<string, unknown> {
  return { role, content };
}

function lastOf(answer: Comparison["prompt"]): Message {
  if (typeof answer === "string") return { role: "assistant", content: answer };
  const [only] = answer;
  if (only === undefined || answer.length > 1)
    throw new NoComparison("an answer of several messages, for which Open WebUI has no place");
  return only;
}
