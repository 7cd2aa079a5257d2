/** What can be found wrong or noteworthy in data: one code each, with its meaning and its remedy. */
import type { EncodeNote } from "../text/source-rows.ts";
import { describeOrigin, type Origin } from "./example.ts";

/** Errors stop; warnings are counted. */
export type Severity = "error" | "warning";

/** One kind of finding with the rows it was found in. */
export interface DataIssue {
  code: FindingCode;
  severity: Severity;
  /** Rows concerned. */
  count: number;
  /** The first few of them, as `file:line`. */
  rows: string[];
  /** What the rows have, as a phrase. */
  message: string;
  remedy: string;
}

interface Description {
  message: string;
  remedy: string;
}

const fixRows = "Fix or remove the rows, or set invalid_rows: drop.";

/** Faults of single rows: what `invalid_rows: drop` can leave out. */
export type RowFault =
  | "invalid_row"
  | "unencodable"
  | "not_rendered"
  | "empty_answer"
  | "empty_prompt"
  | "bos_repeated"
  | "end_missing"
  | "end_repeated"
  | "fully_masked"
  | "identical_pair"
  | "id_out_of_range"
  | "reference_of_cut_row"
  | "marked_bad"
  | "too_long"
  | "longer_than_context";

/** Findings about the data as a whole. */
export type SetFinding =
  | "no_rows"
  | "no_held_out_rows"
  | "bos_missing"
  | "prompt_in_both_splits"
  | "duplicate_row"
  | "truncated"
  | "good_completion_too_long"
  | "length_bias"
  | "very_long_row"
  | "file_passed_over"
  | "variants_together"
  | "column_passed_over"
  | "message_key_unread"
  | "prompt_repeated"
  | "scores_contradict"
  | "one_label"
  | "one_label_held_out"
  | "labels_unbalanced"
  | "labels_contradict"
  | "plain_strings";

const rowFaults: Readonly<Record<RowFault, Description>> = {
  invalid_row: { message: "no form that can be read", remedy: fixRows },
  unencodable: { message: "cannot be turned into tokens", remedy: fixRows },
  not_rendered: {
    message: "a message, tool call, tool, name or thinking that the chat template does not write",
    remedy: `Give a template that writes it with chat_template, or take it out. ${fixRows}`,
  },
  empty_answer: { message: "an answer without text", remedy: fixRows },
  empty_prompt: { message: "a prompt of no tokens", remedy: `Give them a prompt. ${fixRows}` },
  bos_repeated: {
    message: "more than one BOS token at the beginning",
    remedy: `Take the BOS out of the text: the tokenizer or the chat template writes it. ${fixRows}`,
  },
  end_missing: {
    message: "an answer without an end-of-turn token, so that the model would not learn to stop",
    remedy: `End each answer with the end-of-turn token. ${fixRows}`,
  },
  end_repeated: {
    message: "an answer with its end-of-turn token twice",
    remedy: `Take the end-of-turn token out of the text: the chat template writes it. ${fixRows}`,
  },
  fully_masked: {
    message: "an answer with no token in the loss",
    remedy: `Raise max_length, or check completion_mask. ${fixRows}`,
  },
  identical_pair: {
    message: "the same tokens as chosen and as rejected answer",
    remedy: `There is nothing to prefer. ${fixRows}`,
  },
  id_out_of_range: {
    message: "token ids outside the vocabulary",
    remedy: "Tokenise them with this model's tokenizer.",
  },
  reference_of_cut_row: {
    message: "cut to max_length, but with reference log-probabilities of the whole row",
    remedy: `Raise max_length, or leave the ref_*_logps columns out. ${fixRows}`,
  },
  marked_bad: {
    message: "an answer that its row marks as bad (label: false)",
    remedy: "objective: sft learns from answers marked as good alone, and leaves these rows out.",
  },
  too_long: {
    message: "longer than max_length",
    remedy: "Raise max_length, or set overflow: drop or overflow: truncate.",
  },
  longer_than_context: {
    message: "longer than the model's context (max_position_embeddings)",
    remedy:
      "The model knows no positions beyond it; with LongRoPE it ends at original_max_position_embeddings, beyond which one long row " +
      "would change the log-probs of all others. Set overflow: drop or overflow: truncate, or shorten the rows.",
  },
};

