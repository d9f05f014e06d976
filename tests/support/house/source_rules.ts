/**
 * source_rules.ts: the rules of style that neither `deno fmt` nor `deno lint` knows, each a
 * function from source files to lines of text that say what breaks it. Like `imports.ts` it uses
 * Deno's own parser, so it runs only within `deno test`.
 *
 * @module
 */

import { commentsOf, isLibrary, lineAt, type SourceFile, visitSource } from "./imports.ts";

/** A file with more lines of code than this should be two. */
export const CODE_LINES_MAX = 350;
/** A line of comment is no longer than this, in characters: `deno fmt` leaves comments alone. */
export const COMMENT_COLUMNS_MAX = 100;
/** A function longer than this should be two. */
export const FUNCTION_LINES_MAX = 70;

/** How many lines of a file have code on them. */
export function countCodeLines(file: SourceFile): number {
  let text = file.text;
  for (const { range: [start, end] } of commentsOf(file)) {
    const blank = text.slice(start, end).replace(/[^\n]/g, " ");
    text = text.slice(0, start) + blank + text.slice(end);
  }
  return text.split("\n").filter((line) => line.trim() !== "").length;
}

/** Files with more lines of code than allowed. */
export function findLongFiles(files: readonly SourceFile[], linesMax = CODE_LINES_MAX): string[] {
  // Most files are shorter even with their comments, and need no parser.
  const long = files.filter(({ text }) => text.split("\n").length > linesMax);
  return long.flatMap((file) => {
    const lines = countCodeLines(file);
    return lines > linesMax ? [`${file.path}: ${lines} lines of code, at most ${linesMax}`] : [];
  });
}

/**
 * Lines of comment that are too long to read. One with a URL, which has no place to break, may be.
 */
export function findWideComments(
  files: readonly SourceFile[],
  columnsMax = COMMENT_COLUMNS_MAX,
): string[] {
  return files.flatMap((file) => {
    const lines = file.text.split("\n");
    const isWide = (at: number) =>
      lines[at]!.length > columnsMax && !/https?:\/\/\S+$/.test(lines[at]!);
    if (!lines.some((_line, at) => isWide(at))) return [];
    const wide = new Set<number>();
    for (const { range: [start, end] } of commentsOf(file)) {
      for (let at = lineAt(file.text, start); at <= lineAt(file.text, end); at++) {
        if (isWide(at - 1)) wide.add(at);
      }
    }
    return [...wide].sort((a, b) => a - b).map((at) =>
      `${file.path}:${at}: a comment of ${lines[at - 1]!.length} columns, at most ${columnsMax}`
    );
  });
}

