/**
 * aio.ts: class {@linkcode Aio}, what most users open: the core with all methods of this version,
 * files, and memory for them.
 *
 * @module
 */

import {
  attachBackend,
  type Backend,
  called,
  calling,
  checkToken,
  closeWithFiles,
  Descriptors,
  type Failures,
  type FileCalls,
  type FileSlot,
  get,
  identityOf,
  OPEN_REQUESTS,
  openBackend,
  type OpenedBackend,
  type OpenedFile,
  type OpenFileEntry,
  type OpenFileOptions,
  type OpeningHost,
  openingSteps,
  type OpenRequest,
  Patience,
  runSteps,
  runStepsSync,
  shown,
  type Steps,
} from "../core/inside.ts";
import {
  AioCore,
  type AioOptions,
  type AioToken,
  type AttachOptions,
  type CloseOptions,
  type FileToken,
  type IoMethod,
} from "../core/mod.ts";
import { METHODS } from "../methods/registry.ts";
import { BounceSpace } from "./file/bounce.ts";
import { type AioFile, aioFileOf } from "./file/file.ts";
import { FileInside } from "./file/file_inside.ts";
import type { AioFileParts } from "./file/file_parts.ts";
import { forgottenFiles, type Origin, originOf } from "./file/forgotten.ts";
import { replaceFile, syncDirectory } from "./file/replace_file.ts";
import type { TemporaryOptions } from "./file/temporary.ts";
import { Transfers } from "./file/transfer.ts";
import { LAYERS } from "./layers.ts";
import type { Log, LogToken } from "./log/log.ts";
import type { OpenLogOptions } from "./log/log_options.ts";
import { attachLog, type LogOpener, openLog } from "./log/open_log.ts";
import { withSegments } from "./log/segment_files.ts";
import {
  attachPool,
  type AttachPoolOptions,
  openPool,
  type OpenPoolOptions,
  type PoolOpener,
} from "./pool/open_pool.ts";
import { endPool, type PagePool, type PoolToken } from "./pool/pool.ts";
import { allocView, freeView } from "./user_memory.ts";

/** Makes the Aio of a thread that has opened or attached to one. */
export let aioOf: (opened: OpenedBackend) => Aio;

/**
 * Positioned, vectored, batched, direct, durable file I/O, shared by all threads of a program.
 *
 * Beside what is here it has all of `AioCore` (`./core`): `token`, for other threads; `options`,
 * `method` and `methodReason`, what is in force; `ios()`, `backends()` and `workers()`, what
 * happens; `adoptMemory()` and `setWorkers()`; and PostgreSQL's model, from `acquire()` to
 * `reapBackend()`.
 *
 * @example Write, make durable, read back
 * ```ts
 * import { Aio } from "@deno-aio/aio";
 *
 * const path = await Deno.makeTempFile();
 * await using aio = await Aio.open();
 * await using file = await aio.openFile(path, { read: true, write: true });
 * await file.writeAt(new TextEncoder().encode("hello"), 4096);
 * await file.syncData();
 * const buffer = new Uint8Array(5);
 * await file.readAt(buffer, 4096);
 * console.log(new TextDecoder().decode(buffer)); // hello
 * await Deno.remove(path);
 * ```
 */
export class Aio extends AioCore {
  readonly #backend: Backend;
  readonly #transfers: Transfers;
  readonly #descriptors: Descriptors;
  readonly #files = new Set<FileInside>();
  readonly #openings = new Set<Promise<FileInside>>();
  readonly #openingHost: OpeningHost;
  readonly #pools = new Set<PagePool>();
  readonly #logs = new Set<Log>();
  readonly #logOpenings = new Set<Promise<Log>>();
  /** Whether close() ends pools and logs: none is opened or attached meanwhile. */
  #isLeaving = false;

  /** @ignore */
  private constructor(opened: OpenedBackend) {
    super(opened);
    this.#backend = opened.backend;
    this.#transfers = new Transfers(this, new BounceSpace(this.#backend.arena));
    this.#descriptors = new Descriptors(this.#backend);
    const { libc, doorbells } = this.#backend;
    const checkOpen = (path: string) => this.#checkStillOpen(path);
    this.#openingHost = { libc, doorbells, checkOpen };
  }

  static {
    aioOf = (opened) => new Aio(opened);
  }

