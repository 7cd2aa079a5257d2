/**
 * Python's `strip`, `lstrip`, `rstrip` and Jinja's `trim` for chat templates.
 *
 * The Jinja library ignores the argument of these methods and trims JavaScript's white space, so that
 * `content.lstrip('\n')` would take away an answer's indentation. A parsed template is rewritten to call ours instead.
 */

type Side = "strip" | "lstrip" | "rstrip";

const functionNames: Readonly<Record<Side, string>> = {
  strip: "preftune_strip",
  lstrip: "preftune_lstrip",
  rstrip: "preftune_rstrip",
};

/** What `str.strip()` of Python takes for white space. */
const pythonSpace =
  "\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000";

/** `text` without the characters of `chars` at the chosen ends. */
export function stripText(side: Side, text: unknown, chars: unknown = null): string {
  if (typeof text !== "string")
    throw new Error(`${side} expects text, got ${text === null ? "none" : typeof text}`);
  const set = new Set(typeof chars === "string" ? chars : pythonSpace);
  const units = [...text];
  let start = 0;
  let end = units.length;
  if (side !== "rstrip") while (start < end && set.has(units[start] ?? "")) start++;
  if (side !== "lstrip") while (end > start && set.has(units[end - 1] ?? "")) end--;
  return units.slice(start, end).join("");
}

/** The functions that a rewritten template calls, by name. */
export const stripFunctions: Readonly<Record<string, (text: unknown, chars?: unknown) => string>> = {
  [functionNames.strip]: (text, chars) => stripText("strip", text, chars),
  [functionNames.lstrip]: (text, chars) => stripText("lstrip", text, chars),
  [functionNames.rstrip]: (text, chars) => stripText("rstrip", text, chars),
};

interface Node {
  type?: unknown;
  [key: string]: unknown;
}

/** Changes every `x.strip(...)`, `x.lstrip(...)`, `x.rstrip(...)` and `x | trim` below `value`, in place. */
export function rewriteStrips(value: unknown): void {
  if (typeof value !== "object" || value === null) return;
  if (Array.isArray(value)) {
    for (const item of value) rewriteStrips(item);
  } else if (value instanceof Map) {
    for (const entry of value) rewriteStrips(entry);
  } else {
    const node = value as Node;
    for (const child of Object.values(node)) rewriteStrips(child);
    rewriteNode(node);
  }
}

function rewriteNode(node: Node): void {
  if (node.type === "FilterExpression" && isIdentifier(node["filter"], "trim")) {
    node["args"] = [node["operand"]];
    node["callee"] = identifier(functionNames.strip);
    node.type = "CallExpression";
    delete node["operand"];
    delete node["filter"];
    return;
  }
  const callee = node["callee"] as Node | undefined;
  if (node.type !== "CallExpression" || callee?.type !== "MemberExpression" || callee["computed"] === true)
    return;
  for (const side of ["strip", "lstrip", "rstrip"] as const) {
    if (isIdentifier(callee["property"], side) && Array.isArray(node["args"])) {
      node["args"] = [callee["object"], ...node["args"]];
      node["callee"] = identifier(functionNames[side]);
    }
  }
}

function isIdentifier(value: unknown, name: string): boolean {
  const node = value as Node | null | undefined;
  return node?.type === "Identifier" && node["value"] === name;
}

function identifier(name: string): Node {
  return { type: "Identifier", value: name };
}
