/**
 * shared_cores.ts: Aios with a file that tests share. Each test has the file
 * with its first content, opened for that test.
 *
 * @module
 */

import type { AioOptions } from "../../core/base/options.ts";
import type { Layer } from "../../core/life/layer.ts";
import { FILE_BYTES, fileContent, type Fixture } from "./core.ts";
import { SharedAio, sharedKey } from "./shared_aios.ts";

/** Opens an Aio of a method with layers, and a file. */
export type OpenCore = (
  method: string,
  options: AioOptions,
  layers: readonly Layer[],
) => Promise<Fixture>;

const CONTENT = fileContent(0, FILE_BYTES);
const cores = new Map<string, SharedCore>();

/** One Aio. */
export class SharedCore {
  readonly #shared: SharedAio<Fixture>;

  private constructor(open: () => Promise<Fixture>) {
    this.#shared = new SharedAio(open);
  }

  /**
   * That of a method with these options and layers. Called while tests are registered.
   */
  static of(
    method: string,
    open: OpenCore,
    options: AioOptions = {},
    layers: readonly Layer[] = [],
  ): SharedCore {
    const key = sharedKey(method, options, layers);
    const core = cores.get(key) ?? new SharedCore(async () => {
      const opened = await open(method, options, layers);
      await opened.file.close();
      return opened;
    });
    cores.set(key, core);
    return core;
  }

  /** For one test, whose end is the end of the scope. */
  async take(): Promise<Fixture> {
    const core = this.#shared.take();
    await Deno.writeFile(core.file.path, CONTENT);
    const file = await core.aio.openFile(core.file.path, { read: true, write: true });
    clear(core);
    return {
      ...core,
      file,
      [Symbol.asyncDispose]: async () => {
        this.#shared.giveBack();
        if (!file.isClosed) await file[Symbol.asyncDispose]();
      },
    };
  }
}

function clear({ warnings, logs, submissions, held }: Fixture): void {
  for (const list of [warnings, logs, submissions, held.waits, held.checks]) list.length = 0;
}
