/**
 * Whether a chat template writes all that a conversation holds: contents, thinking, tool calls, names, tools.
 *
 * A mark is put into each part and the conversation is rendered once more: a part whose mark is missing, and whose
 * change changes nothing, is not written. Templates strip, escape and rewrite, so the texts alone do not tell. What
 * was found for one conversation holds for those of the same shape whose texts stand in their renderings word for word.
 */
import { createHash } from "node:crypto";
import { DataError } from "../base/errors.ts";
import { conversationParts, isCallKey, type Part } from "./conversation-parts.ts";
import type { RenderOutcome, RenderRequest, TemplateRenderer } from "./template.ts";

/** A whole conversation with its rendering. */
export interface WholeConversation {
  where: string;
  request: RenderRequest;
  rendered: string;
  /** Index of the first message whose thinking is learned: templates may leave it out of the turns before. */
  learnedFrom: number;
  /** See `ChatRow`. Default false. */
  mayDropAnsweredCalls?: boolean;
}

/** The template does not write a part of a row. */
export class NotRenderedError extends DataError {}

/** What a conversation's check gave: the error, or which of the parts that may be left out of the history are. */
export type CheckOutcome = { error: NotRenderedError } | { dropsThinking: boolean; dropsCalls: boolean };

interface Task {
  conversation: WholeConversation;
  parts: Part[];
  shape: string;
}

/** Shapes that are kept. A server sees as many as its clients think of. */
const mostKnown = 4096;

function digest(value: unknown): string {
  return createHash("sha256").update(JSON.stringify(value)).digest("base64");
}

/** Parts of a conversation among which those that are not written are looked for, and those found. */
interface Search {
  task: Task;
  salt: string | undefined;
  groups: Part[][];
  missing: Part[];
}

/** Checks conversations against one template. */
export class RenderingCheck {
  readonly #renderer: TemplateRenderer;
  readonly #template: string;
  /** Parts that are not written, as the shape's usual way (thinking of earlier turns), by shape. */
  readonly #known: Map<string, ReadonlySet<string>> = new Map();

  /** @param template - its name and place, for messages */
  constructor(renderer: TemplateRenderer, template: string) {
    this.#renderer = renderer;
    this.#template = template;
  }

  /** The outcome of each conversation, in order. */
  async check(conversations: readonly WholeConversation[]): Promise<CheckOutcome[]> {
    const tasks = conversations.map((conversation): Task => {
      const { request, learnedFrom, mayDropAnsweredCalls = false } = conversation;
      const parts = conversationParts(request, { learnedFrom, mayDropAnsweredCalls });
      const shape = digest([parts.map(({ key }) => key), request.variables, request.addGenerationPrompt]);
      return { conversation, parts, shape };
    });
    const fresh = new Map(
      tasks.filter(({ shape }) => !this.#known.has(shape)).map((task) => [task.shape, task]),
    );
    const outcomes = new Map<Task, CheckOutcome>();
    await this.#probe([...fresh.values()], outcomes);
    for (const task of tasks) {
      const missing = this.#known.get(task.shape);
      if (missing === undefined || outcomes.has(task)) continue;
      const { rendered } = task.conversation;
      const isThere = ({ key, texts }: Part): boolean =>
        missing.has(key) || texts.every((text) => rendered.includes(text));
      if (task.parts.every(isThere)) outcomes.set(task, leftOut(missing));
    }
    await this.#probe(
      tasks.filter((task) => !outcomes.has(task)),
      outcomes,
    );
    return tasks.map((task) => outcomes.get(task) ?? leftOut(new Set()));
  }

  /** Renders with marks in all parts at once, then looks for what is not written among those whose marks are missing. */
  async #probe(tasks: readonly Task[], outcomes: Map<Task, CheckOutcome>): Promise<void> {
    const salts = tasks.map(({ conversation }) => saltFor(conversation.rendered));
    const rendered = await this.#renderer.renderEach(
      tasks.map(({ conversation, parts }, i) =>
        parts.reduce((request, part, p) => part.apply(request, markOf(salts[i], p)), conversation.request),
      ),
    );
    const doubtful = tasks.map(({ parts }, i) => {
      const result = rendered[i];
      const text = result !== undefined && "text" in result ? result.text.toLowerCase() : "";
      return parts.filter((_, p) => !text.includes(markOf(salts[i], p)));
    });
    await this.#findMissing(
      tasks.map((task, i) => ({ task, salt: salts[i], groups: groupOf(doubtful[i] ?? []), missing: [] })),
      outcomes,
    );
  }

  /**
   * Changes the doubtful parts of each conversation together: where that changes nothing, none of them is written; else each
   * half of them is looked at by itself. A thousand messages whose thinking is left out take one rendering, not a thousand.
   */
  async #findMissing(searches: Search[], outcomes: Map<Task, CheckOutcome>): Promise<void> {
    for (let open = searches; open.length > 0; open = open.filter(({ groups }) => groups.length > 0)) {
      const rendered = await this.#renderer.renderEach(
        open.flatMap(({ task, salt, groups }) =>
          groups.map((group) =>
            group.reduce((request, part) => part.apply(request, markOf(salt, 0)), task.conversation.request),
          ),
        ),
      );
      let next = 0;
      for (const search of open) {
        const { groups, missing, task } = search;
        const results = rendered.slice(next, next + groups.length);
        next += groups.length;
        search.groups = groups.flatMap((group, g) => {
          if (!isUnchanged(results[g], task.conversation.rendered)) return halves(group);
          missing.push(...group);
          return [];
        });
      }
    }
    for (const { task, missing } of searches) {
      // a part that has to be written is named as in the conversation
      const found = new Set(missing);
      const inOrder = task.parts.filter((part) => found.has(part));
      outcomes.set(task, this.#conclude(task, inOrder));
    }
  }

  #conclude({ conversation, shape }: Task, missing: readonly Part[]): CheckOutcome {
    const lost = missing.find(({ mayBeMissing }) => !mayBeMissing);
    if (lost !== undefined) return { error: this.#error(conversation.where, lost) };
    const keys = new Set(missing.map(({ key }) => key));
    if (this.#known.size >= mostKnown) this.#known.clear();
    this.#known.set(shape, keys);
    return leftOut(keys);
  }

  #error(where: string, { label, remedy }: Part): NotRenderedError {
    return new NotRenderedError(
      `${where}: expected the chat template to write ${label}, but it leaves it out, and what is left out is neither ` +
        `asked nor learned (template: ${this.#template}). ${remedy}`,
    );
  }
}

function groupOf(parts: Part[]): Part[][] {
  return parts.length === 0 ? [] : [parts];
}

/** The halves of a group; none of a single part. */
function halves(group: Part[]): Part[][] {
  if (group.length < 2) return [];
  const half = Math.ceil(group.length / 2);
  return [group.slice(0, half), group.slice(half)];
}

function leftOut(keys: ReadonlySet<string>): CheckOutcome {
  const calls = [...keys].filter(isCallKey).length;
  return { dropsThinking: keys.size > calls, dropsCalls: calls > 0 };
}

/** A word that `text` does not hold, in small letters: templates may change the case. */
function saltFor(text: string): string {
  const low = text.toLowerCase();
  let salt = "pfmark";
  while (low.includes(salt)) salt += "q";
  return salt;
}

/** The mark of part `index`: a word that ends, so that none is the beginning of another. */
function markOf(salt: string | undefined, index: number): string {
  return `${salt}${index}x`;
}

/** A template that refuses the changed part has looked at it. */
function isUnchanged(result: RenderOutcome | undefined, rendered: string): boolean {
  return result !== undefined && "text" in result && result.text === rendered;
}
