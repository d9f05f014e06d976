/**
 * library.ts: shared libraries, each opened once a thread however many users it has.
 *
 * Deno compares a scoped `--allow-ffi` literally with the path that is opened, so every usual
 * spelling of a library is a candidate, and the first that is granted and can be loaded is taken.
 *
 * @module
 */

/** One kind of library. */
export interface LibraryKind<T> {
  /** What it is, in errors: `the C library`. */
  readonly name: string;
  /** The option that names its path: `libraries.libc`. */
  readonly option: string;
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
   * Opens the first candidate that is granted and can be loaded, for one more user.
   *
   * @throws {Deno.errors.NotCapable} if none is granted, naming the flag to add
   * @throws {Deno.errors.NotFound} if none can be loaded, naming each with its reason
   */
  open(candidates: readonly string[]): T {
    const { name, option } = this.#kind;
    const granted = candidates.filter((path) =>
      Deno.permissions.querySync({ name: "ffi", path }).state === "granted"
    );
    if (granted.length === 0) {
      throw new Deno.errors.NotCapable(
        `Cannot open ${name} without permission: run again with --allow-ffi=${candidates[0]} ` +
          `(on this machine another of these may be the right one: ${candidates.join(", ")})`,
      );
    }
    const failures: string[] = [];
    for (const path of granted) {
      try {
        return this.#openShared(path);
      } catch (cause) {
        failures.push(`${path} (${cause instanceof Error ? cause.message : cause})`);
      }
    }
    throw new Deno.errors.NotFound(
      `Cannot load ${name}: tried ${failures.join(", ")}; name it with the option "${option}"`,
    );
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
