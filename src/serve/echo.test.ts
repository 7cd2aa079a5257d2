/** A prompt given back: its tokens' names joined are its text, and each stands where its place says. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { writeSentencePiece } from "../../test/support/sentencepiece.ts";
import { temporaryDirectory } from "../../test/support/tiny-models.ts";
import { loadTokenizer } from "../text/tokenizer.ts";
import { toEnd } from "../text/tokenizers/steps.ts";
import { echoSteps } from "./echo.ts";
import { TokenNames } from "./token-names.ts";

test("any text of a SentencePiece tokenizer: bytes joined are the text, whole tokens stand at their places", () => {
  using dir = temporaryDirectory();
  const tokenizer = loadTokenizer(writeSentencePiece(dir.path));
  const names = new TokenNames(tokenizer);
  const word = fc.oneof(
    fc.constantFrom(" ", "  ", "the", " the", "cat", "é", "€", "😀", "\n", "p", "s", "."),
    fc.string({ unit: "grapheme", maxLength: 3 }),
  );
  const text = fc.array(word, { minLength: 1, maxLength: 12 }).map((words) => words.join(""));
  fc.assert(
    fc.property(text, (given) => {
      fc.pre(given !== "" && !given.includes("▁"));
      const ids = tokenizer.encode(given, { addSpecialTokens: true });
      for (const asText of [true, false]) {
        const echo = toEnd(echoSteps(tokenizer, ids, asText ? given : null));
        assert.equal(echo.text, given);
        assert.equal(echo.places.length, ids.length);
        const first = ids.findIndex((id) => !tokenizer.isSpecial(id));
        const points = [...given];
        const joined = ids.flatMap((id, i) => {
          const { text: name, bytes } = names.of(id, i === first);
          if (tokenizer.isSpecial(id)) return [];
          const place = echo.places[i] ?? -1;
          if (!name.startsWith("bytes:")) {
            assert.equal(points.slice(place, place + [...name].length).join(""), name, `${given}: ${i}`);
          }
          return bytes;
        });
        assert.equal(Buffer.from(joined).toString(), given);
      }
    }),
  );
});
