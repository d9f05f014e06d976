/**
 * options.ts: the options of `Aio.open()`, their defaults, and the refusals.
 *
 * Every option is checked before anything is opened. What was given is {@linkcode AioOptions};
 * what is in force afterwards is {@linkcode EffectiveOptions}, shown as `aio.options`.
 *
 * @module
 */

import { PAGE_SIZE_BYTES } from "../../ffi/layout.ts";
import { isAligned, isPowerOfTwo } from "../../ffi/memory.ts";
import { shown } from "./errors.ts";
import { callbackModulesOption } from "./module_option.ts";
import { checkLogLevel, type LogHook, type LogLevel } from "./log_level.ts";

/** Where the libraries are, if not in the usual places. */
export interface LibraryPaths {
  /**
   * The path of the C library.
   *
   * Default: found in the usual places. Methods: all.
   */
  libc?: string;
  /**
   * The path of liburing, 2.3 or later, which must then be there.
   *
   * Default: found in the usual places; where it is not, the C library makes its system calls.
   * Methods: io_uring.
   */
  liburing?: string;
}

/** The pool of the method `worker`. */
export interface WorkerPoolOptions {
  /**
   * Workers that are kept even when idle.
   *
   * Default: 2. Range: 1..32 Workers, at most `max`. Methods: linux_aio, worker.
   */
  min?: number;
  /**
   * Most Workers.
   *
   * Default: 8. Range: 1..32 Workers, at least `min`. Methods: linux_aio, worker.
   */
  max?: number;
  /**
   * How long the last Worker stays idle before it ends.
   *
   * Default: 60000. Range: 0..2147483647 ms. Methods: linux_aio, worker.
   */
  idleTimeoutMs?: number;
  /**
   * Least time between two starts of Workers.
   *
   * Default: 100. Range: 0..2147483647 ms. Methods: linux_aio, worker.
   */
  launchIntervalMs?: number;
}

/** What `Aio.open()` takes; every option has a default. */
export interface AioOptions {
  /**
   * How IO is executed: a method's name, or `"auto"` for the best that this machine has.
   *
   * Default: `"auto"`. Methods: all.
   */
  method?: string;
  /**
   * Which methods `"auto"` may take, by name.
   *
   * Default: all of this version. Methods: all.
   */
  methods?: readonly string[];
  /**
   * Handles of one thread, and so its IOs in flight; -1 stands for 64.
   *
   * Default: -1. Range: -1, 1..1024 handles. Methods: all.
   */
  maxConcurrency?: number;
  /**
   * Threads that may be attached at once.
   *
   * Default: 16. Range: 1..32 threads. Methods: all.
   */
  maxBackends?: number;
  /**
   * Buffers that `readAt` and `writeAt`, and pages that streams, combine into one IO; at most
   * `ioMaxCombineLimit` are.
   *
   * Default: 16. Range: 1..128 buffers. Methods: all.
   */
  ioCombineLimit?: number;
  /**
   * Buffers that one IO can have. Each takes shared memory in every handle.
   *
   * Default: 16. Range: 1..128 buffers. Methods: all.
   */
  ioMaxCombineLimit?: number;
  /**
   * Most reads that a read stream keeps in flight; 0 is no read-ahead.
   *
   * Default: 16. Range: 0..1000 reads. Methods: all.
   */
  effectiveIoConcurrency?: number;
  /**
   * The same for a read stream with the option `maintenance`.
   *
   * Default: 16. Range: 0..1000 reads. Methods: all.
   */
  maintenanceIoConcurrency?: number;
  /**
   * The arena, the memory that IO goes to and from without a copy. It is committed as it is used,
   * on Linux by 2 MiB at a time.
   *
   * Default: 64 MiB. Range: 4096 bytes..4 GiB, a multiple of 4096. Methods: all.
   */
  arenaBytes?: number;
  /**
   * The part of the arena that is registered with the kernel, and handed out first.
   *
   * Default: 4 MiB. Range: 0..`arenaBytes` bytes, a multiple of 4096. Methods: io_uring.
   */
  registeredBytes?: number;
  /**
   * Files that all threads together may have open at once.
   *
   * Default: 1024. Range: 1..65536 files. Methods: all.
   */
  maxFiles?: number;
  /**
   * A page of read streams that say nothing else.
   *
   * Default: 8192. Range: 512..65536 bytes, a power of two. Methods: all.
   */
  pageSize?: number;
  /**
   * The pool of Workers that execute IO.
   *
   * Default: that of each of {@linkcode WorkerPoolOptions}. Methods: linux_aio, worker.
   */
  workers?: WorkerPoolOptions;
  /**
   * Longest time that the thread waits for IO, blocking, where its event loop has nothing else to
   * do; 0 has the event loop sleep at once instead.
   *
   * Default: adaptive, at most 200. Range: 0..1000 µs. Methods: io_uring, linux_aio, worker.
   */
  dozeMicroseconds?: number;
  /**
   * The former name of `dozeMicroseconds`, which wins where both are given.
   *
   * Default: that of `dozeMicroseconds`. Range: 0..1000 µs. Methods: io_uring, linux_aio, worker.
   *
   * @deprecated use `dozeMicroseconds`
   */
  spinMicroseconds?: number;
  /**
   * Modules that may export `callbacks`, `targets` and `verifiers`, each an object by name; every
   * attached thread imports the same ones. A module may export `init(data)`: it is awaited once for
   * each Aio in each thread, before the first callback runs, and gets a clone of `data`.
   *
   * Default: none. Methods: all.
   */
  callbackModules?: readonly (URL | { readonly url: URL; readonly data?: unknown })[];
  /**
   * Where the libraries are.
   *
   * Default: in the usual places. Methods: all.
   */
  libraries?: LibraryPaths;
  /**
   * Takes each warning of this thread.
   *
   * Default: `console.warn`, the one place where this module prints. Methods: all.
   */
  onWarning?: (message: string, cause?: unknown) => void;
  /**
   * Takes each line of the log of this thread.
   *
   * Default: none is made. Methods: all.
   */
  onLog?: LogHook;
  /**
   * The most detailed lines that `onLog` gets.
   *
   * Default: `"debug3"`. Methods: all.
   */
  logLevel?: LogLevel;
}

