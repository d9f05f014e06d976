/**
 * doors.ts: what the doors for users show, as `deno doc` has it, and the rules for that: each a
 * function to lines of text that say what breaks it.
 *
 * @module
 */

import { runChild } from "../temp.ts";

/** What a door shows. */
export interface Door {
  /** As `deno doc` prints it. */
  readonly text: string;
  /** Each name, with its members; in the order of the names. */
  readonly names: readonly ShownName[];
}

/** One exported name. */
export interface ShownName {
  readonly name: string;
  /** What it does, if it is a function, and what its members say. */
  readonly members: readonly ShownMember[];
}

/** A member of a class or an interface; or a function, as the only member of its name. */
export interface ShownMember {
  readonly name: string;
  readonly doc: string;
  /** The names of the parameters that its comment describes. */
  readonly described: readonly string[];
  /** The names of those that it has. */
  readonly params: readonly string[];
  /** The type of a property, as written; empty if it is none or has no short name. */
  readonly type: string;
}

/** Reads a door. @param path of its module */
export async function readDoor(path: string): Promise<Door> {
  const text = await runDoc([path]);
  const json: DocJson = JSON.parse(await runDoc(["--json", path]));
  const [page] = Object.values(json.nodes);
  return { text, names: page!.symbols.map(readName) };
}

async function runDoc(args: string[]): Promise<string> {
  const { code, stdout, stderr } = await runChild(["doc", ...args]);
  if (code !== 0) throw new Error(`Cannot read what deno doc ${args.join(" ")} shows: ${stderr}`);
  return stdout;
}

// What `deno doc --json` writes, as far as it is of use here.
interface DocJson {
  readonly nodes: Readonly<Record<string, { readonly symbols: readonly DocSymbol[] }>>;
}

interface DocSymbol {
  readonly name: string;
  readonly declarations: readonly DocDeclaration[];
}

interface DocDeclaration extends DocItem {
  readonly kind: string;
  readonly def?: {
    readonly params?: readonly DocParam[];
    readonly methods?: readonly DocItem[];
    readonly properties?: readonly DocItem[];
    readonly constructors?: readonly DocItem[];
  };
}

interface DocItem {
  readonly name?: string;
  readonly jsDoc?: {
    readonly doc?: string;
    readonly tags?: readonly { readonly kind: string; readonly name?: string }[];
  };
  readonly functionDef?: { readonly params: readonly DocParam[] };
  readonly params?: readonly DocParam[];
  readonly tsType?: { readonly repr?: string };
}

interface DocParam {
  readonly name?: string;
  readonly left?: DocParam;
}

function readName({ name, declarations }: DocSymbol): ShownName {
  const members = declarations.flatMap((declaration) => {
    const { kind, def } = declaration;
    if (kind === "function") {
      return [readMember({ ...declaration, name, params: def?.params ?? [] })];
    }
    const all = [...def?.constructors ?? [], ...def?.properties ?? [], ...def?.methods ?? []];
    return all.map(readMember);
  });
  return { name, members };
}

function readMember({ name, jsDoc, functionDef, params, tsType }: DocItem): ShownMember {
  const tags = jsDoc?.tags ?? [];
  return {
    name: name ?? "constructor",
    doc: jsDoc?.doc ?? "",
    described: tags.filter(({ kind }) => kind === "param").map((tag) => tag.name ?? ""),
    params: (functionDef?.params ?? params ?? []).map((param) => nameOfParam(param)),
    type: tsType?.repr ?? "",
  };
}

function nameOfParam({ name, left }: DocParam): string {
  return name ?? left?.name ?? "";
}

/** More names than a door may have. */
export function findTooMany({ names }: Door, max: number): string[] {
  return names.length > max ? [`${names.length} names, at most ${max}`] : [];
}

/** Lines that show users what is not for them. */
export function findMachinery({ text }: Door): string[] {
  return text.split("\n").filter((line) =>
    /made by the core|not by users|@internal|for methods\b|for the (aio|core|transfers)\b/i.test(
      line,
    )
  );
}

/**
 * Comments with several tags in a line, which `deno doc` takes for text, or that forget parameters.
 */
export function findSqueezed({ names }: Door): string[] {
  return names.flatMap(({ name, members }) =>
    members.flatMap((member) => {
      const at = member.name === name ? name : `${name}.${member.name}`;
      const squeezed = /@(param|returns?|throws)\b/.test(member.doc)
        ? [`${at}: a tag in a line`]
        : [];
      const forgotten = member.described.length === 0
        ? []
        : member.params.filter((param) => !member.described.includes(param));
      return [...squeezed, ...forgotten.map((param) => `${at}: nothing of ${param}`)];
    })
  );
}

const UNITS = /bytes|handles|threads|buffers|reads|files|Workers|ms|µs/;

/**
 * Options of an interface that do not say their default, range and unit, or which methods heed
 * them.
 */
export function findVagueOptions({ members }: ShownName, areOfMethods: boolean): string[] {
  return members.flatMap(({ name, doc, type }) => {
    const range = /Range: (.*?\w)(\. |\.$|\.\n)/s.exec(`${doc.trim()}\n`)?.[1] ?? "";
    const isNumber = type === "number";
    return [
      ...(/Default: \S/.test(doc) ? [] : [`${name}: no default`]),
      ...(isNumber && range === "" ? [`${name}: no range`] : []),
      ...(isNumber && areOfMethods && !UNITS.test(range) ? [`${name}: no unit`] : []),
      ...(areOfMethods && !/Methods: \w/.test(doc) ? [`${name}: no methods`] : []),
    ];
  });
}

/** Members that an object of a class has, and its door does not show. */
export function findHidden(prototype: object, { members }: ShownName): string[] {
  const shown = new Set(members.map(({ name }) => name));
  return Object.getOwnPropertyNames(prototype)
    .filter((name) => name !== "constructor" && !shown.has(name));
}