const setFindings: Readonly<Record<SetFinding, Description>> = {
  no_rows: {
    message: "no rows that can be used",
    remedy: "Check the paths, and what was dropped.",
  },
  no_held_out_rows: {
    message: "no rows to evaluate on: all held-out rows were dropped, or all rows have one prompt",
    remedy: "Check what was dropped, and give other eval_data; or leave eval_data and eval_fraction out.",
  },
  bos_missing: {
    message: "no BOS token at the beginning, though the tokenizer has one",
    remedy: "If the model was trained with a BOS, use a chat template or tokenizer that writes it.",
  },
  prompt_in_both_splits: {
    message: "a prompt in the evaluation that is also trained on, so that held-out figures would flatter",
    remedy:
      "Set eval_fraction (it splits by prompt), or invalid_rows: drop to leave them out of the evaluation.",
  },
  duplicate_row: {
    message: "the same tokens as an earlier row",
    remedy: "Remove them unless they are meant to weigh more.",
  },
  truncated: {
    message: "cut to max_length, or to the model's context where that is shorter",
    remedy: "Raise max_length if memory and the model's context allow.",
  },
  good_completion_too_long: {
    message:
      "a good completion that does not fit into max_length, or the model's context, with its prompt: it is left out",
    remedy:
      "The prompt is trained on all the same. To watch or replay what fits of the completion, set overflow: truncate.",
  },
  length_bias: {
    message: "length alone predicts the chosen answer",
    remedy: "Compare any accuracy with this figure, and watch the answers' lengths during training.",
  },
  very_long_row: {
    message: "more than eight times as long as the mean row",
    remedy: "They set the peak of memory. Set max_length to bound it.",
  },
  file_passed_over: {
    message: "a file that lies beside those read and was not read, or has no rows",
    remedy:
      "If it has rows that are meant, name it by itself in train_data (DIRECTORY/* names the files of all splits and formats); if not, nothing is lost.",
  },
  variants_together: {
    message: "folders or files of one data set on the hub that are read together",
    remedy:
      "If they are variants of which one is meant, name its folder (name: FOLDER, or hub:owner/name/FOLDER), or download it and " +
      "give its path; if all are meant, nothing to do.",
  },
  column_passed_over: {
    message: "a column that was not read, though its name or content promises a part of the row",
    remedy:
      "If it belongs to the row, say what it is (docs/data.md, Columns of other names); if not, nothing is lost.",
  },
  message_key_unread: {
    message: "a key of messages that the chat template does not read",
    remedy:
      "If it holds a part of the message, give a chat_template that writes it; if not, nothing is lost.",
  },
  prompt_repeated: {
    message: "answers that begin with their prompt, which is then there twice",
    remedy: "Take the prompt out of the answers, or leave the prompt column out.",
  },
  scores_contradict: {
    message: "scores of the row's own that do not put the chosen answer above the rejected one",
    remedy: "Leave ties out, and check which answer is the chosen one.",
  },
  one_label: {
    message: "training rows of one label alone",
    remedy:
      "Without both there is nothing to learn the difference from. Add rows of the other label; objective: sft learns from good answers alone.",
  },
  one_label_held_out: {
    message: "held-out rows of one label alone",
    remedy: "They show nothing of the other class. Give both, or hold out more rows.",
  },
  labels_unbalanced: {
    message: "good and bad answers that do not count about alike",
    remedy: "Set one of these weights, or leave it as it is where that is meant (docs/objectives.md).",
  },
  labels_contradict: {
    message: "the same answer to the same prompt as an earlier row, with the other label",
    remedy: "They pull against each other. Settle which label is right, and remove the other row.",
  },
  plain_strings: {
    message: "plain strings, to which the tokenizer's chat template was not applied",
    remedy:
      "If the model is to answer in a chat, set plain_strings: chat; if the strings are as they should be, plain_strings: text.",
  },
};

const notes: Readonly<Record<EncodeNote, Description>> = {
  boundary_moved: {
    message: "prompt tokens that merge with the answer's beginning and went to the answer",
    remedy: "Usual for plain text. In conversations, check that the prompt ends where an answer begins.",
  },
  end_of_turn_added: {
    message: "an end-of-turn token added that the template does not write",
    remedy: "Generation has to stop at the same token.",
  },
  end_of_turn_unmarked: {
    message:
      "a turn whose end the template's generation marks leave out; its end-of-turn token is learned all the same",
    remedy: "Nothing to do: the model has to learn to stop.",
  },
  end_of_turn_inside: {
    message: "an answer that holds its end-of-turn token before the end",
    remedy: "Take special tokens out of the text.",
  },
  double_bos: {
    message: "a second BOS, which was left out",
    remedy: "Take the BOS out of the text.",
  },
  empty_thinking_in_answer: {
    message: "an empty thinking block in the answer, and so in the loss",
    remedy:
      "Set enable_thinking: false to have it in the prompt, where the template knows that, or give the answers their thinking.",
  },
  generation_prompt_joined: {
    message: "the answer set behind the generation prompt, which the template writes differently",
    remedy: "Nothing to do: this is how the model will be asked.",
  },
  history_calls_dropped: {
    message: "tool calls that were answered, which the template leaves out of the history",
    remedy: "Give a template that writes them with chat_template.",
  },
  history_thinking_dropped: {
    message: "thinking of earlier assistant turns, which the template leaves out of the history",
    remedy: "Nothing to do: when the model is asked, it does not see that thinking either.",
  },
  no_generation_prompt: {
    message:
      "a chat template that ignores add_generation_prompt: the assistant's header, as before answers, was put into " +
      "the prompt and is not in the loss",
    remedy:
      "preftune generates the same way; other programs ask the model without the header. Give a template that writes " +
      "it with chat_template.",
  },
  turn_rewritten: {
    message: "earlier assistant turns that are trained as the template shows them in the history",
    remedy: 'Set train_on: "last" to train on the last turn only.',
  },
  leading_assistant_skipped: {
    message: "an assistant turn at the beginning, which has no prompt and is not learned",
    remedy: "Nothing to do, unless a message is missing.",
  },
  trailing_messages_dropped: {
    message: "messages after the last assistant turn, which were left out",
    remedy: "Nothing to do, unless an answer is missing.",
  },
};

