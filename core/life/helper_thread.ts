/**
 * helper_thread.ts: a thread of a method's own, that executes and completes IO of backends and
 * issues none.
 *
 * It has a record like a backend's, behind those, so that a claim names it (claim.ts) and whoever
 * finds it dead completes what it had claimed (reap.ts); but neither handles nor files.
 *
 * @module
 */

import { closeLibc, type Libc, openLibc } from "../../ffi/libc.ts";
import { AioInvariantError } from "../base/assert.ts";
import { importModules, initModules } from "./callback_modules.ts";
import { tryClaimSubmitted } from "../memory/claim.ts";
import { Completer } from "../backend/completer.ts";
import { Doorbells } from "../waiting/doorbell.ts";
import { type AioHandle, type HandleHost, makeHandle } from "../io/handle.ts";
import type { LogReceiver } from "../io/io_log.ts";
import { MemoryMap } from "../memory/memory_map.ts";
import { OpenFileTable } from "../files/file_table.ts";
import { fileStat } from "../files/file_stat.ts";
import type { EffectiveOptions } from "../base/options.ts";
import { BACKEND, Control } from "../memory/shared_memory.ts";
import { makeTables, type Tables, type TablesParts } from "./tables.ts";
import { Arena } from "../memory/arena.ts";
import { importLayers, layersWith } from "./layers.ts";
import type { NamedModule } from "../base/named_module.ts";

/** What a helper gets, in a message. */
export interface HelperToken {
  /** The control memory. */
  readonly control: SharedArrayBuffer;
  /** The arena. */
  readonly arena: SharedArrayBuffer;
  /** The options in force. */
  readonly options: EffectiveOptions;
  /** The layers that it imports. */
  readonly layers: readonly NamedModule[];
  /** Its record: `maxBackends` and more. */
  readonly id: number;
}

/** A helper, in its own thread. */
export class Helper extends Completer implements HandleHost {
  readonly memory: MemoryMap;
  readonly targets: Tables["targets"];
  /** Its thread, as the system has it. */
  readonly threadId: number;
  readonly #handles: AioHandle[] = [];

  private constructor(token: HelperToken, libc: Libc, parts: TablesParts) {
    const { id } = token;
    const control = new Control(token.control);
    const threadId = libc.threadId();
    const isThreadAlive = (thread: number) => libc.isThreadAlive(thread);
    const memory = new MemoryMap(libc, token.arena, token.control);
    const { arenaAddress } = memory;
    const arena = new Arena(control, token.arena, arenaAddress, id, threadId, isThreadAlive);
    const files = new OpenFileTable(control, threadId, isThreadAlive);
    const doorbells = new Doorbells(control, libc, id);
    const { callbacks, targets, log } = makeTables(parts, {
      id,
      control,
      arena,
      files,
      sizeOf: (fd) => fileStat(libc, fd, "").size,
      bells: doorbells,
    });
    // It awaits nothing, so its turns end nowhere.
    const goAround = () => Promise.resolve();
    super({ id, control, libc, callbacks, doorbells, log, goAround });
    this.threadId = threadId;
    this.memory = memory;
    this.targets = targets;
  }

  /**
   * Joins in: loads what every thread loads, and takes the record.
   *
   * @param token from the opener
   * @param warn takes warnings
   * @param log takes lines about each IO that it completes; null: none are wanted
   * @returns null if another thread has the record
   */
  static async join(
    token: HelperToken,
    warn: TablesParts["warn"],
    log: LogReceiver | null,
  ): Promise<Helper | null> {
    const layers = layersWith(await importLayers(token.layers));
    const modules = await importModules(token.options.callbackModules);
    await initModules(modules);
    const libc = openLibc(token.options.libraries.libc);
    const control = new Control(token.control);
    const at = control.backendAt(token.id) + BACKEND.threadId;
    if (Atomics.compareExchange(control.words, at, 0, libc.threadId()) !== 0) {
      closeLibc(libc);
      return null;
    }
    try {
      return new Helper(token, libc, { layers, modules, warn, log });
    } catch (error) {
      Atomics.store(control.words, at, 0);
      closeLibc(libc);
      throw error;
    }
  }

  /**
   * Takes over one use of a submitted IO.
   *
   * @returns null if that is over, or another thread has it
   */
  tryClaim(index: number, generationLow: number): AioHandle | null {
    const { words } = this.control;
    const base = this.control.handleAt(index);
    const isMine = tryClaimSubmitted(words, base, this.id, generationLow);
    return isMine ? this.#handleOf(index) : null;
  }

  #handleOf(index: number): AioHandle {
    return this.#handles[index] ??= makeHandle(this, index);
  }

  /** Gives the record back, with nothing claimed. */
  leave(): void {
    this.memory.release();
    const at = this.control.backendAt(this.id) + BACKEND.threadId;
    Atomics.store(this.control.words, at, 0);
    closeLibc(this.libc);
  }

  override recycle(): never {
    throw new AioInvariantError("A helper has no IO of its own");
  }

  checkUsable(): never {
    throw new AioInvariantError("A helper issues no IO");
  }

  stage(): never {
    throw new AioInvariantError("A helper issues no IO");
  }

  releaseHandle(): never {
    throw new AioInvariantError("A helper issues no IO");
  }
}
