/** Parses the expressions of Jinja: names, operators, calls, filters and tests, with Jinja's own precedence. */
import type { CallArguments, Comparison, Expression, FilterCall, Target } from "./ast.ts";
import { isFilter, unsupportedFilters } from "./filters.ts";
import type { SyntaxFault } from "./lexer.ts";
import type { Operator } from "./operators.ts";
import { isTest } from "./tests.ts";
import { describe, TokenReader } from "./token-reader.ts";
import { UnsupportedError } from "./values.ts";

const comparisons: ReadonlySet<string> = new Set(["==", "!=", "<", "<=", ">", ">="]);
const constants: Readonly<Record<string, true | false | null>> = {
  true: true,
  True: true,
  false: false,
  False: false,
  none: null,
  None: null,
};

/** Reads expressions. */
export class ExpressionParser extends TokenReader {
  /** Faults of names that no filter or test has, where Jinja looks for them before it renders. */
  readonly #unknownNames: SyntaxFault[] = [];
  /** Whether what is read stands in a branch: Jinja looks for its filters and tests when it gets there. */
  #isInBranch = false;

  /** @throws SyntaxFault for the first filter or test that does not exist, branches apart */
  protected requireNames(): void {
    const [first] = this.#unknownNames;
    if (first !== undefined) throw first;
  }

  /** What `parse` reads, as the inside of a branch or of a block that is none. */
  protected within<T>(isInBranch: boolean, parse: () => T): T {
    const before = this.#isInBranch;
    this.#isInBranch = isInBranch;
    const result = parse();
    this.#isInBranch = before;
    return result;
  }

  #unknownName(message: string): void {
    if (!this.#isInBranch) this.#unknownNames.push(this.fault(message));
  }

  protected expression(withCondition = true): Expression {
    return withCondition ? this.#condition() : this.#or();
  }

