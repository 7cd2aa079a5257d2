/** Texts of strangers: as they are, with what differs marked, or rendered. Nothing in them becomes HTML, and nothing is loaded. */
import type { ComponentChildren, JSX } from "preact";
import { wordsAgainst } from "../../report/word-diff.ts";

/** How a text is shown. */
export interface TextLook {
  isRendered: boolean;
  /** Marks the words that this one lacks. */
  against: string | null;
}

/** As it is. */
export const asItIs: TextLook = { isRendered: false, against: null };

/** A text. */
export function TextView({ text, look }: { text: string; look: TextLook }): JSX.Element {
  const pieces = look.against === null ? null : wordsAgainst(text, look.against);
  if (pieces !== null) {
    return (
      <p class="as-text">
        {pieces.map(({ text: piece, isOwn }, i) => (isOwn ? <mark key={i}>{piece}</mark> : piece))}
      </p>
    );
  }
  return look.isRendered ? <Rendered text={text} /> : <p class="as-text">{text}</p>;
}

/** What the assistant could call, and how its template was set; folded, as it may be long. */
export function Inputs({ text }: { text: string }): JSX.Element | null {
  if (text === "") return null;
  return (
    <details>
      <summary>Tools and settings</summary>
      <TextView text={text} look={asItIs} />
    </details>
  );
}

interface Texts {
  inputs: string;
  prompt: string;
  a: string;
  b: string;
}

/** A prompt and its two answers as they are, with what differs marked. */
export function BareTexts({ inputs, prompt, a, b }: Texts): JSX.Element {
  return (
    <>
      <Inputs text={inputs} />
      <TextView text={prompt} look={asItIs} />
      <div class="sides">
        <div class="bench-answer">
          <TextView text={a} look={{ isRendered: false, against: b }} />
        </div>
        <div class="bench-answer">
          <TextView text={b} look={{ isRendered: false, against: a }} />
        </div>
      </div>
    </>
  );
}

/** The parts of Markdown that answers are mostly made of: blocks of code, headings, lists, emphasis. Links and images stay text. */
function Rendered({ text }: { text: string }): JSX.Element {
  const blocks = text.split(/^```/m);
  return (
    <div>
      {blocks.map((block, i) =>
        i % 2 === 1 ? (
          <pre key={i} class="as-text">
            <code>{block.replace(/^[^\n]*\n/, "").replace(/\n$/, "")}</code>
          </pre>
        ) : (
          block
            .split(/\n{2,}/)
            .filter((paragraph) => paragraph.trim() !== "")
            .map((paragraph, j) => <Paragraph key={`${i} ${j}`} text={paragraph} />)
        ),
      )}
    </div>
  );
}

function Paragraph({ text }: { text: string }): JSX.Element {
  const heading = /^\s*#{1,6}\s+(.*)$/.exec(text);
  if (heading !== null)
    return (
      <p>
        <strong>{inline(heading[1] ?? "")}</strong>
      </p>
    );
  const lines = text.split("\n").filter((line) => line.trim() !== "");
  if (lines.every((line) => /^\s*[-*]\s/.test(line)))
    return (
      <ul>
        {lines.map((line, i) => (
          <li key={i}>{inline(line.replace(/^\s*[-*]\s+/, ""))}</li>
        ))}
      </ul>
    );
  if (lines.every((line) => /^\s*\d+[.)]\s/.test(line)))
    return (
      <ol>
        {lines.map((line, i) => (
          <li key={i}>{inline(line.replace(/^\s*\d+[.)]\s+/, ""))}</li>
        ))}
      </ol>
    );
  return <p class="as-text">{inline(text)}</p>;
}

function inline(text: string): ComponentChildren[] {
  return text.split(/(`[^`\n]+`|\*\*[^*\n]+\*\*|\*[^*\s][^*\n]*\*)/).map((piece, i) => {
    if (i % 2 === 0) return piece;
    if (piece.startsWith("`")) return <code key={i}>{piece.slice(1, -1)}</code>;
    if (piece.startsWith("**")) return <strong key={i}>{piece.slice(2, -2)}</strong>;
    return <em key={i}>{piece.slice(1, -1)}</em>;
  });
}
