/**
 * `npm run api`: writes test/package/public-api.txt: the names that each door of the package exports (`exports` of package.json),
 * and the declarations of those and of every type of the package that they mention. A test compares the file, so that a
 * change of the public types shows in review.
 *
 * Declarations are made file by file without a type check, as `isolatedDeclarations` allows, and without comments. Operators
 * are left out: `src/torch/generated/operators.ts` is such a list itself.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
// release 7 has no API
import ts from "../toolchain/node_modules/typescript/lib/typescript.js";

const root = join(import.meta.dirname, "..");
const file = join(root, "test", "package", "public-api.txt");
const printer = ts.createPrinter({ removeComments: true });

/** A name as a module exports or imports it; of a package when `path` is null, the whole module when `name` is "*". */
interface Reference {
  path: string | null;
  name: string;
}

/** What is known of one source: its top-level declarations, and the names that it exports and imports. */
interface Module {
  source: ts.SourceFile;
  declared: Map<string, ts.Statement[]>;
  exported: Map<string, Reference>;
  imported: Map<string, Reference>;
}

const modules = new Map<string, Module>();

function moduleAt(path: string): Module {
  const known = modules.get(path);
  if (known !== undefined) return known;
  const options = {
    fileName: path,
    compilerOptions: { removeComments: true, target: ts.ScriptTarget.ESNext },
  };
  const text = ts.transpileDeclaration(readFileSync(path, "utf8"), options).outputText;
  const source = ts.createSourceFile(path, text, ts.ScriptTarget.ESNext, true);
  const module: Module = { source, declared: new Map(), exported: new Map(), imported: new Map() };
  modules.set(path, module);
  for (const statement of source.statements) addStatement(module, statement);
  return module;
}

function addStatement(module: Module, statement: ts.Statement): void {
  if (ts.isImportDeclaration(statement)) addImport(module, statement);
  if (ts.isExportDeclaration(statement)) addExport(module, statement);
  for (const name of namesOf(statement)) {
    module.declared.set(name, [...(module.declared.get(name) ?? []), statement]);
    const isExported = ts.canHaveModifiers(statement) && isMarked(statement, ts.SyntaxKind.ExportKeyword);
    if (isExported) module.exported.set(name, { path: module.source.fileName, name });
  }
}

function isMarked(statement: ts.HasModifiers, kind: ts.SyntaxKind): boolean {
  return ts.getModifiers(statement)?.some((modifier) => modifier.kind === kind) === true;
}

function namesOf(statement: ts.Statement): string[] {
  if (ts.isVariableStatement(statement))
    return statement.declarationList.declarations.map(({ name }) => name.getText());
  const { name } = statement as ts.DeclarationStatement;
  return name === undefined ? [] : [name.text];
}

function pathOf({ source }: Module, specifier: ts.Expression | undefined): string | null {
  const text = specifier !== undefined && ts.isStringLiteral(specifier) ? specifier.text : "";
  return text.startsWith(".") ? join(dirname(source.fileName), text) : null;
}

function addImport(module: Module, { importClause: clause, moduleSpecifier }: ts.ImportDeclaration): void {
  const path = pathOf(module, moduleSpecifier);
  const bindings = clause?.namedBindings;
  if (bindings !== undefined && ts.isNamespaceImport(bindings)) {
    module.imported.set(bindings.name.text, { path, name: "*" });
  } else {
    for (const { name, propertyName } of bindings?.elements ?? [])
      module.imported.set(name.text, { path, name: (propertyName ?? name).text });
  }
}

function addExport(module: Module, { exportClause: clause, moduleSpecifier }: ts.ExportDeclaration): void {
  if (clause === undefined || !ts.isNamedExports(clause)) return;
  const path = moduleSpecifier === undefined ? module.source.fileName : pathOf(module, moduleSpecifier);
  for (const { name, propertyName } of clause.elements)
    module.exported.set(name.text, { path, name: (propertyName ?? name).text });
}

/** Where what is exported as `reference` is declared; null where that is another package. */
function declarationOf({ path, name }: Reference): Reference | null {
  if (path === null || name === "*") return null;
  const { declared, exported, imported } = moduleAt(path);
  if (declared.has(name)) return { path, name };
  const next = exported.get(name);
  if (next !== undefined && (next.path !== path || next.name !== name)) return declarationOf(next);
  return declarationOf(imported.get(name) ?? { path: null, name });
}

/** The names that a declaration mentions as types. */
function mentioned(node: ts.Node): string[] {
  const found: string[] = [];
  const visit = (child: ts.Node): void => {
    if (ts.isTypeReferenceNode(child)) found.push(leftmost(child.typeName));
    else if (ts.isTypeQueryNode(child)) found.push(leftmost(child.exprName));
    else if (ts.isExpressionWithTypeArguments(child)) found.push(child.expression.getText());
    ts.forEachChild(child, visit);
  };
  visit(node);
  return found;
}

function leftmost(name: ts.EntityName): string {
  return ts.isIdentifier(name) ? name.text : leftmost(name.left);
}

/** All declarations that `first` and the types mentioned by them lead to, as text, sorted by name. */
function declarations(first: readonly Reference[]): string[] {
  const seen = new Map<string, string>();
  const open = [...first];
  for (let reference = open.pop(); reference !== undefined; reference = open.pop()) {
    const place = declarationOf(reference);
    if (place?.path == null || seen.has(`${place.name} ${place.path}`)) continue;
    const { source, declared } = moduleAt(place.path);
    const statements = declared.get(place.name) ?? [];
    const text = statements.map((one) => printer.printNode(ts.EmitHint.Unspecified, one, source)).join("\n");
    seen.set(`${place.name} ${place.path}`, text.replace(/^export declare |^export |^declare /gm, ""));
    for (const name of statements.flatMap(mentioned)) {
      const { imported } = moduleAt(place.path);
      open.push(
        declared.has(name) ? { path: place.path, name } : (imported.get(name) ?? { path: null, name }),
      );
    }
  }
  const key = (entry: [string, string]): string => entry[0].split(" ")[0] as string;
  const order = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
  return [...seen].sort((a, b) => order(key(a), key(b)) || order(a[1], b[1])).map(([, text]) => text);
}

/** Documentation in the tables of keys, which is in docs/configuration.md. */
const prose = /^ *readonly (doc|source|rule|expected): .*;\n/gm;

/** The text of the file for the sources as they are now. */
export function publicApi(): string {
  const { exports } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
    exports: Record<string, string | Record<string, string>>;
  };
  const doors = Object.entries(exports).flatMap(([name, target]) => {
    const path = typeof target === "string" ? undefined : target["preftune-source"];
    return path === undefined ? [] : [{ name: `preftune${name.slice(1)}`, path: join(root, path) }];
  });
  const lists = doors.map(
    ({ name, path }) =>
      `${name}\n${[...moduleAt(path).exported.keys()]
        .sort()
        .map((one) => `  ${one}\n`)
        .join("")}`,
  );
  const first = doors.flatMap(({ path }) => [...moduleAt(path).exported.values()]);
  const all = [...lists, ...declarations(first)].map((part) => part.replace(prose, "").trimEnd());
  return `${all.join("\n\n")}\n`;
}

/** What the file says; empty where there is none. */
export function writtenApi(): string {
  return existsSync(file) ? readFileSync(file, "utf8") : "";
}

if (process.argv.includes("--write")) writeFileSync(file, publicApi());
