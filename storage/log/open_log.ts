/**
 * open_log.ts: how a thread gets a log: it reads one back from its directory, or makes it; or it
 * finds the one that a token names.
 *
 * ```text
 * lock ─► control file ─► read back ─► tail made durable ─► control file: the next opening ─► log
 * ```
 *
 * @module
 */

import { dirname, isAbsolute, join, resolve } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import {
  type ArenaRun,
  type Backend,
  checkToken,
  type Descriptors,
  identityOf,
  layersOf,
  LAYOUT_VERSION,
  PAGE_SIZE_BYTES,
  pathString,
  runSteps,
  shown,
  type Steps,
  systemErrorOf,
} from "../../core/inside.ts";
import type { AioFile } from "../file/file.ts";
import { insideOf } from "../file/open_file.ts";
import { endUse, tryLeave, tryUse } from "../run_users.ts";
import { awaitedCalls, blockingCalls, type LogAio, type LogCalls } from "./calls.ts";
import { CONTROL_NAME, type LogControl, parseControl } from "./control_file.ts";
import { type Log, type LogRecovery, type LogToken, makeLog } from "./log.ts";
import { LogFlush } from "./log_flush.ts";
import { LogInsert } from "./log_insert.ts";
import { logLayer } from "./log_layer.ts";
import { LogReaders } from "./log_reader.ts";
import { initLog, LOG, LOG_FLAGS, logBytes, LogMemory, serialAt } from "./log_memory.ts";
import { type LogSettings, logSettings, type OpenLogOptions } from "./log_options.ts";
import { LogStats } from "./log_stats.ts";
import { noteEnd, writeControl } from "./log_upkeep.ts";
import { lastBlock, readBack } from "./read_back.ts";
import { isLeftOver, segmentNumbers, segmentPath } from "./segment_names.ts";
import { makeSegment, Segments } from "./segments.ts";

const LOCK_NAME = "lock";
/** Looks, 3 s of them, at a lock whose last user may be done, or dead. */
const LATE_LOOKS_MAX = 300;
const LATE_LOOK_MS = 10;

/** What attaching needs of the thread. */
export interface LogAttacher {
  readonly aio: LogAio;
  readonly backend: Backend;
  /** Keeps the log until it is closed. */
  readonly logs: Set<Log>;
}

/** What opening needs of it. */
export interface LogOpener extends LogAttacher {
  readonly descriptors: Descriptors;
}

/** Opens the log of a directory. */
export async function openLog(
  opener: LogOpener,
  path: string | URL,
  options: OpenLogOptions,
): Promise<Log> {
  const directory = absolute(pathString(path, "open the log in"));
  const settings = logSettings(directory, options);
  if (settings.create) await makeDirectory(directory);
  const lock = await lockDirectory(opener, directory);
  try {
    return await openLocked(opener, directory, settings, lock);
  } catch (error) {
    await lock.close();
    throw error;
  }
}

/** The program may go to another directory while the log is open: its files stay where they are. */
function absolute(path: string): string {
  return isAbsolute(path) ? path : resolve(path);
}

async function makeDirectory(path: string): Promise<void> {
  try {
    await Deno.mkdir(path);
  } catch (error) {
    if (error instanceof Deno.errors.AlreadyExists) return;
    const what = `Cannot open the log in ${shown(path)}`;
    throw systemErrorOf(error, what, { syscall: "mkdir", path });
  }
}

/** Keeps other programs, and other openings, out. */
async function lockDirectory(opener: LogOpener, directory: string): Promise<AioFile> {
  const path = join(directory, LOCK_NAME);
  const lock = await opener.aio.openFile(path, { read: true, write: true, create: true });
  let isLocked = false;
  try {
    isLocked = await tryLock(lock, opener);
  } finally {
    if (!isLocked) await lock.close();
  }
  if (isLocked) return lock;
  throw new Deno.errors.Busy(
    `Cannot open the log in ${shown(directory)}: it is open already, here or in another program; ` +
      "other threads of this one attach to it by its token",
  );
}

/**
 * A thread of this program that died with the log keeps its lock until it is reaped. One that died
 * while it closed the lock's file keeps it until the thread that has opened that file closes it.
 */
async function tryLock(lock: AioFile, { backend, descriptors }: LogOpener): Promise<boolean> {
  let isOver = false;
  for (let looks = 0;; looks++) {
    isOver ||= backend.hasDead() || descriptors.held.isClosing;
    if (await lock.tryLock()) return true;
    if (!isOver || looks === LATE_LOOKS_MAX) return false;
    backend.reapDead("eventLoop");
    await delay(LATE_LOOK_MS);
  }
}

