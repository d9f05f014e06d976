/**
 * library.ts: shared libraries, each opened once a thread however many users it has.
 *
 * Deno compares a scoped `--allow-ffi` literally with the path that is opened, so every usual
 * spelling of a library is a candidate, and the first that is granted and can be loaded is taken.
 *
 * @module
 */

import { EMFILE, ENOENT, errnoText } from "./errno.ts";

/** One kind of library. */
export interface LibraryKind<T> {
  /** What it is, in errors: `the C library`. */
  readonly name: string;
  /** The option that names its path: `libraries.libc`. */
  readonly option: string;
  /** What helps where a path that the option names has no such library. */
  readonly remedy: string;
  /** Loads it; throws if it cannot be. */
  load(path: string): T;
}

/** An opened library. */
export interface SharedLibrary {
  /** The path it was opened by. */
  readonly path: string;
  /** Unloads it. */
  unload(): void;
}

/** The libraries of one kind that this thread has open. */
export class SharedLibraries<T extends SharedLibrary> {
  readonly #kind: LibraryKind<T>;
  /** By path, with how many users each has. */
  readonly #open = new Map<string, { library: T; users: number }>();

  /** Of one kind; none is open yet. */
  constructor(kind: LibraryKind<T>) {
    this.#kind = kind;
  }

  /**
   * Opens a library for one more user.
   *
   * @param named the one path to take, from the option; undefined: the first of the candidates that
   *   is granted and can be loaded
   * @throws {Deno.errors.NotCapable} if none is granted, naming the flag to add
   * @throws {Deno.errors.NotFound} if none can be loaded, naming the remedy; `cause` has what was
   *   tried
   */
  open(named: string | undefined, candidates: readonly string[] = []): T {
    const paths = named === undefined ? candidates : [named];
    const granted = paths.filter((path) => isGranted("ffi", path));
    if (granted.length === 0) throw notGranted(this.#kind, paths);
    const failures: Error[] = [];
    for (const path of granted) {
      try {
        return this.#openShared(path);
      } catch (error) {
        failures.push(error instanceof Error ? error : new Error(String(error)));
      }
    }
    throw notLoaded(this.#kind, named, failures);
  }

  #openShared(path: string): T {
    let entry = this.#open.get(path);
    if (entry === undefined) {
      entry = { library: this.#kind.load(path), users: 0 };
      this.#open.set(path, entry);
    }
    entry.users++;
    return entry.library;
  }

  /** Gives back what {@linkcode open} returned; the last user unloads it. */
  close(library: T): void {
    const entry = this.#open.get(library.path);
    if (entry === undefined || entry.library !== library) return;
    entry.users--;
    if (entry.users > 0) return;
    this.#open.delete(library.path);
    library.unload();
  }
}

function isGranted(name: "ffi" | "read", path: string): boolean {
  return Deno.permissions.querySync({ name, path }).state === "granted";
}

/** Whether there is a file; null: this program may not look. */
function exists(path: string): boolean | null {
  if (!path.startsWith("/") || !isGranted("read", path)) return null;
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}

function notGranted({ name }: LibraryKind<unknown>, paths: readonly string[]): Error {
  const path = paths.find((one) => exists(one) === true) ??
    paths.find((one) => exists(one) === null);
  return new Deno.errors.NotCapable(
    `Cannot open ${name} without permission: run again with --allow-ffi=${path ?? paths[0]}`,
    { cause: `Not granted: ${paths.join(", ")}` },
  );
}

const NO_FILE = errnoText(ENOENT);
const NO_DESCRIPTORS = errnoText(EMFILE);

/** The words of the loader tell what is wrong; there is no number. */
function notLoaded(
  { name, option, remedy }: LibraryKind<unknown>,
  named: string | undefined,
  failures: readonly Error[],
): Error {
  // Text, as an error would be shown with the stack of this module.
  const cause = failures.map(({ message }) => message).join("; ");
  const failed = failures.find(({ message }) => !message.includes(NO_FILE));
  const refuse = (message: string) => new Deno.errors.NotFound(message, { cause });
  if (failed?.message.includes(NO_DESCRIPTORS)) {
    return refuse(
      `Cannot load ${name} as this process has no descriptors left (EMFILE): raise \`ulimit -n\``,
    );
  }
  if (named === undefined) {
    return refuse(
      failed === undefined
        ? `Cannot find ${name} in the usual places: name its path with the option "${option}"`
        : `Cannot load ${name} (${reasonOf(failed)}): name another with the option "${option}"`,
    );
  }
  return refuse(
    failed === undefined
      ? `Cannot find ${name} at ${named}: ${remedy}`
      : `Cannot load ${name} from ${named} (${reasonOf(failed)}): ${remedy}`,
  );
}

/** What the loader says last: before it, it names the library, up to three times. */
function reasonOf({ message }: Error): string {
  return /: ((?:undefined symbol: )?[^:]+)$/.exec(message)?.[1] ?? message;
}
