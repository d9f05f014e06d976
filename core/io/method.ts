/**
 * method.ts: how an IO is executed, seen from the core.
 *
 * A method is one constant of type {@linkcode IoMethod}. The core knows it only by this interface,
 * and the method knows the core only by {@linkcode MethodBackend}.
 *
 * @module
 */

import type { Libc } from "../../ffi/libc.ts";
import type { AioHandle } from "./handle.ts";
import type { IoLog } from "./io_log.ts";
import type { EffectiveOptions, WorkerPoolOptions } from "../base/options.ts";
import type { Control } from "../memory/shared_memory.ts";
import type { WaitEvent } from "./wait_event.ts";

/**
 * Whether a machine has a method. If so, `how` may say what it stands on; if not, `reason` says
 * why, and what would help, and `cause` may have the details, such as the libraries that were
 * tried.
 */
export type Availability =
  | { readonly ok: true; readonly how?: string }
  | { readonly ok: false; readonly reason: string; readonly cause?: unknown };

/**
 * Where reaping is called from: a wait that blocks anyway, or an event loop, which may not block.
 */
export type ReapingFrom = "wait" | "eventLoop";

/** Wakes the event loops of backends. */
export interface Doorbell {
  /**
   * Ends the sleep of a backend's event loop, which then calls `checkOne`; does nothing if the loop
   * is awake. Ring after the completion can be found. The method needs `hasCompletions`, too: the
   * backend calls that after it says that it sleeps and before it does, so that no completion slips
   * through.
   *
   * @param backendId of this thread or another
   */
  ring(backendId: number): void;
}

/** What a method sees of the backend that it executes IO for. */
export interface MethodBackend {
  /** This thread's backend. */
  readonly id: number;
  /**
   * Shared memory.
   *
   * @ignore
   */
  readonly control: Control;
  /**
   * The C library.
   *
   * @ignore
   */
  readonly libc: Libc;
  /** The options in force. */
  readonly options: EffectiveOptions;
  /**
   * What a thread of the method's own imports to have the callbacks of all layers: by name and URL.
   */
  readonly layerModules: readonly { readonly name: string; readonly module: string }[];
  /**
   * Marks a staged IO as submitted and in flight. State before: staged; after: submitted. A method
   * that hands the IO to another thread or the kernel afterwards does so by an atomic store, which
   * publishes the handle with it.
   */
  prepareSubmit(handle: AioHandle): void;
  /**
   * Has the event loop call `checkOne` until none of its IOs is in flight, even if no task awaits
   * one.
   */
  keepLooking(): void;
  /**
   * Wakes backends for completions that they find by looking, such as those of a method's own
   * thread.
   */
  readonly doorbells: Doorbell;
  /**
   * What this backend has done so far: see counters.ts.
   *
   * @ignore
   */
  readonly counters: Float64Array;
  /**
   * Takes over the completion of a submitted IO, where more than one thread could complete it.
   *
   * @param handle the IO
   * @param generationLow of which use of the handle, by its low bits; by default the present one
   * @returns false if another thread does it, or it is over
   */
  claim(handle: AioHandle, generationLow?: number): boolean;
  /**
   * Executes a submitted IO in this thread and completes it. State before: submitted. One of
   * another backend is claimed first, if it was not.
   */
  performSynchronously(handle: AioHandle): void;
  /**
   * Takes the outcome of an IO, of this backend or another. State before: submitted; after:
   * completedShared, or idle if this backend issued it. One of another backend is claimed first, if
   * it was not.
   *
   * @param handle the IO
   * @param result bytes, or -errno
   */
  processCompletion(handle: AioHandle, result: number): void;
  /**
   * The first half of {@linkcode processCompletion}, for completions that are taken under a lock:
   * the result is in the handle, so that nothing is lost if this thread ends before the second
   * half. State before: submitted; after: completedIo.
   */
  storeCompletion(handle: AioHandle, result: number): void;
  /** The second half, without the lock: callbacks run. State before: completedIo. */
  publishCompletion(handle: AioHandle): void;
  /**
   * Whether a hook attached in this thread wants to see the completion of its IO: it is executed
   * here then.
   */
  readonly completesHere: boolean;
  /** The object for a handle, of this backend or another. */
  handleOf(index: number): AioHandle;
  /** Whether any other thread is attached. */
  readonly hasOthers: boolean;
  /** Targets with the ids from 1 to this one stand for open files. */
  readonly lastFileTargetId: number;
  /**
   * Takes lines about each IO, those that threads of the method make among them; null: none are
   * wanted.
   *
   * @ignore
   */
  readonly log: IoLog | null;
  /** Takes warnings; never throws. */
  readonly warn: (message: string, cause?: unknown) => void;
  /** Takes over from threads that have died. */
  readonly reapDead: (from?: ReapingFrom) => void;
  /** The memory that IO goes to without a copy. */
  readonly arena: { readonly address: number; readonly buffer: SharedArrayBuffer };
}

/** A thread of a method's own. */
export interface WorkerRow {
  /** Its number, from 0 without gaps but where one has just died. */
  readonly worker: number;
  /** Its thread, as the system has it. */
  readonly threadId: number;
  /** The handle that it executes the IO of; null: it sleeps, or is about to take one. */
  readonly ioId: number | null;
  /** What it is blocked in, by PostgreSQL's names; null: nothing. */
  readonly waitEvent: WaitEvent | null;
  /** IOs that it has executed. */
  readonly ios: number;
  /** How often it was woken. */
  readonly wakeUps: number;
}

