/**
 * imports.ts: which file imports which. Takes the imports of each source file from Deno's own
 * parser (the one of `deno lint`, so only within `deno test`) and judges them by the rules of the
 * house: `mod.ts` -> storage, methods, core; `storage` -> three files of core, methods/registry;
 * `methods` -> core, ffi; `core` -> four files of ffi; `ffi` -> nothing. Never upward, no cycles.
 * `testing`, which nothing imports, looks into all of them but the inside of `storage`. Within
 * `core` the same holds from floor to floor. Storage knows the core by its door for users,
 * core/mod.ts, and by core/inside.ts and its part core/inside_layers.ts, which are for storage
 * alone.
 *
 * @module
 */

/** A source file, by its path from the root of the checkout. */
export interface SourceFile {
  readonly path: string;
  readonly text: string;
}

/** What one file takes from another. */
export interface ImportEdge {
  /** The importing file. */
  readonly from: string;
  /** A path from the root, or the specifier as written where it is not relative. */
  readonly to: string;
  /** `url` is `new URL("./x.ts", import.meta.url)`, which gives a Worker its module. */
  readonly kind: "value" | "type" | "dynamic" | "url";
  /** Its line in the importing file, from 1. */
  readonly line: number;
}

/** What `to` is where a dynamic import's specifier is not a text. */
export const COMPUTED = "(computed)";
/** The folders whose files are the library, beside mod.ts. */
export const LIBRARY_FOLDERS = ["ffi", "core", "methods", "storage", "testing"] as const;

/** Whether a path is a file of the library proper. */
export function isLibrary(path: string): boolean {
  return path === "mod.ts" || LIBRARY_FOLDERS.some((folder) => path.startsWith(`${folder}/`));
}

/** Runs visitors over a file's syntax tree. */
export function visitSource(
  file: SourceFile,
  create: (context: Deno.lint.RuleContext) => Deno.lint.LintVisitor,
): void {
  Deno.lint.runPlugin({ name: "tidy", rules: { tidy: { create } } }, file.path, file.text);
}

/** A comment of a file, as the parser has it. */
export interface Comment {
  /** What stands between the signs that make it one. */
  readonly value: string;
  readonly range: Deno.lint.Range;
}

/** The comments of a file, in order. */
export function commentsOf(file: SourceFile): readonly Comment[] {
  let comments: readonly Comment[] = [];
  visitSource(file, (context) => ({
    "Program:exit"() {
      comments = context.sourceCode.getAllComments();
    },
  }));
  return comments;
}

/** The line of a position in a text, from 1. */
export function lineAt(text: string, position: number): number {
  let line = 1;
  for (let i = text.indexOf("\n"); i >= 0 && i < position; i = text.indexOf("\n", i + 1)) line++;
  return line;
}

