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
    # whole numbers and fractions that float64 cannot hold
    ("$2^{2010}$", r"\boxed{2^{2010}}"),
    ("$2^{2010}$", r"\boxed{2^{2009}}"),
    ("$2^{2008}+2^{2008}$", r"\boxed{2^{2009}}"),
    ("$2010!$", r"\boxed{2009!}"),
    (r"$\frac1{2^{1500}}$", r"\boxed{\frac1{2^{2009}}}"),
    (r"$\frac1{2^{50}}$", r"\boxed{0}"),
    (r"$\frac1{19!}$", r"\boxed{\frac1{20!}}"),
    ("$2^{60}$", r"\boxed{2^{60}-1}"),
    ("$1$", r"\boxed{1-\frac1{2^{50}}}"),
    ("$2432902008176640000$", r"\boxed{20!}"),
    ("$12345678901234568$", r"\boxed{12345678901234567}"),
    (r"$\infty$", r"\boxed{\infty}"),
    (r"$\infty$", r"\boxed{\frac10}"),
    ("$2^{2010}$", r"\boxed{\infty}"),
    (r"$2^{2009}\pi$", r"\boxed{2^{2010}\pi}"),
    # numbers that are small and irrational
    ("$0$", r"\boxed{e^{-40}}"),
    ("$0$", r"\boxed{\sqrt{2}\cdot 10^{-13}}"),
    (r"$2^{-99}$", r"\boxed{\sqrt2 \cdot 2^{-100}}"),
    (r"$2\cdot 10^{-13}x$", r"\boxed{10^{-13}x}"),
    ("$0$", r"\boxed{\sin(\pi)}"),
    # what has a value at whole numbers alone
    ("$(-1)^n n$", r"\boxed{n \cdot (-1)^n}"),
    ("$(-1)^{n+2}$", r"\boxed{(-1)^n}"),
    ("$(-1)^{n+1}$", r"\boxed{(-1)^n}"),
    ("$(n+1)!$", r"\boxed{n!}"),
    ("$-1$", r"\boxed{i^2}"),
    # mixed numbers, and factors in parentheses
    (r"$-\frac73$", r"\boxed{-2\frac{1}{3}}"),
    (r"$-\frac53$", r"\boxed{-2\frac{1}{3}}"),
    (r"$-0.5$", r"\boxed{-1\frac12}"),
    (r"$\frac73$", r"\boxed{2\left(\frac13\right)}"),
    # references: prices, several formulas, an answer that is announced
    ("$3", r"\boxed{3}"),
    ("$3", r"\boxed{4}"),
    ("It costs $5 at first, then $18 in all.", r"\boxed{18}"),
    ("so the total is $20 + $30 = $50.", r"\boxed{50}"),
    ("$2$ and $3$", r"\boxed{2,3}"),
    ("$2$ and $3$", r"\boxed{3}"),
    ("$x=2$ or $x=3$", r"\boxed{2,3}"),
    ("$2$, $3$", r"\boxed{3,2}"),
    ("The answer is $5$, since $5+1=6$.", r"\boxed{5}"),
    ("The answer is $5$, since $5+1=6$.", r"\boxed{6}"),
    ("The answer is 18, which is 3 more than 15.", r"\boxed{18}"),
    ("The answer is 18, which is 3 more than 15.", r"\boxed{15}"),
    # what is announced, and how far from the word "answer"
    (r"$\frac12$", r"The answer is \frac{1}{2}."),
    (r"$-\frac12$", r"The answer is -\frac{1}{2}."),
    (r"$\frac12$", r"The answer is [ \frac{1}{2} ] as"),
    (r"$\frac12$", r"The answer is \frac12."),
    ("4", "The answer is [4]."),
    ("4", "The answer is 4$."),
    ("4", "The answer to this question about two trains is $4$."),
    ("4", "The answer to this long question about two trains that leave the station at noon is $4$."),
    ("4", "The final answer to this long question about two trains that leave the station at noon is $4$."),
    (r"$\{2,3\}$", "answer: $2$ and $3$"),
    (r"$\{2,3\}$", "answer: $2$, $3$"),
    ("2", "answer: $2$ and $3$"),
    ("5", "The answer is $5$, as $6$"),
    ("6", "The answer is $5$. The answer is $6$"),
    ("5", "Answer: $5$. That the answer is $6$ is wrong"),
    ("5", "The final answer is $5$. The answer: $6$"),
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
