/**
 * open.ts: puts an Aio together: checks the machine, chooses the method, makes the shared memory,
 * loads the callback modules.
 *
 * @module
 */

import { closeLibc, type Libc, openLibc } from "../ffi/libc.ts";
import { Arena } from "./arena.ts";
import { Backend } from "./backend.ts";
import { type AioCallbacks, CallbackTable, hashNames } from "./callback.ts";
import { shown } from "./errors.ts";
import { fileCallbacks } from "./file_callbacks.ts";
import { MemoryMap } from "./memory_map.ts";
import type { IoMethod } from "./method.ts";
import { FILE_TARGET_NAME, OpenFileTable } from "./open_file.ts";
import { type AioOptions, type EffectiveOptions, effectiveOptions } from "./options.ts";
import { BACKEND, createControl, createSharedMemory, HEADER } from "./shared_memory.ts";
import { type AioTarget, TargetTable } from "./target.ts";

/** Deno hands out real file descriptors from `node:fs` since this version. */
const DENO_VERSION_MIN = [2, 7, 12] as const;

/** An opened backend and what its Aio shows of it. */
export interface OpenedBackend {
  /** The opener's backend. */
  readonly backend: Backend;
  /** Why its method was chosen. */
  readonly methodReason: string;
  /** Takes lines of the log; null if there is no hook. */
  readonly log: ((message: string) => void) | null;
}

/**
 * Opens the subsystem in this thread.
 *
 * @param given the options of `Aio.open()`
 * @param methods the methods there are, the best first
 */
export async function openBackend(
  given: AioOptions | undefined,
  methods: readonly IoMethod[],
): Promise<OpenedBackend> {
  const options = effectiveOptions(given);
  checkDenoVersion(Deno.version.deno);
  const { method, reason } = chooseMethod(options, methods);
  const warn = guardHook(given?.onWarning ?? warnByDefault);
  const log = given?.onLog === undefined ? null : guardHook(given.onLog);
  const modules = await importModules(options.callbackModules);
  const libc = openLibc(options.libraries.libc);
  let backend: Backend | null = null;
  try {
    backend = makeBackend(options, method, libc, modules, warn);
    await method.initBackend?.(backend);
    return { backend, methodReason: reason, log };
  } catch (error) {
    backend?.memory.release();
    closeLibc(libc);
    throw error;
  }
}

/** Refuses a Deno that is too old. @throws {Deno.errors.NotSupported} */
export function checkDenoVersion(version: string): void {
  const parts = version.split(/[.+-]/).slice(0, 3).map(Number);
  for (const [i, least] of DENO_VERSION_MIN.entries()) {
    const part = parts[i] ?? 0;
    if (part > least) return;
    if (part === least) continue;
    throw new Deno.errors.NotSupported(
      `Cannot open aio with Deno ${version}: it needs ${
        DENO_VERSION_MIN.join(".")
      } or later, run "deno upgrade"`,
    );
  }
}

/** The method to use, and why. */
function chooseMethod(
  options: EffectiveOptions,
  methods: readonly IoMethod[],
): { method: IoMethod; reason: string } {
  const known = methods.map((method) => method.name).join(", ");
  const find = (name: string): IoMethod => {
    const method = methods.find((one) => one.name === name);
    if (method !== undefined) return method;
    throw new RangeError(
      `Cannot open aio with the method ${shown(name)}: this version has ${known}`,
    );
  };
  if (options.method !== "auto") {
    const method = find(options.method);
    const available = method.available(options);
    if (available.ok) return { method, reason: `${method.name} was asked for` };
    throw new Deno.errors.NotSupported(
      `Cannot open aio with the method "${method.name}": ${available.reason}`,
    );
  }
  const candidates = options.methods === null
    ? methods
    : methods.filter((one) => options.methods!.map(find).includes(one));
  const refused: string[] = [];
  for (const method of candidates) {
    const available = method.available(options);
    if (!available.ok) {
      refused.push(`${method.name}: ${available.reason}`);
      continue;
    }
    const why = refused.length === 0
      ? "the best of this version"
      : `not available: ${refused.join("; ")}`;
    return { method, reason: `${method.name} was chosen (${why})` };
  }
  throw new Deno.errors.NotSupported(
    `Cannot open aio: no method is available (${refused.join("; ")})`,
  );
}

