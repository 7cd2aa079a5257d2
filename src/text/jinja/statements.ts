/** Parses the tags of Jinja into a syntax tree. */
import type { Expression, FilterCall, Signature, Statement, Target } from "./ast.ts";
import { tokenize } from "./lexer.ts";
import { ExpressionParser } from "./parser.ts";
import { unsetNames } from "./unset-names.ts";
import { UnsupportedError } from "./values.ts";

/** Tags of Jinja that have no use in a chat template, which stands alone. */
const unsupportedTags: ReadonlySet<string> = new Set([
  "autoescape",
  "block",
  "extends",
  "from",
  "import",
  "include",
]);

/** The syntax tree of `template`. @throws SyntaxFault, UnsupportedError */
export function parseTemplate(template: string): Statement[] {
  const statements = new StatementParser(tokenize(template)).template();
  unsetNames(statements);
  return statements;
}

class StatementParser extends ExpressionParser {
  /** Whether `break` and `continue` have a loop around them. */
  #isInLoop = false;

  template(): Statement[] {
    const statements = this.#until([]);
    this.expect("end");
    this.requireNames();
    return statements;
  }

  /** Statements up to a tag of one of these names, which is the next token behind `{%`. */
  #until(ends: readonly string[]): Statement[] {
    const statements: Statement[] = [];
    for (;;) {
      const { token } = this;
      if (token.type === "end") {
        if (ends.length === 0) return statements;
        throw this.fault(
          `Unexpected end of template, looking for ${ends.map((end) => `'${end}'`).join(" or ")}`,
        );
      }
      this.next();
      if (token.type === "text") {
        statements.push({ kind: "text", text: token.value });
      } else if (token.type === "variable_begin") {
        statements.push({ kind: "output", value: this.tuple() });
        this.expect("variable_end");
      } else {
        if (this.is("name", ...ends)) return statements;
        statements.push(...this.#statement());
        this.expect("block_end");
      }
    }
  }