async function openLocked(
  opener: LogOpener,
  directory: string,
  settings: LogSettings,
  lock: AioFile,
): Promise<Log> {
  const { aio, backend } = opener;
  const control = await controlOf(aio, directory, settings);
  // The directory may be new: without its name all that is in it would be lost.
  if (control.opening === 0) await aio.syncDirectory(dirname(resolve(directory)));
  await removeLeftOvers(directory, control);
  const found = await readBack(aio, directory, control);
  await runSteps(makeMissing(awaitedCalls(aio, backend), directory, control, found.end));
  const { blockBytes, isDirect } = await waysOf(aio, directory, found.end, control, settings);
  const opening = control.opening + 1;
  await writeControl(aio, directory, {
    ...control,
    opening,
    durable: found.end,
    bufferBytes: settings.bufferBytes,
    isClosed: false,
  });
  const { arena, runs } = layersOf(backend).partsOf(logLayer).host;
  const shape = {
    ringBytes: settings.bufferBytes,
    segmentBytes: control.segmentBytes,
    blockBytes,
    identity: control.identity,
    opening,
    flags: (isDirect ? LOG_FLAGS.direct : 0) |
      (settings.direct === true ? LOG_FLAGS.readsDirect : 0) |
      (settings.sync === "dsync" ? LOG_FLAGS.dsync : 0),
    start: control.start,
    end: found.end,
    prepared: firstMissing(directory, Math.floor(found.end / control.segmentBytes)),
    user: backend.id,
    serial: crypto.getRandomValues(new Int32Array(1))[0]! | 1,
  };
  const last = await lastBlock(aio, directory, control.segmentBytes, found.end, blockBytes);
  const bytes = logBytes(shape.ringBytes, shape.blockBytes);
  const run = runs.tryTake(bytes, (run) => {
    initLog(arena, run, shape);
    new LogMemory(arena, run).preload(last, found.end);
  });
  if (run === null) {
    throw new Deno.errors.Busy(
      `Cannot open the log in ${shown(directory)}: the arena has no run of ${bytes} free bytes; ` +
        `raise the option "arenaBytes", now ${arena.bytes}, or lower "bufferBytes"`,
    );
  }
  try {
    return logIn(opener, directory, run, lock, { end: found.end, stop: found.stop });
  } catch (error) {
    runs.giveBack(run);
    throw error;
  }
}

/** What the control file says; of a new log, which is made, what it will say. */
async function controlOf(
  aio: LogAio,
  directory: string,
  { create, segmentBytes, bufferBytes }: LogSettings,
): Promise<LogControl> {
  const path = join(directory, CONTROL_NAME);
  const text = await Deno.readTextFile(path).catch((error) => {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  });
  if (text !== null) return parseControl(path, text);
  const numbers = segmentNumbers(directory);
  if (!create || numbers.length > 0) {
    throw new Deno.errors.NotFound(
      `Cannot open the log in ${shown(directory)}: it has no file ${shown(CONTROL_NAME)}` +
        (numbers.length > 0 ? ", but segments: restore it from a copy of the log" : ""),
    );
  }
  const [low, high] = crypto.getRandomValues(new Int32Array(2));
  const identity = [low!, high!] as const;
  const control = { identity, segmentBytes, opening: 0, start: 0, durable: 0, bufferBytes };
  await writeControl(aio, directory, control);
  return control;
}

/** Files that were not made whole, and segments before the start, as far as a crash left them. */
async function removeLeftOvers(directory: string, control: LogControl): Promise<void> {
  const first = Math.floor(control.start / control.segmentBytes);
  for (const number of segmentNumbers(directory)) {
    if (number < first) await Deno.remove(segmentPath(directory, number));
  }
  for (const { name } of Deno.readDirSync(directory)) {
    if (isLeftOver(name)) await Deno.remove(join(directory, name));
  }
}

/** The segment in which the log goes on is not there yet if it begins there. */
function* makeMissing(
  calls: LogCalls,
  directory: string,
  { segmentBytes }: LogControl,
  end: number,
): Steps<void> {
  const number = Math.floor(end / segmentBytes);
  if (segmentNumbers(directory).includes(number)) return;
  yield* makeSegment(calls, directory, number, segmentBytes);
}

/** The number of the first segment from one on that is not there. */
function firstMissing(directory: string, from: number): number {
  const numbers = new Set(segmentNumbers(directory));
  let number = from;
  while (numbers.has(number)) number++;
  return number;
}

/** How a log is written. */
interface WriteWays {
  /** What writes must be multiples of. */
  readonly blockBytes: number;
  readonly isDirect: boolean;
}

const BUFFERED: WriteWays = { blockBytes: 1, isDirect: false };

/**
 * Finds out how a log is written.
 *
 * @throws {Deno.errors.NotSupported} or {RangeError} if it is to be direct, and cannot be
 */