function resolve(from: string, specifier: string): string {
  if (!/^\.{0,2}\//.test(specifier)) return specifier;
  return new URL(specifier, `file:///${from}`).pathname.slice(1);
}

/** Every import, export-from, dynamic import, import type and module URL of a file. */
export function importsOf(file: SourceFile): ImportEdge[] {
  const edges: ImportEdge[] = [];
  const add = (specifier: unknown, kind: ImportEdge["kind"], node: Deno.lint.Node) => {
    const to = typeof specifier === "string" ? resolve(file.path, specifier) : COMPUTED;
    edges.push({ from: file.path, to, kind, line: lineAt(file.text, node.range[0]) });
  };
  visitSource(file, () => ({
    ImportDeclaration(node) {
      const isType = node.importKind === "type" ||
        (node.specifiers.length > 0 &&
          node.specifiers.every((specifier) =>
            specifier.type === "ImportSpecifier" && specifier.importKind === "type"
          ));
      add(node.source.value, isType ? "type" : "value", node);
    },
    ExportNamedDeclaration(node) {
      if (!node.source) return;
      const isType = node.exportKind === "type" ||
        (node.specifiers.length > 0 &&
          node.specifiers.every((specifier) => specifier.exportKind === "type"));
      add(node.source.value, isType ? "type" : "value", node);
    },
    ExportAllDeclaration(node) {
      add(node.source.value, node.exportKind === "type" ? "type" : "value", node);
    },
    ImportExpression(node) {
      const source = node.source;
      if (source.type === "Literal") add(source.value, "dynamic", node);
      else if (source.type === "TemplateLiteral" && source.expressions.length === 0) {
        add(source.quasis[0]?.cooked, "dynamic", node);
      } else add(undefined, "dynamic", node);
    },
    TSImportType(node) {
      const text = file.text.slice(node.range[0], node.range[1]);
      add(/["']([^"']+)["']/.exec(text)?.[1], "type", node);
    },
    NewExpression(node) {
      const text = file.text.slice(node.range[0], node.range[1]);
      const match = /^new URL\(\s*["'`]([^"'`$]+\.ts)["'`],\s*import\.meta\.url,?\s*\)$/.exec(text);
      if (match !== null) add(match[1], "url", node);
    },
  }));
  return edges;
}

/** What storage alone knows of the core. */
const INSIDE = /^core\/inside(_layers)?\.ts$/;

/** What each folder of the library may import beside its own files. */
const MAY_IMPORT: Readonly<Record<string, readonly RegExp[]>> = {
  "mod.ts": [/^(storage|methods|core)\/mod\.ts$/],
  testing: [
    /^(storage|core)\/mod\.ts$/,
    /^methods\/registry\.ts$/,
    /^core\/(base|memory|io)\//,
    /^ffi\//,
  ],
  storage: [/^core\/mod\.ts$/, INSIDE, /^methods\/registry\.ts$/],
  methods: [/^ffi\//],
  core: [/^ffi\/(libc|memory|errno|layout)\.ts$/],
  ffi: [],
};

/** The floors that each floor of the core stands on; `core/*.ts` stand on all. */
const FLOORS: Readonly<Record<string, readonly string[]>> = {
  base: [],
  memory: ["base"],
  io: ["base", "memory"],
  files: ["base", "memory", "io"],
  waiting: ["base", "memory", "io"],
  backend: ["base", "memory", "io", "files", "waiting"],
  views: ["base", "memory", "io", "files", "waiting", "backend"],
  life: ["base", "memory", "io", "files", "waiting", "backend", "views"],
};
/** What methods know of the core: one IO, its memory, and how a thread of their own joins. */
const FOR_METHODS = /^core\/((base|memory|io)\/|life\/helper_thread\.ts$)/;

function floorOf(path: string): string | undefined {
  return /^core\/(\w+)\//.exec(path)?.[1];
}

/** What breaks the direction within the core, or from a method into it. */
function floorFault(from: string, to: string): string | undefined {
  const floor = floorOf(to);
  if (floor === undefined) {
    return floorOf(from) === undefined ? undefined : "a floor stands on floors alone";
  }
  if (from.startsWith("methods/")) {
    return FOR_METHODS.test(to) ? undefined : `a method may not know ${floor}`;
  }
  const own = floorOf(from);
  if (own === undefined || own === floor) return undefined;
  const below = FLOORS[own];
  if (below === undefined) return `core has no floor ${own}`;
  return below.includes(floor) ? undefined : `${own} does not stand on ${floor}`;
}

function describeEdge(edge: ImportEdge): string {
  return `${edge.from}:${edge.line} imports ${edge.to}`;
}

/** What breaks the direction of imports, each in one line; empty if nothing does. */
export function findDirectionFaults(
  edges: readonly ImportEdge[],
  computedAllowed: readonly string[] = [],
): string[] {
  return edges.flatMap((edge) => {
    const reason = directionFault(edge, computedAllowed);
    return reason === undefined ? [] : [`${describeEdge(edge)}: ${reason}`];
  });
}

function directionFault(edge: ImportEdge, computedAllowed: readonly string[]): string | undefined {
  const { from, to } = edge;
  const isBare = !isLibrary(to) && !/^(node:|[a-z]+:|(tests|examples|bench)\/)/.test(to) &&
    !to.endsWith(".ts");
  if (from.startsWith("examples/")) {
    return isBare && to !== COMPUTED
      ? "an example runs by URL, where there is no import map"
      : undefined;
  }
  if (!isLibrary(from)) return undefined;
  if (to.startsWith("node:")) return undefined;
  if (to === COMPUTED) {
    return computedAllowed.includes(from) ? undefined : "a computed import cannot be checked";
  }
  if (!isLibrary(to)) return "the library imports nothing but itself and node: built-ins";
  const folder = from === "mod.ts" ? from : from.slice(0, from.indexOf("/"));
  if (INSIDE.test(to) && from !== "core/inside.ts" && folder !== "storage") {
    return "it is for storage alone";
  }
  if (to.startsWith("core/") && (folder === "core" || folder === "methods")) {
    return floorFault(from, to);
  }
  if (folder !== "mod.ts" && to.startsWith(`${folder}/`)) return undefined;
  if ((MAY_IMPORT[folder] ?? []).some((allowed) => allowed.test(to))) return undefined;
  return `${folder} may not`;
}

/** The cycles among library files, each as `a -> b -> a`; one for each group that has any. */
export function findCycles(
  edges: readonly ImportEdge[],
  kinds: readonly ImportEdge["kind"][],
): string[] {
  const next = new Map<string, string[]>();
  for (const { from, to, kind } of edges) {
    if (!isLibrary(from) || !isLibrary(to) || !kinds.includes(kind)) continue;
    next.set(from, [...(next.get(from) ?? []), to]);
  }
  const cycles: string[] = [];
  const done = new Set<string>();
  const visit = (path: string, trail: readonly string[]) => {
    const start = trail.indexOf(path);
    if (start >= 0) {
      cycles.push([...trail.slice(start), path].join(" -> "));
      return;
    }
    if (done.has(path)) return;
    for (const target of next.get(path) ?? []) visit(target, [...trail, path]);
    done.add(path);
  };
  for (const path of [...next.keys()].sort()) visit(path, []);
  return cycles;
}

/** Library files that no library file refers to and that no export names. */
export function findDeadFiles(
  files: readonly SourceFile[],
  edges: readonly ImportEdge[],
  exported: readonly string[],
): string[] {
  const used = new Set(edges.filter(({ from }) => isLibrary(from)).map(({ to }) => to));
  return files.map(({ path }) => path)
    .filter((path) => isLibrary(path) && !used.has(path) && !exported.includes(path));
}