/** The options in force. */
export interface EffectiveOptions {
  /** The method that was asked for; `aio.method` is the one that was chosen. */
  readonly method: string;
  /** Which methods `"auto"` may take; null: all. */
  readonly methods: readonly string[] | null;
  /** Handles of one backend. */
  readonly maxConcurrency: number;
  /** Threads that may be attached at once. */
  readonly maxBackends: number;
  /** Buffers that the friendly layer combines into one IO. */
  readonly ioCombineLimit: number;
  /** Buffers that one IO can have. */
  readonly ioMaxCombineLimit: number;
  /** Reads that a read stream keeps in flight. */
  readonly effectiveIoConcurrency: number;
  /** The same for maintenance. */
  readonly maintenanceIoConcurrency: number;
  /** Bytes of the arena. */
  readonly arenaBytes: number;
  /** Bytes of the arena that io_uring registers with the kernel. */
  readonly registeredBytes: number;
  /** Files open at once. */
  readonly maxFiles: number;
  /** Bytes of a page of read streams. */
  readonly pageSize: number;
  /** The pool of the worker method. */
  readonly workers: Readonly<Required<WorkerPoolOptions>>;
  /** Longest time to wait for IO, blocking, in an idle event loop, in µs; null: adaptive. */
  readonly dozeMicroseconds: number | null;
  /** The callback modules, as absolute URLs, and what each thread's `init()` gets a clone of. */
  readonly callbackModules: readonly { readonly url: string; readonly data: unknown }[];
  /** Where the libraries are, if not in the usual places. */
  readonly libraries: Readonly<LibraryPaths>;
}

/**
 * `maxConcurrency` -1 means this many handles a backend: PostgreSQL's upper bound for its own
 * choice.
 */
const MAX_CONCURRENCY_AUTO = 64;
/** `WebAssembly.Memory` ends here. */
const ARENA_BYTES_MAX = 4 * 1024 ** 3;
const ARENA_BYTES_DEFAULT = 64 * 1024 ** 2;
const REGISTERED_BYTES_DEFAULT = 4 * 1024 ** 2;
const TIMEOUT_MS_MAX = 2 ** 31 - 1;

interface IntegerRange {
  readonly min: number;
  readonly max: number;
  readonly default: number;
}

const INTEGER_OPTIONS = {
  maxBackends: { min: 1, max: 32, default: 16 },
  ioCombineLimit: { min: 1, max: 128, default: 16 },
  ioMaxCombineLimit: { min: 1, max: 128, default: 16 },
  effectiveIoConcurrency: { min: 0, max: 1000, default: 16 },
  maintenanceIoConcurrency: { min: 0, max: 1000, default: 16 },
  maxFiles: { min: 1, max: 65536, default: 1024 },
} as const satisfies Record<string, IntegerRange>;