  /** The rest of a tag, and what follows up to the tag that ends it. */
  #body(...ends: string[]): Statement[] {
    this.skip("operator", ":");
    this.expect("block_end");
    return this.#until(ends);
  }

  /** A body to the tag `end`. */
  #block(end: string): Statement[] {
    const body = this.#body(end);
    this.next();
    return body;
  }

  #statement(): Statement[] {
    if (this.token.type !== "name") throw this.fault("tag name expected");
    const tag = this.name();
    const parse = this.#tags[tag];
    if (parse !== undefined) return parse();
    if (unsupportedTags.has(tag)) throw new UnsupportedError(`the tag ${tag}`);
    throw this.fault(`Encountered unknown tag '${tag}'`);
  }

  readonly #tags: Readonly<Record<string, () => Statement[]>> = Object.assign(Object.create(null), {
    if: () => [this.#if()],
    for: () => [this.#for()],
    set: () => [this.#set()],
    macro: () => [this.#macro()],
    call: () => [this.#call()],
    filter: () => [this.#filterBlock()],
    with: () => [this.#with()],
    generation: () => [{ kind: "generation", body: this.#outsideLoop(() => this.#block("endgeneration")) }],
    print: () => this.#print(),
    break: () => [this.#jump("break")],
    continue: () => [this.#jump("continue")],
  } satisfies Record<string, () => Statement[]>);

  #jump(kind: "break" | "continue"): Statement {
    if (this.#isInLoop) return { kind };
    throw this.fault(`'${kind}' outside loop`);
  }

  /** A block that is a function in Python. */
  #outsideLoop<T>(parse: () => T): T {
    return this.#loops(false, () => this.within(false, parse));
  }

  #loops<T>(isInLoop: boolean, parse: () => T): T {
    const before = this.#isInLoop;
    this.#isInLoop = isInLoop;
    const result = parse();
    this.#isInLoop = before;
    return result;
  }

  #if(): Statement {
    return this.within(true, () => this.#branches());
  }

  #branches(): Statement {
    const test = this.tuple({ withCondition: false });
    const then = this.#body("elif", "else", "endif");
    const tag = this.name();
    if (tag === "elif") return { kind: "if", test, then, otherwise: [this.#branches()] };
    return { kind: "if", test, then, otherwise: tag === "else" ? this.#block("endif") : [] };
  }

  #for(): Statement {
    const target = this.#assignable({ end: "in" }, true);
    this.expect("name", "in");
    const iterable = this.tuple({ withCondition: false, end: "recursive" });
    return this.within(false, () => this.#rounds(target, iterable));
  }

  #rounds(target: Target, iterable: Expression): Statement {
    const test = this.skip("name", "if") ? this.expression() : null;
    const isRecursive = this.skip("name", "recursive");
    const body = this.#loops(true, () => this.#body("endfor", "else"));
    const hasElse = this.name() === "else";
    // A recursive loop is a function in Python: its else part is in no loop.
    const isInLoop = this.#isInLoop && !isRecursive;
    const otherwise = hasElse ? this.#loops(isInLoop, () => this.#block("endfor")) : [];
    return { kind: "for", target, iterable, test, isRecursive, body, otherwise };
  }

  /** A target that is not the variable `loop` of a loop around it. */
  #assignable(options: { withNamespace?: boolean; end?: string }, isInLoop: boolean): Target {
    const target = this.target(options);
    if (!isInLoop || !JSON.stringify(target).includes('"name":"loop"')) return target;
    throw this.fault("Can't assign to special loop variable in for-loop target");
  }

  #set(): Statement {
    const target = this.#assignable({ withNamespace: true }, this.#isInLoop);
    if (this.skip("operator", "=")) return { kind: "set", target, value: this.tuple() };
    return this.within(false, () => {
      const filters = this.#filters();
      return { kind: "set block", target, filters, body: this.#block("endset") };
    });
  }

  #filters(): FilterCall[] {
    const filters: FilterCall[] = [];
    while (this.skip("operator", "|")) filters.push(this.filter());
    return filters;
  }

  #filterBlock(): Statement {
    return this.within(false, () => {
      const filters = [this.filter(), ...this.#filters()];
      return { kind: "filter block", filters, body: this.#block("endfilter") };
    });
  }

  #signature(): Signature {
    const names: string[] = [];
    const defaults: Expression[] = [];
    this.expect("operator", "(");
    while (!this.is("operator", ")")) {
      if (names.length > 0) this.expect("operator", ",");
      const name = this.name();
      if (names.includes(name)) throw this.fault(`duplicate argument '${name}'`);
      if (this.skip("operator", "=")) defaults.push(this.expression());
      else if (defaults.length > 0) throw this.fault("non-default argument follows default argument");
      names.push(name);
    }
    this.expect("operator", ")");
    return { names, defaults };
  }

  #macro(): Statement {
    const name = this.name();
    const signature = this.within(false, () => this.#signature());
    return { kind: "macro", name, signature, body: this.#outsideLoop(() => this.#block("endmacro")) };
  }

  #call(): Statement {
    const signature = this.is("operator", "(")
      ? this.within(false, () => this.#signature())
      : { names: [], defaults: [] };
    const call = this.expression();
    if (call.kind !== "call") throw this.fault("expected call");
    return { kind: "call", call, signature, body: this.#outsideLoop(() => this.#block("endcall")) };
  }

  #with(): Statement {
    const targets: (Statement & { kind: "with" })["targets"] = [];
    while (this.token.type !== "block_end") {
      if (targets.length > 0) this.expect("operator", ",");
      const target = this.target();
      this.expect("operator", "=");
      targets.push({ target, value: this.expression() });
    }
    return { kind: "with", targets, body: this.within(false, () => this.#block("endwith")) };
  }

  #print(): Statement[] {
    const statements: Statement[] = [];
    while (this.token.type !== "block_end") {
      if (statements.length > 0) this.expect("operator", ",");
      statements.push({ kind: "output", value: this.expression() });
    }
    return statements;
  }
}
