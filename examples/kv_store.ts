/**
 * kv_store.ts: a key-value store on the log: what is put is on disk when its promise resolves, and
 * all threads of the program use it at once.
 *
 * ```text
 * put ─► appended to the log, durably ─► the map of this thread
 *          └─► followed by every other thread ─► its map
 * ```
 *
 * Each thread has all entries in memory, and follows the log for what the others put. The position
 * of a record says which of two is newer, in all threads alike. Compaction appends what is still
 * wanted of the old part once more, and gives that part up.
 *
 * Run: deno run -A examples/kv_store.ts DIR get KEY | put KEY VALUE | delete KEY | list [PREFIX] |
 * compact
 *
 * @module
 */

import { Aio, type Log, type LogReadOptions, type LogToken } from "../mod.ts";

/** What a record does. */
const KIND = { put: 1, delete: 2, copy: 3 } as const;
/** The kind, the length of the key, and the position of what a copy copies. */
const HEAD_BYTES = 16;

/** One change of the store. */
interface Change {
  readonly kind: number;
  readonly key: string;
  readonly value: Uint8Array;
  /** Where the record is that a copy copies: a newer one is not undone. */
  readonly copied: number;
}

/** What is known of a key. */
interface Entry {
  readonly position: number;
  /** Null: it was deleted. */
  readonly value: Uint8Array | null;
}

const NOTHING = new Uint8Array();

function encode({ kind, key, value, copied }: Change): Uint8Array {
  const name = new TextEncoder().encode(key);
  const record = new Uint8Array(HEAD_BYTES + name.length + value.length);
  const head = new DataView(record.buffer);
  head.setUint32(0, kind, true);
  head.setUint32(4, name.length, true);
  head.setFloat64(8, copied, true);
  record.set(name, HEAD_BYTES);
  record.set(value, HEAD_BYTES + name.length);
  return record;
}

function decode(record: Uint8Array): Change {
  const head = new DataView(record.buffer, record.byteOffset, HEAD_BYTES);
  const valueAt = HEAD_BYTES + head.getUint32(4, true);
  return {
    kind: head.getUint32(0, true),
    key: new TextDecoder().decode(record.subarray(HEAD_BYTES, valueAt)),
    value: record.subarray(valueAt),
    copied: head.getFloat64(8, true),
  };
}

/** The store, in one thread. */
export class KvStore implements AsyncDisposable {
  readonly #log: Log;
  readonly #entries = new Map<string, Entry>();
  readonly #end = new AbortController();
  /** This thread has heard of all that is before. */
  #followed = 0;
  #following: Promise<void> = Promise.resolve();

  private constructor(log: Log) {
    this.#log = log;
  }

  /** Opens the store in a directory. */
  static async open(aio: Aio, directory: string): Promise<KvStore> {
    return await KvStore.#of(await aio.openLog(directory));
  }

  /** Uses the store that another thread has opened. */
  static attach(aio: Aio, token: LogToken): Promise<KvStore> {
    return KvStore.#of(aio.attachLog(token));
  }