  #condition(): Expression {
    let { line } = this.token;
    const before = this.#unknownNames.length;
    let then = this.#or();
    while (this.skip("name", "if")) {
      const test = this.#or();
      const otherwise = this.skip("name", "else") ? this.#condition() : null;
      this.#unknownNames.length = before;
      then = { kind: "condition", test, then, otherwise, line };
      ({ line } = this.token);
    }
    return then;
  }

  #or(): Expression {
    let left = this.#and();
    while (this.skip("name", "or")) left = { kind: "or", left, right: this.#and() };
    return left;
  }

  #and(): Expression {
    let left = this.#not();
    while (this.skip("name", "and")) left = { kind: "and", left, right: this.#not() };
    return left;
  }

  #not(): Expression {
    return this.skip("name", "not") ? { kind: "not", operand: this.#not() } : this.#compare();
  }

  #compare(): Expression {
    const first = this.#sum();
    const rest: { operator: Comparison; right: Expression }[] = [];
    for (;;) {
      const operator = this.#comparison();
      if (operator === null) break;
      rest.push({ operator, right: this.#sum() });
    }
    return rest.length === 0 ? first : { kind: "compare", first, rest };
  }

  #comparison(): Comparison | null {
    const { token } = this;
    if (token.type === "operator" && comparisons.has(token.value)) {
      this.next();
      return token.value as Comparison;
    }
    if (this.skip("name", "in")) return "in";
    const after = this.peek(1);
    if (!this.is("name", "not") || after.type !== "name" || after.value !== "in") return null;
    this.next();
    this.next();
    return "not in";
  }

  #chain(operators: readonly string[], operand: () => Expression): Expression {
    let left = operand();
    while (this.is("operator", ...operators)) {
      const operator = this.next().value as Operator;
      left = { kind: "binary", operator, left, right: operand() };
    }
    return left;
  }

  #sum(): Expression {
    return this.#chain(["+", "-"], () => this.#concat());
  }

  #concat(): Expression {
    const parts = [this.#product()];
    while (this.skip("operator", "~")) parts.push(this.#product());
    const [only] = parts;
    return parts.length === 1 && only !== undefined ? only : { kind: "concat", parts };
  }

  #product(): Expression {
    return this.#chain(["*", "/", "//", "%"], () => this.#power());
  }

  #power(): Expression {
    return this.#chain(["**"], () => this.#unary(true));
  }

  #unary(withFilter: boolean): Expression {
    let node: Expression;
    if (this.is("operator", "-", "+")) {
      const operator = this.next().value === "-" ? "-" : "+";
      node = { kind: "sign", operator, operand: this.#unary(false) };
    } else {
      node = this.primary();
    }
    node = this.#postfix(node);
    return withFilter ? this.#filtersAndTests(node) : node;
  }

  protected primary(): Expression {
    const { token } = this;
    switch (token.type) {
      case "name":
        this.next();
        return Object.hasOwn(constants, token.value)
          ? { kind: "constant", value: constants[token.value] ?? null }
          : { kind: "name", name: token.value };
      case "string":
        return { kind: "constant", value: this.#strings() };
      case "integer":
      case "float":
        this.next();
        return { kind: "constant", value: token.value };
      case "operator":
        return this.#bracketed(token.value);
      default:
        throw this.fault(`unexpected ${describe(token)}`);
    }
  }

  #strings(): string {
    let text = "";
    while (this.token.type === "string") text += String(this.next().value);
    return text;
  }

  #bracketed(bracket: string): Expression {
    if (bracket === "(") {
      this.next();
      const inner = this.tuple({ isParenthesised: true });
      this.expect("operator", ")");
      return inner;
    }
    if (bracket === "[") {
      this.next();
      return { kind: "list", items: this.#items("]", () => this.expression()) };
    }
    if (bracket !== "{") throw this.fault(`unexpected '${bracket}'`);
    this.next();
    const entries = this.#items("}", () => {
      const key = this.expression();
      this.expect("operator", ":");
      return { key, value: this.expression() };
    });
    return { kind: "dict", entries };
  }

  #items<T>(closing: string, item: () => T): T[] {
    const items: T[] = [];
    while (!this.is("operator", closing)) {
      if (items.length > 0) this.expect("operator", ",");
      if (this.is("operator", closing)) break;
      items.push(item());
    }
    this.expect("operator", closing);
    return items;
  }

  /** One expression, or a tuple where commas follow. */
  protected tuple(
    options: { withCondition?: boolean; isParenthesised?: boolean; end?: string } = {},
  ): Expression {
    const { withCondition = true, isParenthesised = false, end } = options;
    const items: Expression[] = [];
    let isTuple = false;
    for (;;) {
      if (items.length > 0) this.expect("operator", ",");
      if (this.#endsTuple(end)) break;
      items.push(this.expression(withCondition));
      if (!this.is("operator", ",")) break;
      isTuple = true;
    }
    const [only] = items;
    if (!isTuple && only !== undefined) return only;
    if (!isTuple && !isParenthesised) throw this.fault(`Expected an expression, got ${describe(this.token)}`);
    return { kind: "tuple", items };
  }

  #endsTuple(end: string | undefined): boolean {
    if (["variable_end", "block_end"].includes(this.token.type) || this.is("operator", ")")) return true;
    return end !== undefined && this.is("name", end);
  }

  /** What an assignment or a loop writes to. */
  protected target(options: { withNamespace?: boolean; end?: string } = {}): Target {
    const items: Target[] = [];
    let isTuple = false;
    for (;;) {
      if (items.length > 0) this.expect("operator", ",");
      if (this.#endsTuple(options.end) || this.is("operator", "=")) break;
      items.push(this.#targetItem(options.withNamespace === true));
      if (!this.is("operator", ",")) break;
      isTuple = true;
    }
    const [only] = items;
    if (!isTuple && only !== undefined) return only;
    if (!isTuple) throw this.fault(`Expected an expression, got ${describe(this.token)}`);
    return { kind: "tuple", items };
  }

  #targetItem(withNamespace: boolean): Target {
    if (this.skip("operator", "(")) {
      const inner = this.target();
      this.expect("operator", ")");
      return inner;
    }
    const name = this.name();
    if (Object.hasOwn(constants, name)) throw this.fault(`can't assign to '${name}'`);
    if (withNamespace && this.skip("operator", "."))
      return { kind: "namespace", name, attribute: this.name() };
    return { kind: "name", name };
  }

  #postfix(start: Expression): Expression {
    let node = start;
    for (;;) {
      if (this.is("operator", ".", "[")) node = this.#subscript(node);
      else if (this.is("operator", "(")) node = { kind: "call", callee: node, call: this.callArguments() };
      else return node;
    }
  }

  #subscript(object: Expression): Expression {
    if (this.next().value === ".") {
      const token = this.next();
      if (token.type === "name") return { kind: "attribute", object, name: token.value };
      if (token.type !== "integer") throw this.fault("expected name or number");
      return { kind: "item", object, key: { kind: "constant", value: token.value } };
    }
    return this.#bracketSubscript(object);
  }

  #bracketSubscript(object: Expression): Expression {
    const items: Expression[] = [];
    while (!this.is("operator", "]")) {
      if (items.length > 0) this.expect("operator", ",");
      const start = this.is("operator", ":") ? null : this.expression();
      if (start === null || this.is("operator", ":")) return this.#slice(object, start, items.length === 0);
      items.push(start);
    }
    this.expect("operator", "]");
    const [only] = items;
    const key: Expression = items.length === 1 && only !== undefined ? only : { kind: "tuple", items };
    return { kind: "item", object, key };
  }

  #slice(object: Expression, start: Expression | null, isAlone: boolean): Expression {
    const bounds = this.#bounds(start);
    if (!isAlone || !this.is("operator", "]")) throw new UnsupportedError("several slices at once");
    this.next();
    return { kind: "slice", object, bounds };
  }

  #bounds(start: Expression | null): (Expression | null)[] {
    const bounds: (Expression | null)[] = [start];
    while (bounds.length < 3 && this.skip("operator", ":")) {
      bounds.push(this.is("operator", ":", "]", ",") ? null : this.expression());
    }
    return bounds;
  }

  /** `(a, b=c, *d, **e)`. */
  protected callArguments(): CallArguments {
    this.expect("operator", "(");
    const call: CallArguments = { args: [], kwargs: [], star: null, doubleStar: null };
    let isFirst = true;
    while (!this.is("operator", ")")) {
      if (!isFirst) this.expect("operator", ",");
      if (this.is("operator", ")")) break;
      isFirst = false;
      this.#argument(call);
    }
    this.expect("operator", ")");
    return call;
  }

  #argument(call: CallArguments): void {
    const ensure = (isValid: boolean): void => {
      if (!isValid) throw this.fault("invalid syntax for function call expression");
    };
    const after = this.peek(1);
    if (this.skip("operator", "*")) {
      ensure(call.star === null && call.doubleStar === null);
      call.star = this.expression();
    } else if (this.skip("operator", "**")) {
      ensure(call.doubleStar === null);
      call.doubleStar = this.expression();
    } else if (this.token.type === "name" && after.type === "operator" && after.value === "=") {
      ensure(call.doubleStar === null);
      const name = this.name();
      this.next();
      if (call.kwargs.some((argument) => argument.name === name))
        throw this.fault(`keyword argument repeated: ${name}`);
      call.kwargs.push({ name, value: this.expression() });
    } else {
      ensure(call.star === null && call.doubleStar === null && call.kwargs.length === 0);
      call.args.push(this.expression());
    }
  }

  #filtersAndTests(start: Expression): Expression {
    let node = start;
    for (;;) {
      if (this.skip("operator", "|")) node = { kind: "filter", operand: node, filter: this.filter() };
      else if (this.skip("name", "is")) node = this.#test(node);
      else if (this.is("operator", "(")) node = { kind: "call", callee: node, call: this.callArguments() };
      else return node;
    }
  }

  /** A filter's name and arguments. @throws UnsupportedError for filters of Jinja that are not available */
  protected filter(): FilterCall {
    const name = this.#dottedName();
    const call = this.is("operator", "(") ? this.callArguments() : noCall();
    if (unsupportedFilters.has(name)) throw new UnsupportedError(`the filter ${name}`);
    if (!isFilter(name)) this.#unknownName(`No filter named '${name}'`);
    return { name, call };
  }

  #dottedName(): string {
    let name = this.name();
    while (this.skip("operator", ".")) name += `.${this.name()}`;
    return name;
  }

  #test(operand: Expression): Expression {
    const negated = this.skip("name", "not");
    const name = this.#dottedName();
    const call = this.#testArguments();
    if (!isTest(name)) this.#unknownName(`No test named '${name}'`);
    return { kind: "test", operand, name, call, negated };
  }

  #testArguments(): CallArguments {
    if (this.is("operator", "(")) return this.callArguments();
    const { token } = this;
    const isValue =
      ["name", "string", "integer", "float"].includes(token.type) || this.is("operator", "[", "{");
    if (!isValue || this.is("name", "else", "or", "and")) return noCall();
    if (this.is("name", "is")) throw this.fault("You cannot chain multiple tests with is");
    return { ...noCall(), args: [this.#postfix(this.primary())] };
  }
}

/** A call without arguments. */
function noCall(): CallArguments {
  return { args: [], kwargs: [], star: null, doubleStar: null };
}
