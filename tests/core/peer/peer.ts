/**
 * peer.ts: what the tests of this folder share. They are the cases of PostgreSQL's own test suite
 * of its AIO (src/test/modules/test_aio), section by section, run against every method.
 *
 * ```text
 * io_method, 003_initdb   io_method_test.ts         test_close_fd         close_fd_test.ts
 * test_handle             handle_test.ts            test_invalidate       invalidate_test.ts
 * test_batchmode          batchmode_test.ts         test_zero             zero_test.ts
 * test_io_error           io_error_test.ts          test_inject           inject_test.ts
 * test_complete_foreign   complete_foreign_test.ts
 * ```
 *
 * Beyond it, where it has gaps: injection_points_long_test.ts, generation_test.ts,
 * many_ios_test.ts.
 *
 * The counterparts: a session is a thread, a statement is an owner, a relation is a file of
 * 512-byte pages, its buffer manager is the callback `checkedPages`, a temporary table is plain
 * memory with the flag `"referencesLocal"`, the server log is `onLog`, a client's messages are
 * `onWarning` and what `reportResult()` throws.
 *
 * Without a counterpart:
 * - test_startwait_io: a buffer pool decides who may start IO on a page that another one reads, and
 *   this version has none.
 * - test_checksum, test_ignore_checksum, test_checksum_createdb: statistics of a database, and a
 *   setting of its page checker, which is a stand-in here; catalogs and databases do not exist
 *   here.
 * - test_inject_worker, 002_io_workers: they are about the pool of Workers, whose tests are in
 *   tests/methods/worker.
 * - HINTs: they point to the server log for pages that a message does not name.
 *
 * @module
 */

import type { AioHandle } from "../../../core/io/handle.ts";
import type { AioOptions } from "../../../core/base/options.ts";
import type { ResourceOwner } from "../../../core/life/resource_owner.ts";
import { AioReturn, type ResultStatus } from "../../../core/io/result.ts";
import type { WaitRef } from "../../../core/io/wait_ref.ts";
import type { Aio } from "../../../storage/aio.ts";
import type { AioFile } from "../../../storage/file/file.ts";
import {
  checkFlags,
  CHECKING_MODULES,
  makePage,
  PAGE_BYTES,
} from "../../support/checking_callbacks.ts";
import { FILE_BYTES, type Fixture } from "../../support/core.ts";
import { type CoreTest, testSharedCores } from "../../support/core_methods.ts";
import { until } from "../../support/patience.ts";

/** Pages of the file. */
export const PAGES = FILE_BYTES / PAGE_BYTES;
/** What frames hold before a read: no page, no part of one. */
const UNREAD_BYTE = 0xee;

/** What reads pages: a thread's Aio and its file. */
export interface Party {
  readonly aio: Aio;
  readonly file: AioFile;
}

/** Which pages to read, and how. */
export interface PageRead {
  /** The first block. */
  readonly first: number;
  /** Where each page goes, one view a page: all in the arena, or with plain memory among them. */
  readonly frames: readonly Uint8Array[];
  /** Whether invalid pages are zeroed instead of refused. Default false. */
  readonly zeroOnError?: boolean;
}

/** A read under way. */
export interface StartedPages {
  readonly ref: WaitRef;
  readonly ret: AioReturn;
}

/** How a read ended. */
export interface Outcome {
  readonly status: ResultStatus;
  /** What came, in bytes. */
  readonly bytes: number;
  /** What `reportResult()` says of it; null if it went well. */
  readonly message: string | null;
}

/** The ways to wait. */
export const WAYS = ["wait", "waitSync", "checkDone"] as const;
/** A way to wait. */
export type Way = typeof WAYS[number];

/** Waits for an IO in one of the ways. */
export async function waitBy(aio: Aio, way: Way, ref: WaitRef): Promise<void> {
  switch (way) {
    case "wait":
      return await aio.wait(ref);
    case "waitSync":
      return aio.waitSync(ref);
    case "checkDone":
      return await until(() => aio.checkDone(ref), "the IO is done");
  }
}

const ALL_PAGES = Uint8Array.from(
  Array.from({ length: PAGES }, (_, block) => [...makePage(block)]).flat(),
);

/** Opens an Aio of the test's method with the page checker, and a file of valid pages. */
export async function openPages(test: CoreTest, options: AioOptions = {}): Promise<Fixture> {
  const fixture = await test.open({ callbackModules: CHECKING_MODULES, ...options });
  await Deno.writeFile(fixture.file.path, ALL_PAGES);
  return fixture;
}

/**
 * Registers a test for each method. It gets such an Aio, and leaves it as it found it, like those
 * of {@linkcode testSharedCores}.
 */
