"""Writes test/goldens/tokenizers.json: tokens and texts of the tokenizers library for tokenizer.json of every kind of part.

For developers only; no test runs it. Run it from the repository root with the version below and commit the result:

    .preftune/peers/bin/python scripts/write-tokenizers-goldens.py

`models` are small models trained here. Each of `tokenizers` names one and has the other parts of a tokenizer.json, the ids
of every string of `strings` (null where the library raises an error), their ids with special tokens where it has a
post-processor, and for some the texts decoded from the ids.
"""

import json
import pathlib

import tokenizers
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

PINNED = "0.23.3"
OUT = pathlib.Path(__file__).resolve().parent.parent / "test" / "goldens" / "tokenizers.json"

CORPUS = [
    "The quick brown fox jumps over the lazy dog. It's 12 o'clock, don't panic! hello world hello",
    "Straße café naïve 日本語の文です。 def f(x):\n    return x + 1\n   spaces  and\ttabs\r\n a b c 1 2 3 ...",
]
STRINGS = [
    "", " a", "  a  b ", "Hello, World!! don't I'LL", "12345 1.5 ½ ² ٣ Ⅷ", "\u00a0a\u0085b\u2028", "a\ufeffb \ufeff\u180e\u200b",
    "\r\n\n a\rb", "a\x00b\x07\x7f", "é e\u0301 Å", "ΑΣ ΣΑΣ Σ İI ẞ ﬁ", "漢字kanji𠀀 日本", "עִבְרִית हिन्दी", "a😀b👨‍👩‍👧", "a_b-c.d,e;f $€ “x» … `~^", "▁a▁b", "ab" * 40, " " * 9, "a…b ①",
    "x<W>y <W> _<W> <W><W>.", "é<W> \u0301<W> 1<W>", "a\u00a0\u0085<L>b a\ufeff<L>b", "<R>  \u0085b<R>\ufeffb", "a  <LR>  <LR>  b", "<N><n> x <N>y", "É<É> <É>", "<sp ace> <ab<ab <s><s", "<L><R> <L>", " do not , n't 's .",
]
ADDED = [
    ("<s>", {"special": True, "normalized": False}),
    ("<W>", {"single_word": True, "normalized": False}),
    ("<L>", {"lstrip": True, "normalized": False}),
    ("<R>", {"rstrip": True, "normalized": False}),
    ("<LR>", {"lstrip": True, "rstrip": True, "normalized": False}),
    ("<N>", {"normalized": True}),
    ("<É>", {"normalized": True, "single_word": True}),
    ("<sp ace>", {"normalized": False}),
    ("<ab", {"normalized": True, "lstrip": True}),
]

P, N, D = pre_tokenizers, normalizers, decoders
BYTES = P.ByteLevel(add_prefix_space=False)
PLAIN_BYTES = P.ByteLevel(add_prefix_space=False, use_regex=False)


def train(model, trainer, **options):
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = options.get("pre", P.Metaspace())
    tokenizer.train_from_iterator(CORPUS, trainer)
    return json.loads(tokenizer.to_str())["model"]


def make_models():
    quiet = {"show_progress": False}
    fallback = ["<unk>"] + [f"<0x{byte:02X}>" for byte in range(256)]
    bpe = lambda size, tokens: trainers.BpeTrainer(vocab_size=size, special_tokens=tokens, **quiet)
    return {
        "bytes": train(models.BPE(), trainers.BpeTrainer(vocab_size=300, initial_alphabet=P.ByteLevel.alphabet(), **quiet), pre=BYTES),
        "bpe": train(models.BPE(unk_token="<unk>", fuse_unk=True), bpe(110, ["<unk>"])),
        "fallback": train(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True), bpe(340, fallback)),
        "unigram": train(models.Unigram(), trainers.UnigramTrainer(vocab_size=90, unk_token="<unk>", special_tokens=["<unk>"], **quiet)),
        "wordpiece": train(models.WordPiece(unk_token="[UNK]"), trainers.WordPieceTrainer(vocab_size=120, special_tokens=["[UNK]"], **quiet), pre=P.BertPreTokenizer()),
        "wordlevel": train(models.WordLevel(unk_token="[UNK]"), trainers.WordLevelTrainer(vocab_size=50, special_tokens=["[UNK]"], **quiet), pre=P.Whitespace()),
    }


def split(pattern, behavior, invert=False):
    return P.Sequence([P.Split(pattern, behavior, invert), PLAIN_BYTES])


WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
BEHAVIORS = ["removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"]


