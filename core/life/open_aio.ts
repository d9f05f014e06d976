/**
 * open_aio.ts: puts an Aio together: checks the machine, chooses the method, makes the shared
 * memory, loads the callback modules.
 *
 * @module
 */

import { closeLibc, type Libc, openLibc } from "../../ffi/libc.ts";
import { Arena } from "../memory/arena.ts";
import { Backend } from "../backend/backend.ts";
import { assert } from "../base/assert.ts";
import { importModules, initModules } from "./callback_modules.ts";
import { Doorbells } from "../waiting/doorbell.ts";
import { joinCallWorkers } from "../base/call_workers.ts";
import { AioApiError, shown } from "../base/errors.ts";
import type { LogReceiver } from "../io/io_log.ts";
import type { Layer } from "./layer.ts";
import { layersWith, modulesOf } from "./layers.ts";
import { setLayersOf } from "./made_layers.ts";
import { checkLogLevel } from "../base/log_level.ts";
import { freeEnded } from "../memory/layer_runs.ts";
import { MemoryMap, preferHugePages } from "../memory/memory_map.ts";
import type { Availability, IoMethod } from "../io/method.ts";
import { OpenFileTable } from "../files/file_table.ts";
import { fileStat } from "../files/file_stat.ts";
import { type AioOptions, type EffectiveOptions, effectiveOptions } from "../base/options.ts";
import { isThenable } from "../base/promise.ts";
import { Patience } from "../base/patience.ts";
import { LOOK_AGAIN_MS } from "../base/pauses.ts";
import { hasDead, reapBelongings, reapDead, tryLetGo, tryTakeOver } from "./reap.ts";
import { Reapers } from "./reapers.ts";
import {
  BACKEND,
  Control,
  createControl,
  createSharedMemory,
  HEADER,
  PHASE_OPEN,
} from "../memory/shared_memory.ts";
import { closeRestFile, restPoll } from "../waiting/rest_poll.ts";
import { sleepMs } from "../base/sleep.ts";
import { makeTables, type TablesParts } from "./tables.ts";
import { type AioToken, checkToken, identityOf } from "../memory/token.ts";
import { markOpen, type OpenMark } from "./unclosed.ts";
import { keepWasmMemory } from "../memory/wasm_memory.ts";

/** Deno hands out real file descriptors from `node:fs` since this version. */
const DENO_VERSION_MIN = [2, 7, 12] as const;

/** An opened backend and what its Aio shows of it. */
export interface OpenedBackend {
  /** The opener's backend. */
  readonly backend: Backend;
  /** Why its method was chosen. */
  readonly methodReason: string;
}

/**
 * Opens the subsystem in this thread.
 *
 * @param given the options of `Aio.open()`
 * @param methods the methods there are, the best first
 * @param above the layers beside that of files
 */
export async function openBackend(
  given: AioOptions | undefined,
  methods: readonly IoMethod[],
  above: readonly Layer[] = [],
): Promise<OpenedBackend> {
  const options = effectiveOptions(given);
  checkDenoVersion(Deno.version.deno);
  const warn = guardHook(given?.onWarning ?? warnByDefault);
  const log = logOf(given ?? {});
  const layers = layersWith(above);
  const modules = await importModules(options.callbackModules);
  await initModules(modules);
  // Before the methods, as none works without it.
  const libc = openLibc(options.libraries.libc);
  const { method, reason } = orClose(libc, () => chooseMethod(options, methods));
  const parts = { options, method, libc, layers, modules, warn, log };
  const backend = await joinIn(parts, (foundation) => {
    const { control, arena } = createMemory(foundation);
    const id = claimSlot(control, libc.threadId());
    assert(id === 0, "The opener is not backend 0");
    control.words[HEADER.openerBackend] = id;
    return makeBackend(foundation, control, arena, id);
  });
  return { backend, methodReason: reason };
}

function orClose<T>(libc: Libc, use: () => T): T {
  try {
    return use();
  } catch (error) {
    closeLibc(libc);
    throw error;
  }
}

/** The hooks of a thread that attaches; functions cannot be posted with a token. */
export type AttachOptions = Pick<AioOptions, "onWarning" | "onLog" | "logLevel">;

/**
 * Attaches this thread to what another thread of the process opened.
 *
 * @param token `aio.token` of any attached thread
 * @param methods the methods there are
 * @param hooks this thread's own
 * @param above the layers beside that of files: those of the opener
 */
