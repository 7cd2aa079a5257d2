import assert from "node:assert/strict";
import test from "node:test";

import { compileTemplate } from "./compile.ts";

// _compile_jinja_template(template).render(x="X", y=None, l=["p", "q"]) of transformers 5.23.0 with Jinja 3.1.6
const rendered: [string, string][] = [
  ["{% for i in l %}{{ x }}{% endfor %}{% set x = 2 %}{{ x }}", "2"],
  ["{{ x }}{% for i in l %}{{ x }}{% endfor %}{% set x = 2 %}", "XXX"],
  ["{% if x %}{% set x = 2 %}{% endif %}{% for i in l %}{{ x }}{% endfor %}", "22"],
  ["{% for i in l %}{{ x }}{% endfor %}{% if y %}{% set x = 2 %}{% endif %}{% set x = 3 %}", "XX"],
  [
    "{% for a in l %}{% for i in l %}[{{ x }}]{% endfor %}{% set x = a %}{% for i in l %}{{ x }}{% endfor %}{% endfor %}{{ x }}",
    "[X][X]pp[X][X]qqX",
  ],
  ["{% for a in l %}{% for i in l %}[{{ x }}]{% endfor %}{% set x = a %}{% endfor %}", "[][][][]"],
  ["{% macro m() %}{{ x }}{% endmacro %}{{ m() }}{% set x = 2 %}{{ m() }}", "2"],
  ["{% macro m() %}{{ f() }}{% endmacro %}{% macro f() %}f{% endmacro %}{{ m() }}", "f"],
  ["{% filter upper %}[{{ x }}]{% endfilter %}{% set x = 2 %}", "[]"],
  ["{% set y %}[{{ x }}]{% endset %}{% set x = 2 %}{{ y }}", "[]"],
  ["{% with a = 1 %}{{ x }}{% endwith %}{% set x = 2 %}", ""],
  ["{% with x = 1 %}{% for i in l %}{{ x }}{% endfor %}{% set x = 2 %}{{ x }}{% endwith %}", "112"],
  ["{% generation %}{{ x }}{% endgeneration %}{% set x = 2 %}", ""],
  ["{% for i in [] %}{% else %}{% for j in l %}[{{ x }}]{% endfor %}{% set x = 2 %}{% endfor %}", "[][]"],
  ["{% for i in l %}{{ x is defined }}{% endfor %}{% set x, z = 1, 2 %}", "FalseFalse"],
  ["{% for i in l %}{{ range is defined }}{% endfor %}{% set range = 1 %}", "FalseFalse"],
  ["{% macro m(x=x) %}[{{ x }}]{% endmacro %}{{ m() }}{{ m(3) }}", "[][3]"],
  ["{% macro m(a=b, b=1) %}[{{ a }}{{ b }}]{% endmacro %}{{ m() }}{{ m(b=5) }}", "[1][55]"],
  ["{% macro m() %}{% for i in l %}[{{ x }}]{% endfor %}{% set x = 2 %}{% endmacro %}{{ m() }}", "[][]"],
  [
    "{% macro c() %}{{ caller() }}{% endmacro %}{% call c() %}{% for i in l %}[{{ x }}]{% endfor %}{% set x = 2 %}{% endcall %}",
    "[][]",
  ],
];

test("a name that a block sets later is its own from the beginning, as in Jinja, and a parameter outside its default", () => {
  for (const [template, expected] of rendered) {
    const variables = { x: "X", y: null, l: ["p", "q"] };
    assert.equal(compileTemplate(template)({ variables, now: 0 }), expected, template);
  }
});