/** Files that do not begin with a comment that says what they are for. */
export function findHeadless(files: readonly SourceFile[]): string[] {
  return files.filter(({ text }) => !/^(#![^\n]*\n)?(\/\*\*[\s*]*\w|\/\/ *\w)/.test(text))
    .map(({ path }) => `${path}: does not begin with a comment`);
}

/** A function and how many lines it takes, the lines of functions within it included. */
interface MeasuredFunction {
  /** `path#name`; the name of what holds or takes it where it has none. */
  readonly key: string;
  readonly line: number;
  readonly lines: number;
}

type FunctionNode =
  | Deno.lint.FunctionDeclaration
  | Deno.lint.FunctionExpression
  | Deno.lint.ArrowFunctionExpression;

function functionName(node: FunctionNode, text: string): string {
  const slice = (part: Deno.lint.Node) => text.slice(part.range[0], part.range[1]);
  if ("id" in node && node.id) return node.id.name;
  const parent = node.parent;
  switch (parent.type) {
    case "MethodDefinition":
    case "PropertyDefinition":
    case "Property":
      return slice(parent.key);
    case "VariableDeclarator":
      return slice(parent.id);
    case "CallExpression": {
      const first = parent.arguments[0];
      return slice(parent.callee) + (first?.type === "Literal" ? `(${slice(first)})` : "");
    }
    default:
      return "(anonymous)";
  }
}

function measureFunctions(file: SourceFile): MeasuredFunction[] {
  const found: MeasuredFunction[] = [];
  const measure = (node: FunctionNode) => {
    const line = lineAt(file.text, node.range[0]);
    const lines = lineAt(file.text, node.range[1]) - line + 1;
    found.push({ key: `${file.path}#${functionName(node, file.text)}`, line, lines });
  };
  visitSource(file, () => ({
    FunctionDeclaration: measure,
    FunctionExpression: measure,
    ArrowFunctionExpression: measure,
  }));
  return found;
}

/**
 * Functions of more lines than allowed. `ratchet` names those that may be longer for now, as
 * `path#name` with their lines: such a number may fall and not rise, and must be lowered with the
 * function, so an entry that is higher than needed is a fault too.
 */
export function findLongFunctions(
  files: readonly SourceFile[],
  ratchet: Readonly<Record<string, number>> = {},
  linesMax = FUNCTION_LINES_MAX,
): string[] {
  const faults: string[] = [];
  const longest = new Map<string, number>();
  for (const { key, line, lines } of files.flatMap(measureFunctions)) {
    longest.set(key, Math.max(lines, longest.get(key) ?? 0));
    const allowed = ratchet[key] ?? linesMax;
    if (lines > allowed) faults.push(`${key} (line ${line}): ${lines} lines, at most ${allowed}`);
  }
  for (const [key, allowed] of Object.entries(ratchet)) {
    const lines = longest.get(key) ?? 0;
    if (lines < allowed) faults.push(`${key}: the ratchet says ${allowed}, it has ${lines} lines`);
  }
  return faults;
}

const BANNED_COMMENTS: readonly (readonly [RegExp, string])[] = [
  [/@ts-(ignore|nocheck)/, "use @ts-expect-error with a reason"],
  [/deno-lint-ignore-file/, "ignore one rule on one line, with a reason"],
  [/\b(TODO|FIXME|XXX)\b/, "do it, or say what is so and why"],
];

/** What no source file may contain, with what to do instead. */
export function findBanned(files: readonly SourceFile[]): string[] {
  return files.flatMap((file) => {
    const faults: string[] = [];
    const report = (node: { range: Deno.lint.Range }, text: string) => {
      faults.push(`${file.path}:${lineAt(file.text, node.range[0])}: ${text}`);
    };
    visitSource(file, (context) => ({
      TSAnyKeyword(node) {
        report(node, "`any`: use unknown, or the type");
      },
      TSAsExpression(node) {
        const inner = node.expression;
        if (inner.type === "TSAsExpression" && inner.typeAnnotation.type === "TSUnknownKeyword") {
          report(node, "`as unknown as`: it switches the type checker off; narrow with a check");
        }
      },
      MemberExpression(node) {
        const { object, property } = node;
        if (object.type !== "MemberExpression" || property.type !== "Identifier") return;
        if (property.name === "only" && isTestName(object)) report(node, "`test.only`");
      },
      Property(node) {
        const isOnly = node.key.type === "Identifier" && node.key.name === "only" &&
          node.value.type === "Literal" && node.value.value === true;
        if (isOnly) report(node, "`only: true`");
      },
      "Program:exit"() {
        for (const comment of context.sourceCode.getAllComments()) {
          for (const [pattern, remedy] of BANNED_COMMENTS) {
            const match = pattern.exec(comment.value);
            if (match !== null) report(comment, `\`${match[0]}\`: ${remedy}`);
          }
        }
      },
    }));
    return faults;
  });
}

function isTestName(node: Deno.lint.MemberExpression): boolean {
  return node.object.type === "Identifier" && node.object.name === "Deno" &&
    node.property.type === "Identifier" && node.property.name === "test";
}

/**
 * Places where the library prints. `allowed`, as `path#function`, is the one function that may,
 * with `console.warn`: the default of the option onWarning.
 */
export function findPrinting(files: readonly SourceFile[], allowed: string): string[] {
  const faults: string[] = [];
  for (const file of files.filter(({ path }) => isLibrary(path))) {
    const allowedRanges: Deno.lint.Range[] = [];
    visitSource(file, () => ({
      FunctionDeclaration(node) {
        if (`${file.path}#${node.id?.name}` === allowed) allowedRanges.push(node.range);
      },
      Identifier(node) {
        if (node.name !== "console") return;
        const isWarn = node.parent.type === "MemberExpression" &&
          node.parent.property.type === "Identifier" && node.parent.property.name === "warn";
        const isWithin = ([start, end]: Deno.lint.Range) =>
          start <= node.range[0] && node.range[1] <= end;
        if (isWarn && allowedRanges.some(isWithin)) return;
        const line = lineAt(file.text, node.range[0]);
        faults.push(`${file.path}:${line}: the library prints nothing: return, throw or onWarning`);
      },
    }));
  }
  return faults;
}

/** Modules that stand for a folder but do more than pass on what its files export. */
export function findNonExports(files: readonly SourceFile[]): string[] {
  const faults: string[] = [];
  for (const file of files.filter(({ path }) => isLibrary(path) && /(^|\/)mod\.ts$/.test(path))) {
    visitSource(file, () => ({
      Program(program) {
        for (const node of program.body) {
          const isExport = node.type === "ExportAllDeclaration" ||
            (node.type === "ExportNamedDeclaration" && node.source !== null);
          if (isExport) continue;
          faults.push(`${file.path}:${lineAt(file.text, node.range[0])}: a mod.ts only exports`);
        }
      },
    }));
  }
  return faults;
}

/** What reads the time, and what gives a child less time than a busy machine may need. */
const CLOCKS: readonly (readonly [RegExp, string])[] = [
  [/\b(performance|Date)\.now\b|\bnew Date\(\)|\bhrtime\b/g, "reads the clock"],
  [/\btimeLimitMs: (?!60_000\b)\d{1,2}(_?\d{3})?\b/g, "gives a child less than a minute"],
];

/**
 * Places where a test goes by the clock, in its text or in that of a program that it runs.
 * `allowed` are the files that may.
 */
export function findClocks(
  files: readonly SourceFile[],
  allowed: Readonly<Record<string, string>>,
): string[] {
  // A soak runs for as long as its options say.
  const isTest = (path: string) => path.startsWith("tests/") && !path.startsWith("tests/soak");
  const tests = files.filter(({ path }) => isTest(path) && !(path in allowed));
  return tests.flatMap(({ path, text }) =>
    CLOCKS.flatMap(([pattern, what]) =>
      Array.from(
        text.matchAll(pattern),
        ({ index }) =>
          `${path}:${lineAt(text, index)}: ${what}: wait for the event (support/patience.ts)`,
      )
    )
  );
}
