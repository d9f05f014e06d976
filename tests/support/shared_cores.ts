/**
 * shared_cores.ts: Aios that the tests of one file share, as each costs milliseconds to open, and with
 * the method worker the start of a pool.
 *
 * They are opened before the first test of the file and closed after the last one: what is opened in
 * one test and used in the next would be a leak to the sanitizers. A test gets one with nothing under
 * way and has to leave it so: what it leaves behind fails that test, not the next one. Its file, its
 * memory and IO that is still in flight are taken back for it.
 *
 * @module
 */

import type { AioOptions } from "../../core/base/options.ts";
import { backendOf } from "../../core/inside.ts";
import { INJECTION_POINTS } from "../../core/io/result.ts";
import { FILE_BYTES, fileContent, type Fixture } from "./core.ts";

/** Opens an Aio of a method, and a file. */
export type OpenCore = (method: string, options?: AioOptions) => Promise<Fixture>;

const CONTENT = fileContent(0, FILE_BYTES);
const cores = new Map<string, SharedCore>();

/** One Aio. */
export class SharedCore {
  #core: Fixture | null = null;

  private constructor() {}

  /** That of a method with these options. Called while the tests of a file are registered. */
  static of(method: string, open: OpenCore, options: AioOptions = {}): SharedCore {
    const key = `${method} ${JSON.stringify(options)}`;
    const known = cores.get(key);
    if (known !== undefined) return known;
    const made = new SharedCore();
    cores.set(key, made);
    Deno.test.beforeAll(async () => {
      made.#core = await open(method, options);
    });
    Deno.test.afterAll(async () => await made.#core?.[Symbol.asyncDispose]());
    return made;
  }

  /** For one test, whose end is the end of the scope. */
  async take(): Promise<Fixture> {
    const core = this.#core;
    if (core === null) throw new Error("An earlier test has left the shared aio unfit: see there");
    await Deno.writeFile(core.file.path, CONTENT);
    const file = await core.aio.openFile(core.file.path, { read: true, write: true });
    clear(core);
    return {
      ...core,
      file,
      [Symbol.asyncDispose]: async () => {
        const left = core.aio.isClosed ? "that is closed" : takeBack(core);
        if (left === "") return await file.close();
        this.#core = null;
        await core[Symbol.asyncDispose]();
        throw new Error(`The test leaves a shared aio ${left}`);
      },
    };
  }
}

function clear({ warnings, logs, submissions, held }: Fixture): void {
  for (const list of [warnings, logs, submissions, held.waits, held.checks]) list.length = 0;
}

/** Takes back what a test may leave. @returns what it may not leave, in words; empty: nothing */
function takeBack({ aio }: Fixture): string {
  const backend = backendOf(aio);
  if (backend.hasHandedOut) return "with a handle handed out";
  if (backend.staging.isInBatch) return "with an open batch";
  if (backend.acquireQueue.length > 0) return "with a queue for handles";
  const hooked = INJECTION_POINTS.filter((point) => aio.detachInjectionPoint(point));
  if (hooked.length > 0) return `with a hook at ${hooked}`;
  aio.submitStaged();
  for (const { ioId: index, ioGeneration: generation } of aio.ios()) {
    aio.waitSync({ index, generation });
  }
  if (backend.idleCount !== aio.options.maxConcurrency) return "with a handle less";
  if (aio.backends().length > 1) return "with a thread attached";
  backend.arena.giveBackAllOf(backend.id);
  return "";
}