export async function attachBackend(
  token: AioToken,
  methods: readonly IoMethod[],
  hooks: AttachOptions = {},
  above: readonly Layer[] = [],
): Promise<OpenedBackend> {
  checkToken("attach", token, "deno-aio");
  checkDenoVersion(Deno.version.deno);
  const { options } = token;
  const control = new Control(token.control);
  keepWasmMemory(token.arena, token.arenaMemory);
  const method = methods.find((one) => one.name === token.method);
  if (method === undefined) {
    throw new RangeError(
      `Cannot attach with the method ${shown(token.method)}: it is not known here`,
    );
  }
  const warn = guardHook(hooks.onWarning ?? warnByDefault);
  const log = logOf(hooks);
  const layers = layersWith(above);
  const modules = await importModules(options.callbackModules);
  checkAttachable(control);
  await initModules(modules);
  const libc = openLibc(options.libraries.libc);
  const foundation = { options, method, libc, layers, modules, warn, log };
  await makeRoom(foundation, control, token.arena);
  // It may have taken a while.
  orClose(libc, () => checkAttachable(control));
  const backend = await joinIn(
    foundation,
    (foundation) => makeAttached(foundation, control, token.arena),
  );
  return { backend, methodReason: `${method.name} was chosen by the opener` };
}

/** With no slot free, has another thread reap one whose thread has died, as that may block. */
async function makeRoom(
  { options, method, libc, layers, warn }: Foundation,
  control: Control,
  arena: SharedArrayBuffer,
): Promise<void> {
  const layerModules = modulesOf(layers);
  const host = {
    control,
    arena: { buffer: arena },
    options,
    method,
    layerModules,
    log: null,
    warn,
  };
  const reapers = new Reapers(host);
  for (let id = 0; id < options.maxBackends && !hasFreeSlot(control); id++) {
    if (!tryLetGo(control, libc, id) || !reapers.tryStart(id)) continue;
    await reapers.settled(new Patience());
  }
}

function makeAttached(
  foundation: Foundation,
  control: Control,
  arena: SharedArrayBuffer,
): Backend {
  const { libc, options } = foundation;
  const free = claimSlot(control, libc.threadId());
  const id = free >= 0 ? free : takeDeadSlot(control, libc);
  if (id < 0) {
    throw new Deno.errors.Busy(
      `Cannot attach while ${options.maxBackends} threads are attached: raise the option "maxBackends"`,
    );
  }
  const slotAt = control.backendAt(id) + BACKEND.threadId;
  let backend: Backend;
  try {
    backend = makeBackend(foundation, control, arena, id);
  } catch (error) {
    if (free >= 0) Atomics.store(control.words, slotAt, 0);
    else tryLetGo(control, libc, id);
    throw error;
  }
  if (free >= 0) return backend;
  try {
    while (!reapBelongings(backend, id)) sleepMs(LOOK_AGAIN_MS);
  } catch (error) {
    backend.memory.release();
    throw error;
  }
  Atomics.store(control.words, slotAt, libc.threadId());
  freeEnded(backend.arena);
  return backend;
}

/**
 * With no slot free: one whose thread has died.
 *
 * @returns its number, still to be reaped; -1: none
 */
function takeDeadSlot(control: Control, libc: Libc): number {
  const count = control.words[HEADER.maxBackends]!;
  for (let id = 0; id < count; id++) {
    if (tryTakeOver(control, libc, id)) return id;
  }
  return -1;
}

function checkAttachable(control: Control): void {
  if (Atomics.load(control.words, HEADER.phase) !== PHASE_OPEN) {
    throw new Deno.errors.BadResource("Cannot attach: aio was closed by its opener");
  }
  if (ATTACHED.has(identityKey(control))) {
    throw new AioApiError("Cannot attach twice in one thread: use the aio that is there");
  }
}

/** What this thread is attached to, so that it does not attach to the same twice. */
const ATTACHED = new Map<string, OpenMark>();

function identityKey(control: Control): string {
  return identityOf(control).join();
}

/** To be called when a backend is done for: its slot is free, and so is the thread. */
export function leave(backend: Backend): void {
  const { control, id, libc } = backend;
  const key = identityKey(control);
  ATTACHED.get(key)?.remove();
  ATTACHED.delete(key);
  backend.memory.release();
  closeRestFile(libc, control, id);
  Atomics.store(control.words, control.backendAt(id) + BACKEND.threadId, 0);
  closeLibc(libc);
}

/** Makes the backend and lets the method join in; gives everything back if either fails. */
async function joinIn(
  foundation: Foundation,
  make: (foundation: Foundation) => Backend,
): Promise<Backend> {
  let backend: Backend | null = null;
  try {
    backend = make(foundation);
    ATTACHED.set(identityKey(backend.control), markOpen(foundation.warn));
    await foundation.method.initBackend?.(backend);
    await restPoll.find(backend.libc, backend.control, backend.id);
    joinCallWorkers();
    return backend;
  } catch (error) {
    if (backend === null) closeLibc(foundation.libc);
    else leave(backend);
    throw error;
  }
}