export function testPages(
  name: string,
  fn: (fixture: Fixture, method: string) => void | Promise<void>,
  options: AioOptions = {},
): void {
  testSharedCores(name, async (fixture, method) => {
    await Deno.writeFile(fixture.file.path, ALL_PAGES);
    await fn(fixture, method);
  }, { options: { callbackModules: CHECKING_MODULES, ...options } });
}

function writePage({ file }: Party, block: number, page: Uint8Array): void {
  file.writeAtSync(page, block * PAGE_BYTES);
}

/** The ways in which a page can be invalid. */
export const DAMAGES = ["header", "checksum", "block"] as const;

/** Makes a page on disk invalid. */
export function damage(
  party: Party,
  block: number,
  kind: typeof DAMAGES[number] = "header",
): void {
  const page = makePage(kind === "block" ? block + 1 : block);
  if (kind !== "block") page[kind === "header" ? 0 : PAGE_BYTES - 1]! ^= 0xff;
  writePage(party, block, page);
}

/** Zeroes a page on disk, which makes it valid: one that was never written. */
export function zeroOnDisk(party: Party, block: number): void {
  writePage(party, block, new Uint8Array(PAGE_BYTES));
}

/** Room for pages: in the arena, or plain memory. */
export function makeFrames(
  { aio }: { readonly aio: Aio },
  count: number,
  memory: "arena" | "local" = "arena",
): Uint8Array[] {
  const bytes = count * PAGE_BYTES;
  const room = memory === "arena" ? aio.alloc(bytes) : new Uint8Array(bytes);
  room.fill(UNREAD_BYTE);
  return Array.from(
    { length: count },
    (_, i) => room.subarray(i * PAGE_BYTES, (i + 1) * PAGE_BYTES),
  );
}

/** Where pages can go. */
export const MEMORIES = ["arena", "local"] as const;

/** The pages that blocks should hold, from one on. */
export function expectedPages(first: number, count: number): Uint8Array[] {
  return Array.from({ length: count }, (_, i) => makePage(first + i));
}

/** What frames hold, copied out of shared memory. */
export function contentOf(frames: readonly Uint8Array[]): Uint8Array[] {
  return frames.map((frame) => new Uint8Array(frame));
}

/** Prepares a handle to read pages with the checker, and starts it. */
export function startPagesOn({ aio, file }: Party, handle: AioHandle, read: PageRead): void {
  const isLocal = read.frames.some(({ buffer }) => !(buffer instanceof SharedArrayBuffer));
  if (isLocal) handle.setFlag("referencesLocal");
  handle.setHandleData(read.frames.map((_, i) => read.first + i));
  handle.setIovec([...read.frames]);
  handle.registerCallbacks(aio.callbackId("checkedPages"), checkFlags(read.zeroOnError === true));
  file.startReadv(handle, read.first * PAGE_BYTES);
}

/** Acquires a handle and starts a checked read of pages. */
export function startPages(
  party: Party,
  read: PageRead,
  owner: ResourceOwner | null = null,
): StartedPages {
  const ret = new AioReturn();
  const handle = party.aio.acquire(owner, ret);
  const ref = handle.waitRef();
  startPagesOn(party, handle, read);
  return { ref, ret };
}

/** How a read ended, as its issuer reports it. */
export function outcomeOf(aio: Aio, { ret }: { readonly ret: AioReturn }): Outcome {
  const { result, targetData } = ret;
  const outcome = { status: result.status, bytes: result.result };
  if (result.status === "ok" || result.status === "unknown") return { ...outcome, message: null };
  try {
    aio.reportResult(result, targetData, "error");
  } catch (error) {
    return { ...outcome, message: error instanceof Error ? error.message : String(error) };
  }
  throw new Error("reportResult() did not throw at level error");
}

/** Reads pages from start to end. */
export async function readPages(
  party: Party,
  read: PageRead,
  way: Way = "wait",
): Promise<Outcome> {
  const started = startPages(party, read);
  await waitBy(party.aio, way, started.ref);
  return outcomeOf(party.aio, started);
}

/**
 * Reads pages as a scan does: what one IO did not bring, the next one reads, from where it stopped.
 * An error ends it; warnings are reported as they come.
 *
 * @returns how many IOs it took
 */
export async function scanPages(party: Party, read: PageRead): Promise<number> {
  const { aio } = party;
  let ios = 0;
  for (let done = 0; done < read.frames.length; ios++) {
    const frames = read.frames.slice(done, done + aio.options.ioCombineLimit);
    const started = startPages(party, { ...read, first: read.first + done, frames });
    await aio.wait(started.ref);
    const { result, targetData } = started.ret;
    if (result.status === "error") aio.reportResult(result, targetData, "error");
    if (result.status === "warning") aio.reportResult(result, targetData, "warning");
    const pages = Math.floor(result.result / PAGE_BYTES);
    if (pages === 0) throw new Error(`The scan is stuck at block ${read.first + done}`);
    done += pages;
  }
  return ios;
}