  /**
   * Opens the subsystem in this thread. `await using` closes it.
   *
   * @param options see {@linkcode AioOptions}; the defaults suit most programs
   * @param methods the methods there are, the best first. Default: those of this version.
   * @throws {TypeError} or {RangeError} for a wrong option
   * @throws {Deno.errors.NotCapable} without permission for the C library, naming the flag
   * @throws {Deno.errors.NotSupported} if the machine or Deno is not enough, naming the remedy
   */
  static override open(
    options?: AioOptions,
    methods: readonly IoMethod[] = METHODS,
  ): Promise<Aio> {
    return called(openBackend(options, methods, LAYERS).then(aioOf));
  }

  /**
   * Attaches this thread to what another thread of the process opened: files are shared by
   * {@linkcode attachFile}, memory by its views, which can be posted.
   *
   * @param token `aio.token`, as posted by any attached thread
   * @param hooks this thread's `onWarning`, `onLog` and `logLevel`
   * @param methods the methods there are. Default: those of this version.
   * @throws {TypeError} for another version's token, or other callbacks than the opener has
   * @throws {AioApiError} if this thread is attached already
   * @throws {Deno.errors.Busy} if no slot is free, naming the option `maxBackends`
   * @throws {Deno.errors.BadResource} if the opener has closed it
   */
  static override attach(
    token: AioToken,
    hooks: AttachOptions = {},
    methods: readonly IoMethod[] = METHODS,
  ): Promise<Aio> {
    return called(attachBackend(token, methods, hooks, LAYERS).then(aioOf));
  }