/** Names of findings. */
export type FindingCode = RowFault | SetFinding | EncodeNote;

const descriptions: Readonly<Record<FindingCode, Description>> = { ...rowFaults, ...setFindings, ...notes };

/** A finding in words, for the documentation. */
export interface FindingDoc extends Description {
  code: FindingCode;
  /** About a row's tokens, about the data as a whole, or a note on how a row was encoded. */
  about: "row" | "set" | "encoding";
}

/** Every finding, in the order of the documentation. */
export function describeFindings(): FindingDoc[] {
  const list = (about: FindingDoc["about"], group: Readonly<Record<string, Description>>) =>
    Object.entries(group).map(([code, words]) => ({ code: code as FindingCode, about, ...words }));
  return [...list("row", rowFaults), ...list("set", setFindings), ...list("encoding", notes)];
}

/** What a finding says, without what to do. */
export function describeFinding(code: FindingCode): string {
  return descriptions[code].message;
}

const namedRows = 5;

/** Most subjects that a finding is counted for by themselves. */
const namedSubjects = 100;

/** How rows that were left out could be kept. */
const keepWords: Readonly<Partial<Record<FindingCode, string>>> = {
  too_long: "They are left out. To keep them raise max_length, or set overflow: truncate.",
  prompt_in_both_splits:
    "They are left out of the evaluation. To hold other rows out, set eval_fraction (it splits by prompt).",
  marked_bad: "They are left out: objective: sft learns from answers marked as good alone.",
  longer_than_context: "They are left out. To keep them shorten them, or set overflow: truncate.",
};

interface About {
  origin: Origin;
  hint: string;
}

/** Counts findings as rows go by. Order of first appearance is kept. */
export class FindingList {
  readonly #findings: Map<string, DataIssue> = new Map();
  /** What findings are about, by their code. */
  readonly #named: Map<FindingCode, Set<string>> = new Map();

  /** Counts one row that was left out: what there was to do has been done. `detail` is put behind the message. */
  addDropped(code: FindingCode, origin: Origin, detail: string): void {
    this.add(code, "warning", origin, detail);
    const finding = this.#open(code, "warning", detail);
    finding.remedy = keepWords[code] ?? "They are left out; fix them to keep them.";
  }

  /** Counts one row. `detail` of the first row is put behind the message. */
  add(code: FindingCode, severity: Severity, origin: Origin, detail: string = ""): void {
    const finding = this.#open(code, severity, detail);
    finding.count++;
    if (finding.rows.length < namedRows) finding.rows.push(describeOrigin(origin));
  }

  /** Counts one row under the finding's code and `subject`, which the message names; `hint` is put behind the remedy. */
  addAbout(subject: string, code: FindingCode, severity: Severity, { origin, hint }: About): void {
    const named = this.#named.get(code) ?? new Set();
    const isNamed = named.has(subject) || named.size < namedSubjects;
    if (isNamed) this.#named.set(code, named.add(subject));
    // Rows that make up new names must neither fill the memory nor the report.
    const name = subject.length > 60 ? `${subject.slice(0, 60)}...` : subject;
    const finding = isNamed
      ? this.#open(code, severity, `: "${name}"`, subject)
      : this.#open(code, severity, ": and others", "\n");
    if (finding.count === 0) finding.remedy += hint;
    finding.count++;
    if (finding.rows.length < namedRows) finding.rows.push(describeOrigin(origin));
  }

  /** Adds a finding that names no rows. */
  addOverall(code: FindingCode, severity: Severity, count: number, detail: string): void {
    this.#open(code, severity, detail).count += count;
  }

  /** Errors first. */
  list(): DataIssue[] {
    const all = [...this.#findings.values()];
    return [...all.filter((f) => f.severity === "error"), ...all.filter((f) => f.severity === "warning")];
  }

  #open(code: FindingCode, severity: Severity, detail: string, subject: string = ""): DataIssue {
    const key = `${code} ${severity} ${subject}`;
    const known = this.#findings.get(key);
    if (known !== undefined) return known;
    const { message, remedy } = descriptions[code];
    const finding: DataIssue = { code, severity, count: 0, rows: [], message: message + detail, remedy };
    this.#findings.set(key, finding);
    return finding;
  }
}