def variants():
    """Name, model, and parts of each tokenizer."""
    norms = [
        N.NFC(), N.NFKC(), N.NFKD(), N.Lowercase(), N.Strip(), N.Strip(left=False, right=True), N.StripAccents(),
        N.Sequence([N.NFD(), N.StripAccents()]), N.Prepend("▁"), N.Replace("a", "$&"), N.Replace(Regex(r"\s+"), " "),
        N.BertNormalizer(), N.BertNormalizer(lowercase=False, strip_accents=True),
        N.Sequence([N.Strip(), N.Prepend("▁"), N.Replace(" ", "▁")]),
    ]
    for norm in norms:
        yield "bytes", {"normalizer": norm, "pre_tokenizer": BYTES, "decoder": D.ByteLevel()}
        yield "unigram", {"normalizer": norm, "pre_tokenizer": P.Metaspace(prepend_scheme="first"), "decoder": D.Metaspace()}
    pres = [
        P.ByteLevel(add_prefix_space=True), PLAIN_BYTES, P.Sequence([P.Digits(True), BYTES]), P.Sequence([P.Digits(False), PLAIN_BYTES]),
        *[split(Regex(r"\s+|[ab]"), behavior, invert) for behavior in BEHAVIORS for invert in (False, True)],
        *[split(" ", behavior) for behavior in BEHAVIORS],
        *[P.Sequence([P.Punctuation(behavior), PLAIN_BYTES]) for behavior in BEHAVIORS],
        *[split(Regex(text), "isolated") for text in (WORDS, r"\w+|\W", r"^a|b$", r"\d*", r"[[:alpha:]]+|[[:punct:]]")],
    ]
    for pre in pres:
        yield "bytes", {"pre_tokenizer": pre, "decoder": D.ByteLevel()}
    words = [
        None, P.Whitespace(), P.WhitespaceSplit(), P.BertPreTokenizer(), P.Metaspace(), P.Metaspace(prepend_scheme="first", split=False),
        P.Metaspace(prepend_scheme="never"), P.FixedLength(3),
    ]
    for pre in words:
        for model in ("bpe", "unigram", "wordpiece"):
            yield model, {"pre_tokenizer": pre}
    yield "wordlevel", {"pre_tokenizer": P.Whitespace()}
    llama = {"normalizer": N.Sequence([N.Prepend("▁"), N.Replace(" ", "▁")])}
    steps = [D.Replace("▁", " "), D.ByteFallback(), D.Fuse()]
    for decoder in [
        D.Sequence([*steps, D.Strip(" ", 1, 0)]), D.Sequence(steps), D.Metaspace(), D.Metaspace(prepend_scheme="never"), D.WordPiece(),
        D.WordPiece(cleanup=False), D.BPEDecoder(), D.Replace("a", "$&"), D.Strip("a", 2, 0), None,
    ]:
        yield "fallback", {**llama, "decoder": decoder}
        yield "wordpiece", {"pre_tokenizer": P.BertPreTokenizer(), "decoder": decoder}
    for post in ("template", "roberta", "sequence"):
        yield "bytes", {"pre_tokenizer": BYTES, "decoder": D.ByteLevel(), "post_processor": post}


def post_processor(name, ids):
    start, end = ("<s>", ids["<s>"]), ("<R>", ids["<R>"])
    template = processors.TemplateProcessing(single="<s> $A <R>", special_tokens=[start, end])
    if name == "roberta":
        return processors.RobertaProcessing(end, start)
    return template if name == "template" else processors.Sequence([processors.ByteLevel(), template])


def part(value):
    """A part as it stands in tokenizer.json."""
    return None if value is None else json.loads(value.__getstate__())


def tokenizer_json(model, parts):
    size = len(model["vocab"])
    added = [
        {"id": size + i, "content": text, **{flag: False for flag in ("single_word", "lstrip", "rstrip", "normalized", "special")}, **flags}
        for i, (text, flags) in enumerate(ADDED)
    ]
    ids = {token["content"]: token["id"] for token in added}
    names = ("normalizer", "pre_tokenizer", "decoder")
    result = {name: part(parts.get(name)) for name in names}
    post = parts.get("post_processor")
    result["post_processor"] = None if post is None else part(post_processor(post, ids))
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added, **result, "model": model}


def encoded(tokenizer, text, special):
    try:
        return tokenizer.encode(text, add_special_tokens=special).ids
    except Exception:
        return None


def texts(tokenizer, ids):
    return [None if each is None else tokenizer.decode(each, skip_special_tokens=False) for each in ids]


def main():
    if tokenizers.__version__ != PINNED:
        raise SystemExit(f"expected tokenizers {PINNED}, found {tokenizers.__version__}")
    trained = make_models()
    results = []
    for model, parts in variants():
        file = tokenizer_json(trained[model], parts)
        tokenizer = Tokenizer.from_str(json.dumps(file))
        ids = [encoded(tokenizer, text, False) for text in STRINGS]
        results.append(
            {
                "model": model,
                "parts": {name: file[name] for name in ("normalizer", "pre_tokenizer", "decoder", "post_processor", "added_tokens")},
                "ids": ids,
                "special": [encoded(tokenizer, text, True) for text in STRINGS] if "post_processor" in parts else None,
                "texts": texts(tokenizer, ids) if model in ("fallback", "wordpiece") or "post_processor" in parts else None,
            }
        )
    for result in results:
        del result["parts"]["added_tokens"]
    flags = [{"content": text, **flags} for text, flags in ADDED]
    head = {"written_by": "scripts/write-tokenizers-goldens.py", "tokenizers": PINNED}
    value = {**head, "strings": STRINGS, "added": flags, "models": trained, "variants": results}
    OUT.write_text(json.dumps(value, ensure_ascii=True, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