/**
 * One way to execute IO.
 *
 * A backend that waits for IO sleeps. Something has to wake it when the IO is over, in one of four
 * ways:
 * - Another thread completes the IO, by `processCompletion` or as a helper, which wakes the issuer.
 *   `sleepMsMax` returns Infinity.
 * - A descriptor can be read then: `pollFd`.
 * - A thread of the method rings, and the backend looks: `MethodBackend.doorbells`,
 *   `hasCompletions`, and a `sleepMsMax` of Infinity.
 * - Nothing wakes it: the backend looks by itself as often as `sleepMsMax` says.
 *
 * A thread that blocks sleeps in `waitOne`; without one, in the core, for at most 1 ms at a time.
 */
export interface IoMethod {
  /** Its name, as in the option `method`. */
  readonly name: string;
  /**
   * The URL of a module that exports it, or one of its name, for a thread that takes over from dead
   * ones (reapers.ts). Left out: whoever finds a dead thread does that in its own.
   */
  readonly module?: string;
  /** Asks the machine, opening nothing that stays open. */
  available(options: EffectiveOptions): Availability;
  /**
   * Whether an IO that was submitted must be over before its descriptor is closed. One that is only
   * prepared is waited for under every method.
   */
  readonly waitOnFdBeforeClose: boolean;
  /**
   * Lets go of what it keeps of an open file, before that is closed: no IO on it is in flight, and
   * none can start any more.
   *
   * @param backend of the thread that closes it
   * @param slot where it is in the table of open files
   */
  forgetFile?(backend: MethodBackend, slot: number): void;
  /**
   * Threads of its own that it may have, which complete IO and issue none: helper_thread.ts. 0..32,
   * default 0.
   */
  readonly helpersMax?: number;
  /**
   * Whether a read of what is in the page cache may be a copy in the issuer's thread, and no IO.
   *
   * @ignore
   */
  readonly copiesCached?: boolean;
  /**
   * Bytes of shared memory that it needs.
   *
   * @ignore
   */
  shmemSize?(options: EffectiveOptions): number;
  /**
   * Lays that memory out, once, in the opener.
   *
   * @ignore
   */
  shmemInit?(control: Control): void;
  /** Called once in each thread that attaches. */
  initBackend?(backend: MethodBackend): void | Promise<void>;
  /** Called once in each thread that detaches, with nothing in flight. */
  shutdownBackend?(backend: MethodBackend): void | Promise<void>;
  /** Whether this IO is to be executed in the start call. State: staged. May not block. */
  needsSynchronousExecution?(handle: AioHandle): boolean;
  /**
   * Takes staged IOs. State before: staged; after: submitted, or anything later.
   *
   * @param backend whose they are
   * @param staged a list that is used again: the first `count` entries are meant
   * @param count 1..32
   * @returns how many IOs were taken
   */
  submit(backend: MethodBackend, staged: readonly AioHandle[], count: number): number;
  /**
   * Waits, blocking, until the IO is done or something else is worth a look; for IO of another
   * backend it only looks. Called for IO that no other thread has claimed. Left out: the backend
   * calls `checkOne` and sleeps, in turn.
   */
  waitOne?(backend: MethodBackend, handle: AioHandle, generation: number): void;
  /**
   * Looks for completions without blocking: of one IO, and, if that is an own one, of any others
   * too.
   *
   * @param backend of the thread that looks
   * @param handle submitted; the oldest one of the backend where no certain one is waited for
   */
  checkOne?(backend: MethodBackend, handle: AioHandle): void;
  /**
   * How long the backend may sleep, in ms, until it looks by itself. Called before each sleep, so
   * it may depend on what is in flight. 0: look again at once. Infinity: whatever completes IO
   * wakes it. Default: Infinity with a `pollFd`, else 1.
   */
  sleepMsMax?(backend: MethodBackend): number;
  /**
   * Asks for an own IO to be given up. It is completed all the same: with ECANCELED, or with its
   * usual result. State: submitted. May complete other IO.
   */
  cancelOne?(backend: MethodBackend, handle: AioHandle): void;
  /** A descriptor that can be read when own IO may be done, to sleep on; -1: none. */
  pollFd?(backend: MethodBackend): number;
  /** Whether own completions wait to be looked for. */
  hasCompletions?(backend: MethodBackend): boolean;
  /**
   * The threads of its own, as they are now.
   *
   * @returns one row each, by number
   */
  listWorkers?(backend: MethodBackend): WorkerRow[];
  /** Changes how many of them there are to be; to be called in any thread. */
  configureWorkers?(
    backend: MethodBackend,
    change: WorkerPoolOptions,
  ): Readonly<Required<WorkerPoolOptions>>;
  /**
   * Takes an IO back that a thread had claimed (claim.ts) which died before it had a result,
   * releases the claim and has the IO executed. State: submitted. May not block. Left out: whoever
   * reaps the thread executes the IO itself. Not called for a flush that the thread had begun: that
   * one fails.
   */
  redo?(backend: MethodBackend, handle: AioHandle, deadId: number): void;
  /**
   * Ends what a backend, or a helper, whose thread died has in the method: afterwards each of its
   * submitted IOs is completed, or will never be touched again. Called by one thread at a time.
   *
   * @param backend of the thread that takes over
   * @param deadId the backend, or the helper, whose thread died
   * @param from where it is called: from an event loop it may not block
   * @returns false if it has to be tried again later
   */
  reapBackend?(backend: MethodBackend, deadId: number, from: ReapingFrom): boolean;
}

/** Most IOs that are handed to one `submit`, and so the most that are staged. */
export const SUBMIT_BATCH_COUNT_MAX = 32;
