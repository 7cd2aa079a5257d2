"""Writes test/goldens/bleu.json: scores of sacrebleu that the tests compare with.

For developers only; no test runs it. Run it from the repository root with the version below and commit the result:

    python scripts/write-bleu-goldens.py

Each set holds texts and, for each of them, sacrebleu's sentence BLEU against all others of its set.
"""

import json
import pathlib
import random

import sacrebleu
from sacrebleu.metrics import BLEU

PINNED = "2.6.0"
SETTINGS = {"tokenize": "13a", "smooth_method": "exp", "effective_order": True}
OUT = pathlib.Path(__file__).resolve().parent.parent / "test" / "goldens" / "bleu.json"
SEED = 5

WRITTEN = [
    ["The ferry leaves at noon.", "The ferry leaves at noon."],
    ["The ferry leaves at noon.", "The ferry leaves at dusk.", "A ferry left the pier at noon, didn't it?"],
    ["yes", "no"],
    ["yes", "yes indeed", "yes"],
    ["", "Something is here."],
    ["", ""],
    ["   \n\t ", "one two three four five six"],
    ["It costs 1,250.75 euros, not 1.3.", "It costs 1,250 euros - not 13.", "1.2.3, 4-5 and 6-\nseven"],
    ["a < b &amp;&amp; c &gt; d &quot;e&quot;", "a < b && c > d \"e\"", "&amp;lt; is <skipped>written so"],
    ["f(x) = {x[0]} / 2 + y; z: #1 @home ~ 50% $3 ^ `code` | pipe \\ back", "f(x)={x[0]}/2+y;z:#1@home~50%$3^`code`|pipe\\back"],
    ["Don't -- I said: \"stop!\" (now).", "Don't – I said: “stop!” (now)…", "don't I said stop now"],
    ["Ünïcode wörds, ünïcode .dots. 😀.😀,😀", "Ünïcode wörds ünïcode dots 😀", "日本語の文です。 もう一つ", "日本語の文です。"],
    ["no\u00a0break\u2003space\u001dunit\u0085next\ufeffbom\u200bzero", "no break space unit next bom zero"],
    ["go go go go go go go go", "go go go", "go stop go stop go stop go stop"],
    ["1. Holm\n2. Isk\n3. Pell\nEnd of list.", "1. Isk\n2. Holm\n3. Pell\nEnd of list.", "1. Holm\n2. Holm\n2. Holm"],
]


def drawn():
    """Sets of random texts from a few words, so that n-grams of every order match and miss."""
    rng = random.Random(SEED)
    words = "the a red old boat hill sells sees , . and 3 4.5 - salt; (figs) it's very".split()
    for _ in range(25):
        yield [" ".join(rng.choices(words, k=rng.randint(0, 14))) for _ in range(rng.randint(2, 6))]


def main():
    if sacrebleu.__version__ != PINNED:
        raise SystemExit(f"expected sacrebleu {PINNED}, got {sacrebleu.__version__}: install it or change PINNED")
    bleu = BLEU(**SETTINGS)
    sets = []
    for texts in [*WRITTEN, *drawn()]:
        scores = [bleu.sentence_score(t, texts[:i] + texts[i + 1 :]).score for i, t in enumerate(texts)]
        sets.append({"texts": texts, "scores": scores})
    words = [{"text": t, "words": bleu.tokenizer(t.rstrip()).split()} for texts in WRITTEN for t in texts]
    versions = {"sacrebleu": sacrebleu.__version__}
    provenance = {"script": "scripts/write-bleu-goldens.py", "seed": SEED, "versions": versions, "settings": SETTINGS}
    OUT.write_text(json.dumps({"provenance": provenance, "sets": sets, "words": words}, ensure_ascii=True) + "\n")
    print(OUT, OUT.stat().st_size)


main()
