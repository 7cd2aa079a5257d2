/** The nodes of a round. */
import type { RoundNode } from "../workbench/rounds/round-record.ts";
import { answers, dataCheck, labels, pairs, prompts } from "./data-nodes.ts";
import { comparison, training } from "./model-nodes.ts";
import type { Node } from "./round-work.ts";

/** Each node by its name. */
export const nodes: Readonly<Record<RoundNode, Node>> = {
  prompts,
  answers,
  labels,
  pairs,
  data_check: dataCheck,
  training,
  comparison,
};