/** The one place where this module prints, and only if nobody else takes the warning. */
function warnByDefault(message: string, cause?: unknown): void {
  if (cause === undefined) console.warn(`aio: ${message}`);
  else console.warn(`aio: ${message}`, cause);
}

/** A hook that throws must not cut the core short: its error goes where uncaught ones go. */
function guardHook<A extends unknown[]>(hook: (...args: A) => void): (...args: A) => void {
  return (...args) => {
    try {
      hook(...args);
    } catch (error) {
      reportError(error);
    }
  };
}

interface CallbackModule {
  readonly url: string;
  readonly callbacks: Readonly<Record<string, AioCallbacks>>;
  readonly targets: Readonly<Record<string, AioTarget>>;
}

async function importModules(urls: readonly string[]): Promise<CallbackModule[]> {
  const modules: CallbackModule[] = [];
  for (const url of urls) {
    const module = await importModule(url);
    modules.push({
      url,
      callbacks: recordOf<AioCallbacks>(module["callbacks"], url, "callbacks"),
      targets: recordOf<AioTarget>(module["targets"], url, "targets"),
    });
  }
  return modules;
}

async function importModule(url: string): Promise<Record<string, unknown>> {
  try {
    return await import(url);
  } catch (cause) {
    const flag = url.startsWith("file:")
      ? "--allow-read on its folder"
      : "--allow-import for its host";
    throw new TypeError(
      `Cannot import the callback module ${url}: ${
        cause instanceof Error ? cause.message : cause
      } ` +
        `(it needs ${flag})`,
      { cause },
    );
  }
}

function recordOf<T>(value: unknown, url: string, name: string): Readonly<Record<string, T>> {
  if (value === undefined) return {};
  if (typeof value === "object" && value !== null) return value as Record<string, T>;
  throw new TypeError(`Cannot use "${name}" of the callback module ${url}: it must be an object`);
}

function makeBackend(
  options: EffectiveOptions,
  method: IoMethod,
  libc: Libc,
  modules: readonly CallbackModule[],
  warn: (message: string, cause?: unknown) => void,
): Backend {
  const targets = new TargetTable();
  const callbacks = new CallbackTable((error, cause) => warn(error.message, cause));
  const threadId = libc.threadId();
  const id = 0;

  const names = (pick: "callbacks" | "targets") =>
    modules.flatMap((module) => Object.keys(module[pick]));
  const hash = hashNames(names("callbacks"), names("targets"));
  const control = createControl(options, hash, method.shmemSize?.(options) ?? 0);
  const arenaMemory = createSharedMemory(options.arenaBytes, "the arena");
  const files = new OpenFileTable(control, threadId);
  targets.add(FILE_TARGET_NAME, files.target());
  const fileTargetId = targets.idOf(FILE_TARGET_NAME);
  const builtIn = fileCallbacks((data) => targets.describe(fileTargetId, data));
  for (const [name, one] of builtIn) callbacks.add(name, one);
  for (const module of modules) {
    for (const [name, one] of Object.entries(module.callbacks)) callbacks.add(name, one);
    for (const [name, one] of Object.entries(module.targets)) targets.add(name, one);
  }
  method.shmemInit?.(control);
  const memory = new MemoryMap(libc, arenaMemory, control.buffer);
  control.words[HEADER.openerBackend] = id;
  control.words[control.backendAt(id) + BACKEND.threadId] = threadId;
  const arena = new Arena(control, arenaMemory, memory.arenaAddress, id, threadId);
  return new Backend({
    id,
    control,
    libc,
    method,
    options,
    callbacks,
    targets,
    fileTargetId,
    memory,
    arena,
    files,
    warn,
  });
}