function createMemory(
  { options, method, libc }: Foundation,
): { control: Control; arena: SharedArrayBuffer } {
  const methodBytes = method.shmemSize?.(options) ?? 0;
  const helpers = method.helpersMax ?? 0;
  const control = createControl(options, methodBytes, helpers);
  method.shmemInit?.(control);
  const arena = createSharedMemory(options.arenaBytes, "the arena");
  preferHugePages(libc, arena, libc.addressOf(new Uint8Array(arena)));
  return { control, arena };
}

function hasFreeSlot(control: Control): boolean {
  const count = control.words[HEADER.maxBackends]!;
  for (let id = 0; id < count; id++) {
    if (Atomics.load(control.words, control.backendAt(id) + BACKEND.threadId) === 0) return true;
  }
  return false;
}

/** Takes a free slot of the table of backends. @returns its number; -1 if there is none */
function claimSlot(control: Control, threadId: number): number {
  const count = control.words[HEADER.maxBackends]!;
  for (let id = 0; id < count; id++) {
    const at = control.backendAt(id) + BACKEND.threadId;
    if (Atomics.compareExchange(control.words, at, 0, threadId) === 0) return id;
  }
  return -1;
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
    if (available.ok) return { method, reason: `${method.name} was asked for${how(available)}` };
    throw new Deno.errors.NotSupported(
      `Cannot open aio with the method "${method.name}": ${available.reason}`,
      available.cause === undefined ? {} : { cause: available.cause },
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
    return { method, reason: `${method.name} was chosen (${why})${how(available)}` };
  }
  throw new Deno.errors.NotSupported(
    `Cannot open aio: no method is available (${refused.join("; ")})`,
  );
}

/** What a method stands on, as the end of a sentence. */
function how(available: Availability & { ok: true }): string {
  return available.how === undefined ? "" : `; ${available.how}`;
}

/** The one place where this module prints, and only if nobody else takes the warning. */
function warnByDefault(message: string, cause?: unknown): void {
  if (cause === undefined) console.warn(`aio: ${message}`);
  else console.warn(`aio: ${message}`, cause);
}

/**
 * A hook that throws must not cut the core short: its error goes where uncaught ones go. So does
 * that of an asynchronous hook.
 */
function guardHook<A extends unknown[]>(hook: (...args: A) => unknown): (...args: A) => void {
  return (...args) => {
    try {
      const returned = hook(...args);
      if (isThenable(returned)) Promise.resolve(returned).then(undefined, reportError);
    } catch (error) {
      reportError(error);
    }
  };
}

/** What the two ways to a backend have in common. */
export interface Foundation extends TablesParts {
  readonly options: EffectiveOptions;
  readonly method: IoMethod;
  readonly libc: Libc;
}

function logOf({ onLog, logLevel }: AttachOptions): LogReceiver | null {
  const level = checkLogLevel(logLevel);
  return onLog === undefined ? null : { hook: guardHook(onLog), level };
}

/**
 * Makes the backend of a slot that the thread has taken, which the method has not joined yet.
 *
 * @param foundation what it stands on
 * @param id the slot
 */
export function makeBackend(
  foundation: Foundation,
  control: Control,
  arenaMemory: SharedArrayBuffer,
  id: number,
): Backend {
  const { options, method, libc, layers, warn } = foundation;
  const threadId = libc.threadId();
  const isThreadAlive = (id: number) => libc.isThreadAlive(id);
  const files = new OpenFileTable(control, threadId, isThreadAlive, id);
  const memory = new MemoryMap(libc, arenaMemory, control.buffer);
  const arena = new Arena(control, arenaMemory, memory.arenaAddress, id, threadId, isThreadAlive);
  const doorbells = new Doorbells(control, libc, id);
  const sizeOf = (fd: number) => fileStat(libc, fd, "").size;
  const host = { id, control, arena, files, sizeOf, bells: doorbells };
  const tables = makeTables(foundation, host);
  const backend = new Backend({
    ...tables,
    id,
    control,
    libc,
    method,
    options,
    layerModules: modulesOf(layers),
    memory,
    arena,
    files,
    doorbells,
    warn,
  });
  setLayersOf(backend, tables.layers);
  backend.reapDead = (from) => reapDead(backend, from);
  backend.hasDead = () => hasDead(backend);
  return backend;
}
