/**
 * doc_names.ts: whether what the documentation has in backquotes is there.
 *
 * A name is a path, a task, or a piece of code: `handle.startReadv(fd, offset)` has six. Words that
 * are no code are a sentence (`no free IOs despite no in-flight IOs`) or the command line of
 * another program, and name nothing. Of a chain of names each member must be one of what stands
 * before it, where that is known: a class, an interface, a table, or the word that the pages use
 * for an object of one.
 *
 * @module
 */

import { isBuiltin } from "node:module";
import type { CodeSpan } from "./doc_pages.ts";
import { OUTSIDE_NAMES, PROGRAMS, SYSTEM_FOLDERS } from "./outside_names.ts";
import type { SourceNames } from "./source_names.ts";

/** What is there to be named. */
export interface Named {
  readonly names: SourceNames;
  /** All paths of the checkout, folders with a slash at their end. */
  readonly paths: readonly string[];
  readonly tasks: ReadonlySet<string>;
  /** Names of others, with the reason; {@linkcode OUTSIDE_NAMES} where it is left out. */
  readonly outside?: ReadonlyMap<string, string>;
}

/** What the pages call an object, with what it is. */
const OBJECTS: Readonly<Record<string, readonly string[]>> = {
  aio: ["Aio"],
  file: ["AioFile"],
  handle: ["AioHandle"],
  owner: ["ResourceOwner"],
  stream: ["ReadStream"],
  backend: ["MethodBackend", "Backend"],
  workers: ["WorkerPoolOptions"],
  counters: ["BackendCounters"],
  libraries: ["LibraryPaths"],
};

/** Words of the language between two names. */
const KEYWORDS: ReadonlySet<string> = new Set([
  ...["as", "async", "await", "catch", "class", "const", "export", "extends", "false", "finally"],
  ...["for", "from", "function", "if", "import", "in", "instanceof", "let", "new", "null", "of"],
  ...["return", "this", "throw", "true", "try", "typeof", "undefined", "using", "void"],
]);

/** A text, a name, a number or a sign. */
const TOKEN = /"([^"]*)"|'([^']*)'|(--[\w-]+|#?[A-Za-z_$][\w$]*)|(\d[\w.]*)|(\S)/g;
const PATH = /^(\.?[\w@-]+\/)*[\w@.*-]+\.(ts|md|json|svg|mjs)$|^\.?([\w@-]+\/)+[\w@*.-]*$/;

/** The names in backquotes that are not there, with what is missing. */
export function findUnknownNames(spans: readonly CodeSpan[], named: Named): string[] {
  return spans.flatMap(({ text, line }) => {
    const missing = missingIn(text, named);
    return missing === null ? [] : [`line ${line}: \`${text}\`: ${missing}`];
  });
}

/** What of a piece of text is not there; null if all is. */
export function missingIn(text: string, named: Named): string | null {
  if (isOutside(text, named) || /^https?:/.test(text)) return null;
  if (SYSTEM_FOLDERS.some((folder) => text.startsWith(folder))) return null;
  const task = /^(?:deno )?task ([a-z_]+(?::[a-z_]+)?)/.exec(text);
  if (task !== null) return named.tasks.has(task[1]!) ? null : `there is no task ${task[1]}`;
  if (PROGRAMS.has(text.split(" ")[0]!)) return null;
  if (/^node:\w+$/.test(text)) return isBuiltin(text) ? null : `Deno has no module ${text}`;
  if (PATH.test(text) || named.paths.includes(text)) {
    return hasPath(text, named) ? null : "there is no such file or folder";
  }
  if (/^[a-z]+(-[a-z]+)+$/.test(text)) {
    return hasName(text, named) ? null : `nothing is named ${text}`;
  }
  return missingInCode(text, named);
}

function isOutside(text: string, { outside = OUTSIDE_NAMES }: Named): boolean {
  return outside.has(text);
}

/** Pages leave out folders that are clear, and may stand for several files with a star. */
function hasPath(text: string, { paths }: Named): boolean {
  const pattern = text.replaceAll(/[.+?^$()|[\]\\]/g, "\\$&").replaceAll("*", "[^/]*");
  const end = new RegExp(`(^|/)${pattern}$`);
  return paths.some((path) => end.test(path));
}

interface Token {
  readonly text: string;
  readonly kind: "name" | "text" | "number" | "sign";
}

function tokensOf(code: string): Token[] {
  return Array.from(code.matchAll(TOKEN), ([all, double, single, name, number]): Token => {
    if (name !== undefined) return { text: name, kind: "name" };
    if (number !== undefined) return { text: number, kind: "number" };
    const text = double ?? single;
    return text === undefined ? { text: all, kind: "sign" } : { text, kind: "text" };
  });
}

/** Whether it is words side by side, as no code has them. */
function isSentence(tokens: readonly Token[]): boolean {
  const isWord = (token: Token | undefined) =>
    token?.kind === "number" || token?.kind === "name" && !KEYWORDS.has(token.text);
  return tokens.some((token, i) => isWord(token) && isWord(tokens[i + 1]));
}

function missingInCode(code: string, named: Named): string | null {
  const tokens = tokensOf(code);
  if (isSentence(tokens)) return null;
  for (let i = 0; i < tokens.length; i++) {
    const { kind, text } = tokens[i]!;
    if (kind === "text" && /^[\w-]+$/.test(text) && !hasName(text, named)) {
      return `nothing is named "${text}"`;
    }
    if (kind !== "name" || KEYWORDS.has(text)) continue;
    const chain = [text];
    while (tokens[i + 1]?.text === "." && tokens[i + 2]?.kind === "name") {
      chain.push(tokens[i + 2]!.text);
      i += 2;
    }
    const missing = missingInChain(chain, named);
    if (missing !== null) return missing;
  }
  return null;
}

/** An option of a program's command line is a word of the code that reads it. */
function hasName(word: string, named: Named): boolean {
  return named.names.hasWord(word.replace(/^--/, "")) || isOutside(word, named) ||
    word in globalThis;
}

function missingInChain(chain: readonly string[], named: Named): string | null {
  const [root, ...members] = chain;
  const owners = OBJECTS[root!] ?? (named.names.hasOwner(root!) ? [root!] : []);
  if (owners.length === 0 && root! in globalThis) return missingInRuntime(chain);
  if (!hasName(root!, named)) return `nothing is named ${root}`;
  const [first, ...rest] = members;
  if (first !== undefined && owners.length > 0) {
    const isThere = owners.some((owner) => named.names.hasMember(owner, first));
    if (!isThere) return `${owners.join(" or ")} has no ${first}`;
  }
  const words = owners.length > 0 ? rest : members;
  const unknown = words.find((word) => !hasName(word, named));
  return unknown === undefined ? null : `nothing is named ${unknown}`;
}

/** Follows a chain of names through what Deno has. */
function missingInRuntime(chain: readonly string[]): string | null {
  let at: unknown = globalThis;
  for (const name of chain) {
    const holder = at as Record<string, unknown> & { prototype?: object };
    if (name in holder) at = holder[name];
    else if (holder.prototype !== undefined && name in holder.prototype) return null;
    else return `Deno has no ${chain.join(".")}`;
    if (at === null || typeof at !== "object" && typeof at !== "function") return null;
  }
  return null;
}