  static async #of(log: Log): Promise<KvStore> {
    const store = new KvStore(log);
    const from = log.flushed;
    await store.#apply({ from: log.start, until: from });
    store.#following = store.#follow(from);
    return store;
  }

  /** Names it, for {@linkcode attach} in other threads. */
  get token(): LogToken {
    return this.#log.token;
  }

  /** Resolves when the value is on disk. */
  async put(key: string, value: Uint8Array): Promise<void> {
    await this.#change({ kind: KIND.put, key, value: value.slice(), copied: 0 });
  }

  /** Resolves when that is on disk. */
  async delete(key: string): Promise<void> {
    await this.#change({ kind: KIND.delete, key, value: NOTHING, copied: 0 });
  }

  /** The value of a key; null: it has none. */
  get(key: string): Uint8Array | null {
    return this.#entries.get(key)?.value ?? null;
  }

  /** The keys with a prefix, in order, and their values. */
  *scan(prefix = ""): Generator<[string, Uint8Array], void, void> {
    for (const key of [...this.#entries.keys()].sort()) {
      const value = key.startsWith(prefix) ? this.get(key) : null;
      if (value !== null) yield [key, value];
    }
  }

  /** Resolves when this thread has heard of all that others have put until now. */
  async catchUp(): Promise<void> {
    await this.#apply({ from: Math.max(this.#followed, this.#log.start) });
  }

  /**
   * Gives up what is no longer wanted of the log. One thread at a time may do so.
   *
   * @returns bytes of the log then
   */
  async compact(): Promise<number> {
    const boundary = this.#log.flushed;
    await this.catchUp();
    const old = [...this.#entries].filter(([, { position }]) => position < boundary);
    await Promise.all(
      old.map(([key, { position, value }]) =>
        value === null ? null : this.#change({ kind: KIND.copy, key, value, copied: position })
      ),
    );
    await this.#log.truncateBefore(boundary);
    this.#forgetDeleted();
    return this.#log.end - this.#log.start;
  }

  /** A copy may follow a deletion until the part of the log with that is given up. */
  #forgetDeleted(): void {
    const { start } = this.#log;
    for (const [key, { position, value }] of this.#entries) {
      if (value === null && position < start) this.#entries.delete(key);
    }
  }

  async #change(change: Change): Promise<void> {
    this.#note(change, await this.#log.append(encode(change)));
  }

  /** The newest record of a key counts, in whichever order a thread hears of them. */
  #note({ kind, key, value, copied }: Change, position: number): void {
    const known = this.#entries.get(key);
    if (known !== undefined && known.position >= position) return;
    // What was put or deleted since it was copied is newer, wherever the copy is.
    if (kind === KIND.copy && known !== undefined && known.position > copied) return;
    this.#entries.set(key, { position, value: kind === KIND.delete ? null : value });
  }

  /** Notes what is in the log. */
  async #apply(options: LogReadOptions): Promise<void> {
    for await (const { position, data } of this.#log.read(options)) {
      this.#note(decode(data), position);
      this.#followed = Math.max(this.#followed, position);
    }
  }

  /** Goes on until the store is closed. */
  async #follow(from: number): Promise<void> {
    let at = from;
    while (!this.#end.signal.aborted) {
      try {
        await this.#apply({ from: at, follow: true, signal: this.#end.signal });
      } catch (error) {
        if (this.#end.signal.aborted) return;
        if (!(error instanceof Deno.errors.NotFound)) throw error;
        // Another thread has compacted faster than this one reads: all that counts is behind.
        at = this.#log.start;
        this.#forgetDeleted();
      }
    }
  }

  /** Leaves the store; it is closed with its last thread. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#end.abort(new Error("The store is closed"));
    await this.#following;
    await this.#log.close();
  }
}

const USAGE =
  "Usage: kv_store.ts DIR get KEY | put KEY VALUE | delete KEY | list [PREFIX] | compact";

/** Does one command. @returns the exit status */
async function run(store: KvStore, command: string, key = "", value = ""): Promise<number> {
  switch (command) {
    case "put":
      await store.put(key, new TextEncoder().encode(value));
      return 0;
    case "delete":
      await store.delete(key);
      return 0;
    case "get": {
      const found = store.get(key);
      if (found !== null) console.log(new TextDecoder().decode(found));
      return found === null ? 1 : 0;
    }
    case "list":
      for (const [name, found] of store.scan(key)) {
        console.log(`${name}\t${new TextDecoder().decode(found)}`);
      }
      return 0;
    case "compact":
      console.log(`${await store.compact()} bytes`);
      return 0;
    default:
      console.error(USAGE);
      return 2;
  }
}

if (import.meta.main) {
  const [directory, command, key, value] = Deno.args;
  if (directory === undefined || command === undefined) {
    console.error(USAGE);
    Deno.exitCode = 2;
  } else {
    await using aio = await Aio.open();
    await using store = await KvStore.open(aio, directory);
    Deno.exitCode = await run(store, command, key, value);
  }
}
