"""Writes test/goldens/rewards.json: what TRL's reward functions give, which the tests compare with.

For developers only; no test runs it. Run it from the repository root with the versions below and commit the result:

    pip install trl==1.16.0 "math-verify[antlr4_13_2]==0.9.0"
    python scripts/write-reward-goldens.py
"""

import importlib.metadata
import json
import pathlib

from trl.rewards import accuracy_reward, get_repetition_penalty_reward, get_soft_overlong_punishment, think_format_reward

OUT = pathlib.Path(__file__).resolve().parent.parent / "test" / "goldens" / "rewards.json"

# reference, completion
MATH = [
    (r"\frac{1}{3}", r"My answer is \boxed{\frac{1}{3}}"),
    (r"\frac{1}{3}", r"My answer is \boxed{\frac{1}{2}}"),
    (r"\boxed{\frac13}", r"\boxed{2/6}"),
    ("$0.5$", r"\boxed{\frac{1}{2}}"),
    ("$50\\%$", r"\boxed{0.5}"),
    ("$x^2+2x+1$", r"so \boxed{(x+1)^2}"),
    ("$x^2+2x+1$", r"so \boxed{(x+1)^2+1}"),
    ("$2\\sqrt{2}$", r"$\boxed{\sqrt{8}}$"),
    (r"$\{1,2\}$", r"\boxed{\{2,1\}}"),
    (r"$\{1,2\}$", r"\boxed{\{1,2,3\}}"),
    ("$(1,2)$", r"\boxed{(1, 2)}"),
    ("$(1,2)$", r"\boxed{(2, 1)}"),
    ("$[0,1)$", r"\boxed{[0, 1)}"),
    ("$5$", r"\boxed{x=5}"),
    ("$x=5$", r"\boxed{5}"),
    ("$1000$", r"\boxed{1,000}"),
    ("1,234", r"\boxed{1234}"),
    (r"$\pi$", r"\boxed{3.14159}"),
    ("$1024$", r"\boxed{2^{10}}"),
    (r"$90^\circ$", r"\boxed{90}"),
    ("5", r"\boxed{5\text{ cm}}"),
    (r"$\frac52$", r"\boxed{2\frac12}"),
    ("$-3$", r"\boxed{3}"),
    (r"$\frac{\sqrt2}{2}$", r"\boxed{\frac{1}{\sqrt{2}}}"),
    (r"$\frac13$", r"\boxed{0.333333}"),
    (r"$\frac13$", r"\boxed{0.33}"),
    ("4", "The answer is 4"),
    ("4", "The answer is $4$."),
    ("4", "The final answer is $4$. I hope it is correct."),
    ("4", "We get $4$."),
    ("4", "no mathematics"),
    ("4", ""),
    ("4", r"first \boxed{3}, then \boxed{4}"),
    ("4", r"\boxed{4"),
    ("a word", r"\boxed{4}"),
    ("", r"\boxed{4}"),
    ("$12$", r"\[ \boxed{12} \]"),
    (r"$\begin{pmatrix}1\\2\end{pmatrix}$", r"\boxed{\begin{pmatrix}1\\2\end{pmatrix}}"),
    (r"$\sqrt[3]{8}$", r"\boxed{2}"),
    (r"$\log_2 8$", r"\boxed{3}"),
    ("$10!$", r"\boxed{3628800}"),
    ("$a+b$", r"\boxed{b+a}"),
    ("$a+b$", r"\boxed{a-b}"),
    # the letter of a choice, and words
    ("$A$", r"\boxed{A}"),
    ("$A$", r"\boxed{\text{A}}"),
    ("$A$", r"\boxed{\text{ A }}"),
    ("$A$", r"\boxed{\text{a}}"),
    ("$A$", r"\boxed{\mathrm{A}}"),
    ("$A$", r"\boxed{\mathbf{A}}"),
    ("$A$", r"\boxed{\textbf{A}}"),
    ("$A$", r"\boxed{\textit{A}}"),
    ("$A$", r"\boxed{(A)}"),
    ("$A$", r"\boxed{\text{(A)}}"),
    ("$A$", r"\boxed{(\text{A})}"),
    ("$A$", r"\boxed{\textbf{(A)}}"),
    ("$A$", r"\boxed{\mathrm{(A)}}"),
    ("$A$", r"\boxed{\mathbf{(A)}}"),
    ("$A$", r"\boxed{B}"),
    ("$A$", r"\boxed{\text{B}}"),
    ("$A$", r"\boxed{\textbf{(B)}}"),
    ("$A$", r"\boxed{\text{A and B}}"),
    ("$E$", r"\boxed{\text{E}}"),
    (r"\boxed{\text{A}}", r"\boxed{A}"),
    (r"$\textbf{(A)}$", r"\boxed{A}"),
    (r"$\textbf{(A)}$", r"\boxed{\mathrm{A}}"),
    (r"$\textbf{(A)}$", r"\boxed{\text{C}}"),
    ("$(A)$", r"\boxed{\text{A}}"),
    ("$A,C$", r"\boxed{\text{A},\text{C}}"),
    ("$A,C$", r"\boxed{\text{A},\text{B}}"),
    (r"$\text{Even}$", r"\boxed{\text{even}}"),
    (r"$\text{Even}$", r"\boxed{\textbf{Odd}}"),
    (r"$\text{Tuesday}$", r"\boxed{Tuesday}"),
    ("$5$", r"\boxed{\text{5}}"),
    (r"$\mathbf{v}$", r"\boxed{v}"),
]

THINK = [
    "<think>\nThis is my reasoning.\n</think>\nThis is my answer.",
    "<think>\nThis is my reasoning.\nThis is my answer.",
    "<think></think>",
    " <think>a</think>b",
    "<think>a<think>b</think>c",
    "<think>a</think>b</think>c",
    "<think>a</think>b<think>c</think>",
    "x\n<think>a</think>b",
    "</think><think>",
    "",
]

IDS = [[], [1], [1, 2], [1, 2, 3, 4], [5, 5, 5, 5, 5], [1, 2, 3, 1, 2, 3, 1, 2, 3], [7] * 40]
LENGTHS = [0, 1, 79, 80, 81, 90, 99, 100, 101, 500]


def say(text):
    return [{"role": "assistant", "content": text}]


def main():
    versions = {name: importlib.metadata.version(name) for name in ("trl", "math-verify")}
    scores = accuracy_reward([say(text) for _, text in MATH], [reference for reference, _ in MATH])
    golden = {
        "written_by": "scripts/write-reward-goldens.py",
        "versions": versions,
        "accuracy": [
            {"reference": reference, "completion": text, "reward": score}
            for (reference, text), score in zip(MATH, scores, strict=True)
        ],
        "think_format": [
            {"completion": text, "reward": score}
            for text, score in zip(THINK, think_format_reward([say(text) for text in THINK]), strict=True)
        ],
        "repetition": [
            {"ids": ids, "ngram_size": size, "reward": score}
            for size in (1, 2, 3)
            for ids, score in zip(IDS, get_repetition_penalty_reward(ngram_size=size)(IDS), strict=True)
        ],
        "overlong": [
            {"length": length, "max_completion_length": 100, "soft_punish_cache": cache, "reward": score}
            for cache in (0, 20, 100)
            for length, score in zip(
                LENGTHS, get_soft_overlong_punishment(100, cache)([[1] * length for length in LENGTHS]), strict=True
            )
        ],
    }
    OUT.write_text(json.dumps(golden, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