const WORKER_OPTIONS = {
  min: { min: 1, max: 32, default: 2 },
  max: { min: 1, max: 32, default: 8 },
  idleTimeoutMs: { min: 0, max: TIMEOUT_MS_MAX, default: 60_000 },
  launchIntervalMs: { min: 0, max: TIMEOUT_MS_MAX, default: 100 },
} as const satisfies Record<string, IntegerRange>;

const OPTION_NAMES: ReadonlySet<string> = new Set(
  [
    ...Object.keys(INTEGER_OPTIONS),
    "method",
    "methods",
    "maxConcurrency",
    "arenaBytes",
    "registeredBytes",
    "pageSize",
    "workers",
    "dozeMicroseconds",
    "spinMicroseconds",
    "callbackModules",
    "libraries",
    "onWarning",
    "onLog",
    "logLevel",
  ],
);

/**
 * Checks what was given and fills in the defaults.
 *
 * @param given the options of `Aio.open()`
 * @throws {TypeError} for an unknown option or one of the wrong type
 * @throws {RangeError} for a value out of its range, naming the range
 */
export function effectiveOptions(given: AioOptions = {}): EffectiveOptions {
  if (typeof given !== "object" || given === null) {
    throw new TypeError(`Cannot open aio as its options must be an object: got ${shown(given)}`);
  }
  for (const name of Object.keys(given)) {
    if (OPTION_NAMES.has(name)) continue;
    const known = [...OPTION_NAMES].sort().join(", ");
    throw new TypeError(`Cannot open aio with the unknown option "${name}": known are ${known}`);
  }
  for (const hook of ["onWarning", "onLog"] as const) {
    if (given[hook] !== undefined) checkType(hook, given[hook], "function");
  }
  checkLogLevel(given.logLevel);
  const ioMaxCombineLimit = integerOption("ioMaxCombineLimit", given.ioMaxCombineLimit);
  const arenaBytes = pagesOption(
    "arenaBytes",
    given.arenaBytes,
    ARENA_BYTES_DEFAULT,
    1,
    ARENA_BYTES_MAX,
  );
  const registeredDefault = Math.min(REGISTERED_BYTES_DEFAULT, arenaBytes);
  return {
    method: methodOption(given.method),
    methods: methodsOption(given.methods),
    maxConcurrency: concurrencyOption(given.maxConcurrency),
    maxBackends: integerOption("maxBackends", given.maxBackends),
    ioCombineLimit: Math.min(
      integerOption("ioCombineLimit", given.ioCombineLimit),
      ioMaxCombineLimit,
    ),
    ioMaxCombineLimit,
    effectiveIoConcurrency: integerOption("effectiveIoConcurrency", given.effectiveIoConcurrency),
    maintenanceIoConcurrency: integerOption(
      "maintenanceIoConcurrency",
      given.maintenanceIoConcurrency,
    ),
    arenaBytes,
    registeredBytes: pagesOption(
      "registeredBytes",
      given.registeredBytes,
      registeredDefault,
      0,
      arenaBytes,
    ),
    maxFiles: integerOption("maxFiles", given.maxFiles),
    pageSize: pageSizeOption(given.pageSize),
    workers: workersOption(given.workers),
    dozeMicroseconds: dozeOption(given),
    callbackModules: callbackModulesOption(given.callbackModules),
    libraries: librariesOption(given.libraries),
  };
}

/** Under its former name, too. */
function dozeOption(given: AioOptions): number | null {
  const name = given.dozeMicroseconds === undefined ? "spinMicroseconds" : "dozeMicroseconds";
  const value = given[name];
  return value === undefined ? null : checkInteger(name, value, 0, 1000);
}

function integerOption(name: keyof typeof INTEGER_OPTIONS, value: number | undefined): number {
  const range: IntegerRange = INTEGER_OPTIONS[name];
  return value === undefined ? range.default : checkInteger(name, value, range.min, range.max);
}

function checkInteger(
  name: string,
  value: number,
  min: number,
  max: number,
  call = "open aio",
): number {
  checkType(name, value, "number", call);
  if (Number.isSafeInteger(value) && value >= min && value <= max) return value;
  throw new RangeError(
    `Cannot ${call} as "${name}" must be an integer from ${min} to ${max}: got ${value}`,
  );
}

function checkType(
  name: string,
  value: unknown,
  type: "number" | "string" | "function",
  call = "open aio",
): void {
  const actual: string = typeof value;
  if (actual === type) return;
  throw new TypeError(`Cannot ${call} as "${name}" must be a ${type}: got ${shown(value)}`);
}