  /**
   * Opens a file.
   *
   * @param path a path or a `file:` URL; Deno asks for `--allow-read` or `--allow-write` on it
   * @param options for what, and how
   * @throws {TypeError} for options that are unknown or do not fit each other
   * @throws {Deno.errors.NotCapable} without Deno's permission for the path
   * @throws {Deno.errors.NotSupported} with `direct: "required"`, where the file system has none
   * @throws what the system says, with `code`, `errno`, `syscall`, `path` and `cause`
   */
  openFile(path: string | URL, options?: OpenFileOptions): Promise<AioFile> {
    return called(this.#openFile("openFile", path, options, Aio.prototype.openFile));
  }

  async #openFile(
    call: keyof typeof OPEN_REQUESTS,
    path: string | URL,
    options: OpenFileOptions | undefined,
    from: (...args: never[]) => unknown,
  ): Promise<AioFile> {
    this.#backend.checkUsable(call);
    const request = OPEN_REQUESTS[call](path, options);
    const opening = runSteps(
      this.#openingSteps(
        this.#descriptors.calls.awaited,
        request,
        originOf("opened", from),
        (file) => file.ending.close(),
      ),
    );
    this.#openings.add(opening);
    try {
      return aioFileOf(await opening);
    } finally {
      this.#openings.delete(opening);
    }
  }

  /** As {@linkcode openFile}, blocking the thread. */
  openFileSync(path: string | URL, options?: OpenFileOptions): AioFile {
    return calling(Aio.prototype.openFileSync, () => {
      return this.#openSync("openFile", path, options, Aio.prototype.openFileSync);
    });
  }

  #openSync(
    call: keyof typeof OPEN_REQUESTS,
    path: string | URL,
    options: OpenFileOptions | undefined,
    from: (...args: never[]) => unknown,
  ): AioFile {
    this.#backend.checkUsable(`${call}Sync`);
    const request = OPEN_REQUESTS[call](path, options);
    const { blocking } = this.#descriptors.calls;
    const close = (file: FileInside) => file.ending.closeSync();
    const steps = this.#openingSteps(blocking, request, originOf("opened", from), close);
    return aioFileOf(runStepsSync(steps));
  }

  /**
   * Opens a file without a name, for writing and reading: it is hidden until `publish()`
   * gives it a name, and if none does, nothing is left of it, whatever ends the program. On Linux
   * only, where the file system has such files (`O_TMPFILE`).
   *
   * @param directory on the file system that it is to be on; Deno asks for `--allow-read` and
   *   `--allow-write` on it
   * @param options of {@linkcode openFile}, but for those about names
   * @throws {Deno.errors.NotSupported} and others where there are none, with the remedy
   * @throws as {@linkcode openFile}
   */
  openTemporary(directory: string | URL, options?: TemporaryOptions): Promise<AioFile> {
    const call = Aio.prototype.openTemporary;
    return called(this.#openFile("openTemporary", directory, options, call));
  }

  /** As {@linkcode openTemporary}, blocking the thread. */
  openTemporarySync(directory: string | URL, options?: TemporaryOptions): AioFile {
    const call = Aio.prototype.openTemporarySync;
    return calling(call, () => this.#openSync("openTemporary", directory, options, call));
  }

  /** The file is cut when nothing else can refuse it any more: then only that itself can fail. */
  *#openingSteps(
    calls: FileCalls,
    request: OpenRequest,
    origin: Origin,
    close: (file: FileInside) => void | Promise<void>,
  ): Steps<FileInside> {
    const slot = this.#reserve(request);
    let file: FileInside | null = null;
    try {
      const accept = (opened: OpenedFile) => {
        file = this.#accept(slot, opened, origin);
        return { file, isToBeCut: opened.isToBeCut };
      };
      const opened = yield* openingSteps(this.#openingHost, calls, request, accept);
      if (opened.isToBeCut) yield* this.#cut(calls, opened.file, close);
      return opened.file;
    } catch (error) {
      if (file === null) this.#backend.files.unreserve(slot);
      throw error;
    }
  }

  *#cut(
    calls: FileCalls,
    file: FileInside,
    close: (file: FileInside) => void | Promise<void>,
  ): Steps<void> {
    let isCut = false;
    file.begin();
    try {
      yield* file.cut(calls, 0);
      isCut = true;
    } finally {
      file.end();
      if (!isCut) yield* get(close(file));
    }
  }

  /** @throws {Deno.errors.Busy} before anything has touched the path */
  #reserve({ path }: OpenRequest): FileSlot {
    const slot = this.#backend.files.reserve();
    if (slot !== null) return slot;
    throw new Deno.errors.Busy(
      `Cannot open ${shown(path)} while ${this.options.maxFiles} files are open: ` +
        `close some or raise the option "maxFiles"`,
    );
  }

  #accept(slot: FileSlot, { entry, denosFd }: OpenedFile, origin: Origin): FileInside {
    this.#openingHost.checkOpen(entry.path);
    this.#backend.files.publish(slot, entry);
    return this.#makeFile(slot, entry, { path: entry.path, denosFd, origin });
  }

  #checkStillOpen(path: string): void {
    if (!this.isClosed) return;
    throw new Deno.errors.BadResource(`Cannot open ${shown(path)}: aio was closed meanwhile`);
  }

  /**
   * Uses a file that is open already, in this thread or another one. Its descriptor is closed with
   * its last user.
   *
   * @param token `file.token`
   * @throws {TypeError} for another version's token, or another aio's
   * @throws {Deno.errors.BadResource} if the file was closed meanwhile
   */
  attachFile(token: FileToken): AioFile {
    return calling(Aio.prototype.attachFile, () => this.#attachFile(token));
  }

  #attachFile(token: FileToken): AioFile {
    this.#backend.checkUsable("attachFile");
    checkToken("attach a file", token, "deno-aio file");
    const { control } = this.#backend;
    const [low, high] = identityOf(control);
    if (token.identity?.[0] !== low || token.identity[1] !== high) {
      throw new TypeError(
        `Cannot attach ${
          shown(token.path)
        }: its token is of another aio; open the file in this one`,
      );
    }
    const file = this.#tryAttach({ slot: token.slot, generation: token.generation }, token.path);
    if (file !== null) return aioFileOf(file);
    throw new Deno.errors.BadResource(`Cannot attach ${shown(token.path)}: the file was closed`);
  }

  #makeFile(
    slot: FileSlot,
    entry: OpenFileEntry,
    more: Pick<AioFileParts, "path" | "denosFd" | "origin">,
  ): FileInside {
    const file = new FileInside({
      transfers: this.#transfers,
      descriptors: this.#descriptors,
      slot,
      entry,
      ...more,
      onClosed: () => this.#files.delete(file),
    });
    this.#files.add(file);
    return file;
  }

  /**
   * Puts a new file in the place of another one, or where none is: at each moment, and after a
   * crash, the path names the old file or the new one, whole. The new one is written beside it,
   * flushed, given the permissions of the old one, renamed, and the folder is flushed. Of a link
   * the file that it names is replaced. Other links to the old file keep that, and its owner is not
   * kept. A crash may leave a file `.NAME.….tmp` beside it.
   *
   * @param path of the file; Deno asks for `--allow-read` and `--allow-write` on it and its folder
   * @param content what the new file holds, or a function that writes it; it may be asynchronous
   * @throws {TypeError} for a content that is none of these
   * @throws {Deno.errors.NotCapable} without Deno's permission
   * @throws what the function throws, and what the system says: then the old file is as it was,
   *   unless only the folder could not be flushed
   */
  replaceFile(
    path: string | URL,
    content: Uint8Array | string | ((file: AioFile) => unknown),
  ): Promise<void> {
    const open = (temporary: string, options: OpenFileOptions) => this.openFile(temporary, options);
    return called(replaceFile(open, path, content));
  }

  /**
   * Makes the names in a directory durable: files that were made, renamed or removed there.
   *
   * @param path of the directory; Deno asks for `--allow-read` on it
   * @throws what the system says
   */
  syncDirectory(path: string | URL): Promise<void> {
    return called(syncDirectory(path));
  }

  /**
   * Makes a pool of pages, shared with all threads that {@linkcode attachPool}.
   *
   * @param options how many pages, and of what size
   * @throws {RangeError} for a wrong number, or an unknown verifier
   * @throws {Deno.errors.Busy} if the arena has no room for it, naming the option
   */
  openPool(options: OpenPoolOptions): Promise<PagePool> {
    return called(Promise.try(() => openPool(this.#poolOpener("openPool"), options)));
  }

  /**
   * Uses a pool that another thread has opened. It lives on when that thread ends.
   *
   * @param token `pool.token`
   * @param options what this thread adds
   * @throws {TypeError} for another version's token, or another aio's
   * @throws {Deno.errors.Busy} if this thread uses it already
   * @throws {Deno.errors.BadResource} if the pool was closed meanwhile
   */
  attachPool(token: PoolToken, options?: AttachPoolOptions): PagePool {
    return calling(
      Aio.prototype.attachPool,
      () => attachPool(this.#poolOpener("attachPool"), token, options),
    );
  }

  /**
   * Opens the log in a directory, or makes it. What is there is read back to the first damaged
   * record, which `log.recovery` tells, and made durable.
   *
   * @param directory of its files, made in one that is there; Deno asks for `--allow-read` and
   *   `--allow-write` on it, and on that one where the log is new
   * @param options how it is opened
   * @throws {TypeError} or {RangeError} for a wrong option
   * @throws {Deno.errors.Busy} if it is open already, or the arena has no room for its buffer
   * @throws {Deno.errors.InvalidData} if something is damaged that was durable
   * @throws what the system says
   */
  openLog(directory: string | URL, options: OpenLogOptions = {}): Promise<Log> {
    return called(Promise.try(() => {
      const opening = openLog(this.#logOpener("openLog"), directory, options).finally(() => {
        this.#logOpenings.delete(opening);
      });
      this.#logOpenings.add(opening);
      return opening;
    }));
  }

  /**
   * Uses a log that another thread has opened. It lives on when that thread ends.
   *
   * @param token `log.token`
   * @throws {TypeError} for another version's token, or another aio's
   * @throws {Deno.errors.Busy} if this thread uses it already
   * @throws {Deno.errors.BadResource} if the log was closed meanwhile
   */
  attachLog(token: LogToken): Log {
    return calling(
      Aio.prototype.attachLog,
      () => attachLog(this.#logOpener("attachLog"), token),
    );
  }

  #checkStaying(call: string): void {
    this.#backend.checkUsable(call);
    if (!this.#isLeaving) return;
    throw new Deno.errors.BadResource(`Cannot call ${call}(): aio is closed`);
  }

  #logOpener(call: string): LogOpener {
    this.#checkStaying(call);
    const backend = this.#backend;
    const descriptors = this.#descriptors;
    return { aio: withSegments(this, backend), backend, descriptors, logs: this.#logs };
  }

  #poolOpener(call: string): PoolOpener {
    this.#checkStaying(call);
    return {
      aio: this,
      backend: this.#backend,
      transfers: this.#transfers,
      pools: this.#pools,
      attach: (slot, generation) => this.#tryAttach({ slot, generation }, null),
    };
  }

  /** Uses a file of the table once more. @returns null if it was closed */
  #tryAttach(slot: FileSlot, path: string | null): FileInside | null {
    const { files } = this.#backend;
    const entry = files.tryAttach(slot) ? files.entry(slot) : null;
    if (entry === null) return null;
    const origin = originOf("attached", Aio.prototype.attachFile);
    return this.#makeFile(slot, entry, { path: path ?? entry.path, denosFd: -1, origin });
  }

  /**
   * The arena, for programs of WebAssembly that import it: they work on what was read without a
   * copy. A view's `byteOffset` is its address there.
   */
  get memory(): WebAssembly.Memory {
    return this.#backend.arena.wasmMemory;
  }

  /**
   * Memory for IO without a copy: page-aligned, in the arena. It is not cleared.
   *
   * {@linkcode free} gives it back, or the end of a block: `using page = aio.alloc(8192)`, which
   * does nothing after `free(page)` or {@linkcode close}. Use one of the two: a view that another
   * thread frees is not known as freed here.
   *
   * Its buffer is a SharedArrayBuffer, which some APIs refuse (`TextDecoder`, `Response`): give
   * those a copy, `view.slice()`.
   *
   * @param bytes 1 to `arenaBytes`; 4096 at a time are taken
   * @throws {RangeError} for a size that no arena of this size could hold
   * @throws {Deno.errors.Busy} if there is no such room left, naming the option; at the end of a
   *   block while an IO uses the view
   */
  alloc(bytes: number): Uint8Array<SharedArrayBuffer> & Disposable {
    const alloc = () => allocView(this, this.#backend, this.#transfers, bytes);
    return calling(Aio.prototype.alloc, alloc);
  }

  /**
   * Gives memory back.
   *
   * @param view what {@linkcode alloc} returned
   * @throws {TypeError} for another view, another aio's, or one that was freed before
   * @throws {Deno.errors.Busy} while an IO uses it
   */
  free(view: Uint8Array): void {
    calling(Aio.prototype.free, () => freeView(this.#backend, this.#transfers, view));
  }

  /**
   * Ends the subsystem in this thread: closes its pools and logs, also one that is being opened,
   * refuses new IO, waits for its own IO in flight and for IO of others that it awaits, closes its
   * files, then gives everything back. In the opener it ends new IO everywhere, and waits for what
   * other threads have in flight; elsewhere it detaches the thread. Calling it again does nothing.
   *
   * Files that are still open are closed, and a warning names them and the lines that opened them.
   * A batch left open is closed, with the warning `open AIO batch at end of (sub-)transaction`.
   *
   * @param options a signal to end the wait: what is in flight then keeps its memory and
   *   descriptors until the kernel is done, but no event loop alive, and the rest follows by itself
   * @throws {AioApiError} if a handle is handed out
   * @throws the signal's reason
   * @throws what failed on the way, several errors as an `AggregateError`; everything is given back
   */
  override close(options?: CloseOptions): Promise<void> {
    const shared = this.#pools.size + this.#logs.size + this.#logOpenings.size;
    if (shared === 0) return this.#closeRest(options);
    const signal = options?.signal;
    return called(new Patience().wait(this.#leaveShared(options), signal), signal);
  }

  #closeRest(options: CloseOptions | undefined): Promise<void> {
    return closeWithFiles(this, options, (...end) => this.#closeFiles(...end));
  }

  /**
   * What is changed in pools is written back first, which is IO as any other; then logs are made
   * durable, for which pools may have waited. A log that is being opened is closed once it is open:
   * its opening writes its files in steps, and would go on without its lock.
   */
  async #leaveShared(options: CloseOptions | undefined): Promise<void> {
    this.#isLeaving = true;
    const pools = await Promise.allSettled([...this.#pools].map(endPool));
    this.#pools.clear();
    await Promise.allSettled(this.#logOpenings);
    const logs = await Promise.allSettled([...this.#logs].map((log) => log.close()));
    const ends = [...pools, ...logs];
    const failures = ends.flatMap((end) => end.status === "rejected" ? [end.reason] : []);
    await this.#closeRest(options).catch((error) => failures.push(error));
    this.#isLeaving = false;
    if (failures.length === 1) throw failures[0];
    if (failures.length > 1) {
      throw new AggregateError(failures, "aio.close() failed in several ways");
    }
  }

  async #closeFiles(failures: Failures, patience: Patience): Promise<void> {
    this.#transfers.space.refuseAll(new Deno.errors.BadResource("Cannot go on: aio is closed"));
    while (this.#openings.size > 0) await Promise.allSettled(this.#openings);
    await undefined; // A file whose close() follows in the same turn is not forgotten.
    const files = [...this.#files];
    const forgotten = files.filter((file) => !file.isClosed);
    if (forgotten.length > 0) this.#backend.warn(forgottenFiles(forgotten));
    await Promise.all(files.map((file) => {
      const hold = (closed: Promise<void>) => patience.holding(file.ending.hold, closed);
      // As a block's end does, it does not repeat what a call of the file has thrown.
      if (forgotten.includes(file)) {
        return failures.attempt(() => hold(file.ending.dispose()));
      }
      // Whoever closes it already hears what went wrong.
      return failures.attempt(() => hold(file.ending.close()).catch(() => {}));
    }));
    await failures.attempt(() => this.#descriptors.held.settle());
  }
}
