/**
 * source_names.ts: the names that the sources have: words of the code, members of classes,
 * interfaces and tables, files, tasks. Taken from Deno's own parser, so comments do not count, and
 * only within `deno test`.
 *
 * @module
 */

import { type SourceFile, visitSource } from "./imports.ts";

/** What a class, an interface or a table of constants has. */
interface Members {
  readonly names: Set<string>;
  /** What it extends, by name. */
  readonly bases: Set<string>;
}

/** What there is to be named. */
export interface SourceNames {
  /** Whether the code has an identifier, or a text, of this name; a private one with its `#`. */
  hasWord(word: string): boolean;
  /** Whether it declares a class, an interface or a table of this name. */
  hasOwner(name: string): boolean;
  /** Whether one of them, or what it extends, has a member. */
  hasMember(owner: string, member: string): boolean;
  /** The members that it declares itself; empty if there is none of this name. */
  membersOf(owner: string): string[];
}

/** A text that could be a name: of a state, a counter, a callback, an option of a command line. */
const NAME = /^[\w#.-]+$/;

/** Collects the names of files. */
export function namesOf(files: readonly SourceFile[]): SourceNames {
  const words = new Set<string>();
  const owners = new Map<string, Members>();
  for (const file of files) visitSource(file, () => collectorOf(words, owners));
  const hasMember = (owner: string, member: string, seen: ReadonlySet<string>): boolean => {
    const found = owners.get(owner);
    if (found === undefined || seen.has(owner)) return false;
    if (found.names.has(member)) return true;
    const known = new Set([...seen, owner]);
    return [...found.bases].some((base) => hasMember(base, member, known));
  };
  return {
    hasWord: (word) => words.has(word),
    hasOwner: (name) => owners.has(name),
    hasMember: (owner, member) => hasMember(owner, member, new Set()),
    membersOf: (owner) => [...owners.get(owner)?.names ?? []],
  };
}

type Key = { readonly type: string; readonly name?: string; readonly value?: unknown };

/** The names of what stands in a class, an interface or a table. */
function keysOf(members: readonly object[]): string[] {
  const keys = members.map((member) => "key" in member ? member.key as Key | undefined : undefined);
  return keys.flatMap((key) => {
    if (key === undefined) return [];
    return [key.type === "PrivateIdentifier" ? `#${key.name}` : key.name ?? String(key.value)];
  });
}

/** A table of constants, also one with a type assertion. */
function tableOf(node: Deno.lint.VariableDeclarator): Deno.lint.ObjectExpression | null {
  let value: Deno.lint.Node | null = node.init;
  while (value?.type === "TSAsExpression" || value?.type === "TSSatisfiesExpression") {
    value = value.expression;
  }
  return value?.type === "ObjectExpression" ? value : null;
}

/** Collects the names of one file. */
function collectorOf(words: Set<string>, owners: Map<string, Members>): Deno.lint.LintVisitor {
  const add = (owner: string, names: readonly string[], bases: readonly string[] = []) => {
    const found = owners.get(owner) ?? { names: new Set(), bases: new Set() };
    owners.set(owner, found);
    for (const name of names) found.names.add(name);
    for (const base of bases) found.bases.add(base);
  };
  return {
    Identifier: ({ name }) => void words.add(name),
    PrivateIdentifier: ({ name }) => void words.add(`#${name}`),
    Literal({ value }) {
      if (typeof value === "string" && NAME.test(value)) words.add(value);
    },
    ClassDeclaration(node) {
      const bases = node.superClass?.type === "Identifier" ? [node.superClass.name] : [];
      if (node.id) add(node.id.name, keysOf(node.body.body), bases);
    },
    TSInterfaceDeclaration(node) {
      const bases = node.extends.flatMap(({ expression }) =>
        expression.type === "Identifier" ? [expression.name] : []
      );
      add(node.id.name, keysOf(node.body.body), bases);
    },
    TSTypeAliasDeclaration({ id, typeAnnotation }) {
      if (typeAnnotation.type === "TSTypeLiteral") add(id.name, keysOf(typeAnnotation.members));
    },
    VariableDeclarator(node) {
      const table = tableOf(node);
      if (node.id.type === "Identifier" && table !== null) {
        add(node.id.name, keysOf(table.properties));
      }
    },
  };
}