function concurrencyOption(value: number | undefined): number {
  if (value === undefined || value === -1) return MAX_CONCURRENCY_AUTO;
  if (value === 0) {
    throw new RangeError(
      `Cannot open aio as "maxConcurrency" is 0: Only -1 or values bigger than 0 are valid`,
    );
  }
  checkType("maxConcurrency", value, "number");
  if (Number.isSafeInteger(value) && value >= 1 && value <= 1024) return value;
  throw new RangeError(
    `Cannot open aio as "maxConcurrency" must be -1 (64 handles a backend) or an integer from 1 to 1024: got ${value}`,
  );
}

function pagesOption(
  name: string,
  value: number | undefined,
  byDefault: number,
  minPages: number,
  max: number,
): number {
  if (value === undefined) return byDefault;
  const min = minPages * PAGE_SIZE_BYTES;
  checkInteger(name, value, min, max);
  if (isAligned(value, PAGE_SIZE_BYTES)) return value;
  throw new RangeError(
    `Cannot open aio as "${name}" must be a multiple of ${PAGE_SIZE_BYTES} bytes: got ${value}`,
  );
}

function pageSizeOption(value: number | undefined): number {
  if (value === undefined) return 8192;
  checkType("pageSize", value, "number");
  if (isPowerOfTwo(value) && value >= 512 && value <= 65536) return value;
  throw new RangeError(
    `Cannot open aio as "pageSize" must be a power of two from 512 to 65536: got ${value}`,
  );
}

function methodOption(value: string | undefined): string {
  if (value === undefined) return "auto";
  checkType("method", value, "string");
  return value;
}

function methodsOption(value: readonly string[] | undefined): readonly string[] | null {
  if (value === undefined) return null;
  if (!Array.isArray(value) || value.length === 0) {
    throw new TypeError(
      `Cannot open aio as "methods" must be a list of at least one method's name: got ${
        shown(value)
      }`,
    );
  }
  for (const name of value) checkType("methods", name, "string");
  return [...value];
}

/**
 * Checks what is wanted of the pool of the worker method.
 *
 * @param value what was given
 * @param call what it was given to, for errors
 * @param before what holds for what is not given
 * @throws {TypeError} or {RangeError} as {@linkcode effectiveOptions}
 */
export function workersOption(
  value: WorkerPoolOptions | undefined,
  call = "open aio",
  before?: Readonly<Required<WorkerPoolOptions>>,
): Required<WorkerPoolOptions> {
  if (value !== undefined && (typeof value !== "object" || value === null)) {
    throw new TypeError(`Cannot ${call} as "workers" must be an object: got ${shown(value)}`);
  }
  for (const name of Object.keys(value ?? {})) {
    if (Object.hasOwn(WORKER_OPTIONS, name)) continue;
    throw new TypeError(
      `Cannot ${call} with the unknown option "workers.${name}": known are ${
        Object.keys(WORKER_OPTIONS).join(", ")
      }`,
    );
  }
  const read = (name: keyof typeof WORKER_OPTIONS): number => {
    const range: IntegerRange = WORKER_OPTIONS[name];
    const one = value?.[name];
    return one === undefined
      ? before?.[name] ?? range.default
      : checkInteger(`workers.${name}`, one, range.min, range.max, call);
  };
  // If only one bound is given, adjust the other to it.
  const given = { min: read("min"), max: read("max") };
  const workers = {
    min: value?.min === undefined ? Math.min(given.min, given.max) : given.min,
    max: value?.max === undefined ? Math.max(given.min, given.max) : given.max,
    idleTimeoutMs: read("idleTimeoutMs"),
    launchIntervalMs: read("launchIntervalMs"),
  };
  if (workers.min <= workers.max) return workers;
  throw new RangeError(
    `Cannot ${call} as "workers.min" (${workers.min}) should be less than or equal to "workers.max" (${workers.max})`,
  );
}

function librariesOption(value: LibraryPaths | undefined): LibraryPaths {
  if (value === undefined) return {};
  if (typeof value !== "object" || value === null) {
    throw new TypeError(`Cannot open aio as "libraries" must be an object: got ${shown(value)}`);
  }
  for (const [name, path] of Object.entries(value)) {
    if (name !== "libc" && name !== "liburing") {
      throw new TypeError(
        `Cannot open aio with the unknown option "libraries.${name}": known are libc, liburing`,
      );
    }
    checkType(`libraries.${name}`, path, "string");
  }
  return { ...value };
}
