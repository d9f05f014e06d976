/**
 * second_look.ts: finds out why a call failed that a thread of Deno's pool executed.
 *
 * `errno` belongs to the thread that made the call, and the pool's threads cannot be asked for it. So
 * the call is made once more by a Worker, which can read its own. It is started for that and ends at
 * once, which takes some 30 ms: failing calls are rare. Its program comes in a `data:` URL, as that
 * needs no permission to read modules.
 *
 * @module
 */

import { Worker } from "node:worker_threads";
import { EIO } from "../ffi/errno.ts";
import type { Libc } from "../ffi/libc.ts";

/** A call that may be made twice: the second time does what the first one did, or fails as that did. */
export interface RepeatableCall {
  /** Its name in the C library. */
  readonly name: string;
  /** The types of its parameters; it returns an `int`, below 0 where it fails. */
  readonly parameters: readonly Deno.NativeType[];
  /** What it is called with; memory is copied. */
  readonly args: readonly (number | bigint | Uint8Array<ArrayBuffer>)[];
}

interface Order extends RepeatableCall {
  readonly path: string;
  readonly errnoLocation: string;
}

/** @returns what the call returned, or -errno; -EIO where not even that could be found out */
export function secondLook(libc: Libc, call: RepeatableCall): Promise<number> {
  const errnoLocation = Deno.build.os === "darwin" ? "__error" : "__errno_location";
  const order: Order = { ...call, path: libc.path, errnoLocation };
  const { promise, resolve } = Promise.withResolvers<number>();
  const source = `data:text/javascript,${encodeURIComponent(`(${lookAgain})()`)}`;
  const worker = new Worker(new URL(source), { workerData: order });
  let result = -EIO;
  worker.on("message", (message: number) => result = message);
  worker.on("error", () => {}); // Then it ends without a message.
  worker.on("exit", () => resolve(result));
  return promise;
}

/** The Worker's program: its text is what runs, so it uses nothing from outside. */
async function lookAgain(): Promise<void> {
  const { parentPort, workerData } = await import("node:worker_threads");
  const { path, name, parameters, args, errnoLocation }: Order = workerData;
  const library = Deno.dlopen(path, {
    call: { name, parameters, result: "i32" },
    errnoAt: { name: errnoLocation, parameters: [], result: "usize" },
    copy: { name: "memcpy", parameters: ["buffer", "usize", "usize"], result: "usize" },
  });
  const { symbols } = library;
  const result = symbols.call(...args);
  const errno = new Int32Array(1);
  if (result < 0) symbols.copy(new Uint8Array(errno.buffer), symbols.errnoAt(), 4n);
  library.close();
  parentPort!.postMessage(result < 0 ? -errno[0]! : result);
}
