/**
 * names_on_disk.ts: the names of files as the disk has them. A name that is made, moved or removed
 * is on the disk once its directory was flushed, and before that it may be. A file that is renamed
 * has one of its names, never both or none.
 *
 * @module
 */

import { DIRECTORY, directoryOf, type NameChange, pathsOf } from "./changes.ts";
import type { Chooser } from "./chooser.ts";
import type { Timeline } from "./timeline.ts";

/** What each path names. */
export type Names = ReadonlyMap<string, number>;

/** The disk's side of all names. */
export class NamesOnDisk {
  readonly #timeline: Timeline;
  readonly #durable: Map<string, number>;
  /** Those that are not durable, in the order in which they began. */
  #pending: number[] = [];
  readonly #lost = new Set<number>();
  #stable: Names | null = null;

  /** @param names what is durable at first */
  constructor(timeline: Timeline, names: Names) {
    this.#timeline = timeline;
    this.#durable = new Map(names);
  }

  #changeOf(id: number): NameChange {
    return this.#timeline.changes[id] as NameChange;
  }

  #share(one: number, other: number): boolean {
    const paths = pathsOf(this.#changeOf(one));
    return pathsOf(this.#changeOf(other)).some((path) => paths.includes(path));
  }

  /** A change begins. */
  begin(id: number): void {
    this.#pending.push(id);
  }

  /** One is over: it was refused, unless it is there. */
  end(id: number, ok: boolean): void {
    if (!ok) this.#pending = this.#pending.filter((other) => other !== id);
  }

  /** The flush of a directory is over. @param begin the step at which it began */
  flush(directory: string, begin: number, ok: boolean): void {
    const { ends } = this.#timeline;
    const covered = this.#pending.filter((id) =>
      ends[id]! < begin && !this.#lost.has(id) &&
      pathsOf(this.#changeOf(id)).some((path) => directoryOf(path) === directory)
    );
    if (!ok) {
      for (const id of covered) this.#lost.add(id);
      return;
    }
    // A name that is there by a change has all changes before that behind it.
    const durable = new Set(covered);
    for (const id of [...this.#pending].reverse()) {
      if ([...durable].some((later) => later > id && this.#share(id, later))) durable.add(id);
    }
    for (const id of this.#pending) if (durable.has(id)) apply(this.#durable, this.#changeOf(id));
    this.#pending = this.#pending.filter((id) => !durable.has(id));
    this.#stable = null;
  }

  /** One state of them. */
  state(chooser: Chooser): Names {
    if (this.#pending.length === 0) return this.#stable ??= reachable(new Map(this.#durable));
    const names = new Map(this.#durable);
    const refused: number[] = [];
    for (const id of this.#pending) {
      const isThere = !refused.some((other) => this.#share(other, id)) && chooser.coin();
      if (isThere) apply(names, this.#changeOf(id));
      else refused.push(id);
    }
    return reachable(names);
  }
}

function apply(names: Map<string, number>, { path, from, node }: NameChange): void {
  if (from !== null) names.delete(from);
  if (node === null) names.delete(path);
  else names.set(path, node);
}

/** Without a directory there is nothing in it. */
function reachable(names: Map<string, number>): Names {
  const isThere = (path: string): boolean => {
    const directory = directoryOf(path);
    return directory === "" || names.get(directory) === DIRECTORY && isThere(directory);
  };
  for (const path of names.keys()) {
    if (path.includes("/") && !isThere(path)) names.delete(path);
  }
  return names;
}
