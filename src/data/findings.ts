/** What can be found wrong or noteworthy in data: one code each, with its meaning and its remedy. */
import type { EncodeNote } from "../text/rows.ts";
import { describeOrigin, type Origin } from "./example.ts";

/** Errors stop; warnings are counted. */
export type Severity = "error" | "warning";

/** One kind of finding with the rows it was found in. */
export interface Finding {
  code: FindingCode;
  severity: Severity;
  /** Rows concerned. */
  count: number;
  /** The first few of them, as `file:line`. */
  rows: string[];
  message: string;
  remedy: string;
}

interface Description {
  message: string;
  remedy: string;
}

const mend = "Mend or remove the rows, or set invalid_rows: drop.";

const rowFaults = {
  invalid_row: { message: "rows have no form that can be read", remedy: mend },
  unencodable: { message: "rows cannot be turned into tokens", remedy: mend },
  empty_answer: { message: "rows have an answer without text", remedy: mend },
  empty_prompt: { message: "rows have a prompt of no tokens", remedy: `Give them a prompt. ${mend}` },
  bos_repeated: {
    message: "rows begin with more than one BOS token",
    remedy: `Take the BOS out of the text: the tokenizer or the chat template writes it. ${mend}`,
  },
  bos_missing: {
    message: "rows do not begin with the tokenizer's BOS token",
    remedy: "If the model was trained with a BOS, use a chat template or tokenizer that writes it.",
  },
  end_missing: {
    message: "rows have an answer without an end-of-turn token: the model would not learn to stop",
    remedy: `End each answer with the end-of-turn token. ${mend}`,
  },
  end_repeated: {
    message: "rows have an answer with its end-of-turn token twice",
    remedy: `Take the end-of-turn token out of the text: the chat template writes it. ${mend}`,
  },
  fully_masked: {
    message: "rows have an answer with no token in the loss",
    remedy: `Raise max_length, or check completion_mask. ${mend}`,
  },
  identical_pair: {
    message: "pairs have the same tokens as chosen and as rejected answer",
    remedy: `There is nothing to prefer. ${mend}`,
  },
  id_out_of_range: {
    message: "rows hold token ids outside the vocabulary",
    remedy: "Tokenise them with this model's tokenizer.",
  },
  reference_of_cut_row: {
    message: "rows were cut to max_length but bring reference log-probabilities of the whole answers",
    remedy: `Raise max_length, or leave the ref_*_logps columns out. ${mend}`,
  },
  too_long: {
    message: "rows are longer than max_length",
    remedy: "Raise max_length, or set overflow: drop or overflow: truncate.",
  },
} as const satisfies Record<string, Description>;

const setFaults = {
  no_rows: {
    message: "There are no rows to train on",
    remedy: "Check the paths and the counts of dropped rows.",
  },
  prompt_in_both_splits: {
    message: "evaluation rows have a prompt that is also trained on, so held-out figures would flatter",
    remedy:
      "Set eval_fraction (it splits by prompt), or invalid_rows: drop to leave them out of the evaluation.",
  },
  duplicate_row: {
    message: "rows repeat another row",
    remedy: "Remove them unless they are meant to weigh more.",
  },
  truncated: { message: "rows were cut to max_length", remedy: "Raise max_length if memory allows." },
  length_bias: {
    message: "Length alone tells the answers apart",
    remedy: "Compare any accuracy with this figure, and watch the answers' lengths during training.",
  },
  very_long_row: {
    message: "rows are more than eight times as long as the mean",
    remedy: "They set the peak of memory. Set max_length to bound it.",
  },
} as const satisfies Record<string, Description>;

const notes: Readonly<Record<EncodeNote, Description>> = {
  boundary_moved: {
    message: "rows have prompt tokens that merge with the answer's beginning and went to the answer",
    remedy: "Usual for plain text. In conversations, check that the prompt ends where an answer begins.",
  },
  end_of_turn_added: {
    message: "rows got an end-of-turn token that the template does not write",
    remedy: "Generation has to stop at the same token.",
  },
  end_of_turn_inside: {
    message: "rows have an answer that holds its end-of-turn token before the end",
    remedy: "Take special tokens out of the text.",
  },
  double_bos: {
    message: "rows had a second BOS, which was left out",
    remedy: "Take the BOS out of the text.",
  },
  empty_thinking_in_answer: {
    message: "rows have an empty thinking block in the answer, and so in the loss",
    remedy: "Set enable_thinking: false to have it in the prompt.",
  },
  generation_prompt_joined: {
    message: "rows have their answer set behind the generation prompt, which the template writes differently",
    remedy: "Nothing to do: this is how the model will be asked.",
  },
  turn_rewritten: {
    message: "rows have earlier assistant turns that are trained as the template shows them in the history",
    remedy: 'Set train_on: "last" to train on the last turn only.',
  },
  leading_assistant_skipped: {
    message: "conversations begin with an assistant turn, which has no prompt and is not learned",
    remedy: "Nothing to do, unless a message is missing.",
  },
  trailing_messages_dropped: {
    message: "conversations have messages after the last assistant turn, which were left out",
    remedy: "Nothing to do, unless an answer is missing.",
  },
};

/** Faults of single rows: what `invalid_rows: drop` can leave out. */
export type RowFault = keyof typeof rowFaults;

/** Names of findings. */
export type FindingCode = RowFault | keyof typeof setFaults | EncodeNote;

const descriptions: Readonly<Record<FindingCode, Description>> = { ...rowFaults, ...setFaults, ...notes };

const namedRows = 5;

/** Counts findings as rows go by. Order of first appearance is kept. */
export class FindingList {
  readonly #findings: Map<string, Finding> = new Map();

  /** Counts one row. `detail` of the first row is kept in the message. */
  add(code: FindingCode, severity: Severity, origin: Origin, detail?: string): void {
    const finding = this.#open(code, severity, detail === undefined ? "" : ` (first: ${detail})`);
    finding.count++;
    if (finding.rows.length < namedRows) finding.rows.push(describeOrigin(origin));
  }

  /** Adds a finding about the data as a whole. */
  addOverall(code: FindingCode, severity: Severity, count: number, detail: string): void {
    this.#open(code, severity, detail).count += count;
  }

  /** Errors first. */
  list(): Finding[] {
    const all = [...this.#findings.values()];
    return [...all.filter((f) => f.severity === "error"), ...all.filter((f) => f.severity === "warning")];
  }

  #open(code: FindingCode, severity: Severity, detail: string): Finding {
    const key = `${code} ${severity}`;
    const known = this.#findings.get(key);
    if (known !== undefined) return known;
    const { message, remedy } = descriptions[code];
    const finding: Finding = { code, severity, count: 0, rows: [], message: message + detail, remedy };
    this.#findings.set(key, finding);
    return finding;
  }
}