async function waysOf(
  aio: LogAio,
  directory: string,
  end: number,
  { segmentBytes }: { readonly segmentBytes: number },
  { direct }: LogSettings,
): Promise<WriteWays> {
  if (direct === false) return BUFFERED;
  const path = segmentPath(directory, Math.floor(end / segmentBytes));
  const wanted = direct === true ? "required" : "optional";
  await using file = await aio.openFile(path, { direct: wanted });
  const { memory, offset } = file.alignment;
  const blockBytes = Math.max(memory, offset);
  // Where the system may forget that a direct write is durable, each takes a flush besides. And the
  // log's memory begins with a page: whether larger blocks may be written from it is chance.
  const { direct: isDirect, forgetsDsync } = insideOf(file);
  const isWhole = segmentBytes % blockBytes === 0;
  const isBetter = isDirect && !forgetsDsync && isWhole && memory <= PAGE_SIZE_BYTES;
  if (direct === undefined && !isBetter) return BUFFERED;
  if (isWhole) return { blockBytes, isDirect: true };
  throw new RangeError(
    `Cannot open the log in ${shown(directory)} with "direct": its files have ${segmentBytes} ` +
      `bytes, and the disk wants multiples of ${blockBytes}; make one with other "segmentBytes"`,
  );
}

/** Uses the log that a token names. */
export function attachLog(opener: LogAttacher, token: LogToken): Log {
  const { aio, backend } = opener;
  checkToken("attach a log", token, "deno-aio log");
  const [low, high] = identityOf(backend.control);
  if (token.identity?.[0] !== low || token.identity[1] !== high) {
    throw new TypeError("Cannot attach a log whose token is of another aio: open it in this one");
  }
  for (const log of opener.logs) {
    if (log.token.serial !== token.serial) continue;
    throw new Deno.errors.Busy(
      `Cannot attach the log in ${shown(token.directory)}: this thread ` +
        (log.isClosed ? "is closing it; await that first" : "has it already; use that"),
    );
  }
  const { host: { arena, runs } } = layersOf(backend).partsOf(logLayer);
  const isThere = () => serialAt(arena, token.offset) === token.serial;
  if (!isThere()) throw closedLog();
  const words = new Int32Array(arena.buffer, token.offset, LOG.size);
  const run = { offset: token.offset, bytes: 0 };
  if (!tryUse({ runs, run, words, at: LOG.users }, backend.id, isThere)) throw closedLog();
  try {
    const lock = attachLock(aio, token);
    const end = new LogMemory(arena, run).flushed;
    return logIn(opener, token.directory, run, lock, { end, stop: "attached" });
  } catch (error) {
    // Its last user has just left.
    if (endUse(words, LOG.users, backend.id)) runs.giveBack(run, isThere);
    throw error;
  }
}

function closedLog(): Deno.errors.BadResource {
  return new Deno.errors.BadResource("Cannot attach a log that was closed");
}

/** Its last user has closed it, where it has just left. */
function attachLock(aio: LogAio, { lock }: LogToken): AioFile {
  try {
    return aio.attachFile(lock);
  } catch (error) {
    throw error instanceof Deno.errors.BadResource ? closedLog() : error;
  }
}

function logIn(
  { aio, backend, logs }: LogAttacher,
  directory: string,
  run: ArenaRun,
  lock: AioFile,
  recovery: LogRecovery,
): Log {
  const { host: { arena, runs } } = layersOf(backend).partsOf(logLayer);
  const memory = new LogMemory(arena, run);
  const segments = new Segments(memory, directory, backend);
  const [awaited, blocking] = [awaitedCalls(aio, backend), blockingCalls(aio, backend)];
  const stats = new LogStats(memory, backend.id);
  const flush = new LogFlush({ memory, backend, segments, stats, directory, awaited, blocking });
  const parts = { aio, memory, backend, segments, directory, awaited, flush, stats };
  const log: Log = makeLog({
    ...parts,
    logs,
    recovery,
    readers: new LogReaders(),
    insert: new LogInsert(memory, backend, flush, stats),
    token: {
      kind: "deno-aio log",
      version: LAYOUT_VERSION,
      identity: identityOf(backend.control),
      offset: run.offset,
      serial: memory.serial,
      directory,
      lock: lock.token,
    },
    open: (path) => aio.openFile(path, segments.readOptions),
    async leave() {
      await segments.close();
      const { words } = memory;
      // Whoever is not the last touches nothing of it afterwards.
      let isLast = true;
      try {
        // Threads that have died keep their marks until somebody finds out.
        backend.reapDead("eventLoop");
        // While the last one says where the log ends another thread may come, append, and leave.
        for (let noted = -1; (isLast = !tryLeave(words, LOG.users, backend.id));) {
          if (noted === memory.flushed || Atomics.load(words, LOG.failure) !== 0) break;
          noted = memory.flushed;
          await noteEnd(parts);
        }
      } finally {
        if (isLast && endUse(words, LOG.users, backend.id)) {
          runs.giveBack(run, () => serialAt(arena, run.offset) === memory.serial);
        }
        // Only now this thread may use it again: until then it has the bit.
        logs.delete(log);
        await lock.close();
      }
    },
  });
  logs.add(log);
  return log;
}
