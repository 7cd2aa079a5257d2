/** What a judge says, without what it thinks: verdicts are looked for outside of thinking blocks alone. */

/**
 * Marks in which models put their thoughts: tags of most (Seed's with its name before), `[THINK]` of Mistral's, `◁think▷` of
 * Kimi's, `<|begin_of_thought|>` of OpenThinker's. Those in backquotes are talked about, and `<think/>` holds nothing.
 */
const mark = new RegExp(
  [
    String.raw`<\s*(\/?)\s*(?:\w+:)?(?:think|thinking|thought|thoughts|reasoning)\b[^<>]*(?<!\/)>`,
    String.raw`\[(\/?)THINK\]`,
    String.raw`◁(\/?)think▷`,
    String.raw`<\|(begin|end)_of_thought\|>`,
  ]
    .map((form) => `(?<!\`)${form}(?!\`)`)
    .join("|"),
  "gi",
);
/** gpt-oss's channels, where a server lets them through: only the last final one is said. */
const channel = /<\|channel\|>\s*(\w+)[^<]*<\|message\|>/g;

/**
 * `answer` without its thinking blocks. Blocks may be nested; one that is not closed goes to the end; a closing mark without
 * an opening one closes what the chat template opened, so everything before it was thought. A mark in backquotes is one
 * that is talked about.
 */
export function saidAloud(answer: string): string {
  const text = finalChannel(answer);
  let said = "";
  let depth = 0;
  let from = 0;
  for (const found of text.matchAll(mark)) {
    const isClosing = [found[1], found[2], found[3], found[4]?.toLowerCase()].some(
      (sign) => sign === "/" || sign === "end",
    );
    if (depth === 0) said = isClosing ? "" : said + text.slice(from, found.index);
    depth = isClosing ? Math.max(0, depth - 1) : depth + 1;
    from = found.index + found[0].length;
  }
  return depth > 0 ? said : said + text.slice(from);
}

function finalChannel(answer: string): string {
  const channels = [...answer.matchAll(channel)];
  if (channels.length === 0) return answer;
  const last = channels.findLast(([, name]) => name === "final");
  if (last === undefined) return "";
  const text = answer.slice(last.index + last[0].length);
  return text.split(/<\|(?:end|return|start|call)\|>/, 1)[0] ?? "";
}
