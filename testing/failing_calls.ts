/**
 * failing_calls.ts: has a call into the system fail, which is then not executed, wherever it is
 * made in this thread: by the C library, by a method at the submit, by Deno or `node:fs`.
 *
 * A method hands IO to the kernel, or to another thread, in one way or another; so it fails in the
 * submit, before the method has it. An IO that a thread executes itself is a call of `Libc`.
 *
 * @module
 */

import { answerCalls } from "../core/base/call_workers.ts";
import type { AioHandle } from "../core/io/handle.ts";
import type { MethodBackend } from "../core/io/method.ts";
import type { IoMethod } from "../core/mod.ts";
import { FileControl } from "../ffi/file_control.ts";
import { Libc } from "../ffi/libc.ts";
import type { Interposed } from "./interpose.ts";
import type { NthCall } from "./nth_call.ts";

/** Any function. */
type Call = (...args: never[]) => unknown;

/** Calls that return -errno. Those that only wait, ring and ask about threads are left alone. */
const LIBC_CALLS = [
  "preadv",
  "preadv2",
  "pwritev",
  "pwritev2",
  "fsync",
  "fdatasync",
  "flushRange",
  "advise",
  "allocate",
  "copyRange",
  "ftruncate",
  "stat",
  "statPath",
  "statFileSystem",
  "duplicate",
  "changeFlags",
  "seekEnd",
  "eventfd",
  "adviseHugePages",
  "mapShared",
  "openProc",
] as const satisfies readonly (keyof Libc)[];
/** Those that give something back: it is gone, whatever they say. */
const CLOSING_CALLS = ["close", "unmap"] as const satisfies readonly (keyof Libc)[];
const CONTROL_CALLS = [
  "lock",
  "setTimes",
  "changeMode",
  "open",
  "link",
] as const satisfies readonly (keyof FileControl)[];

/** Calls off the thread, by what a Worker calls to find out why one has failed. */
const OFF_THREAD = {
  preadvNonblocking: "preadv",
  seekEndNonblocking: "lseek",
  ftruncateNonblocking: "ftruncate",
  copyRangeNonblocking: "copy_file_range",
  statNonblocking: "statx",
  statPathNonblocking: "statx",
  statFileSystemNonblocking: "fstatfs",
  replaceNonblocking: "dup3",
} as const satisfies Partial<Record<keyof Libc, string>>;
const CONTROL_OFF_THREAD = {
  lockNonblocking: "fcntl",
  setTimesNonblocking: "futimens",
  changeModeNonblocking: "fchmod",
  openNonblocking: "open",
  linkNonblocking: "linkat",
  fsyncNonblocking: "fsync",
} as const satisfies Partial<Record<keyof FileControl, string>>;

/** Has calls of this thread fail, until the hooks are taken away. */
export function failCalls(hooks: Interposed, call: NthCall): void {
  failSynchronous(hooks, call);
  failOffThread(hooks, call);
  failDeno(hooks, call);
}

function failSynchronous(hooks: Interposed, call: NthCall): void {
  const fail = (name: string) => (original: Call): Call =>
    function (this: unknown, ...args) {
      return call.next(name) ? -call.errno : Reflect.apply(original, this, args);
    };
  const failClosing = (name: string) => (original: Call): Call =>
    function (this: unknown, ...args) {
      const result = Reflect.apply(original, this, args);
      return call.next(name) ? -call.errno : result;
    };
  for (const name of LIBC_CALLS) replace(hooks, Libc.prototype, name, fail(name));
  for (const name of CONTROL_CALLS) replace(hooks, FileControl.prototype, name, fail(name));
  for (const name of CLOSING_CALLS) replace(hooks, Libc.prototype, name, failClosing(name));
  replace(
    hooks,
    Libc.prototype,
    "closeNonblocking",
    (original) =>
      async function (this: unknown, ...args) {
        const result = await Reflect.apply(original, this, args);
        return call.next("close") ? -1 : result;
      },
  );
}

function replace<T extends object>(
  hooks: Interposed,
  target: T,
  name: keyof T,
  make: (original: Call) => Call,
): void {
  hooks.replace(target, name, (original) => make(original as Call) as never);
}

/** A Worker would call again, to find out why, and succeed. */
function failOffThread(hooks: Interposed, call: NthCall): void {
  const repeated: string[] = [];
  const fail = (name: string) => (original: Call): Call =>
    function (this: unknown, ...args) {
      if (!call.next(name)) return Reflect.apply(original, this, args);
      repeated.push(name);
      return Promise.resolve(-1);
    };
  for (const [name, inWorker] of Object.entries(OFF_THREAD)) {
    replace(hooks, Libc.prototype, name as keyof Libc, fail(inWorker));
  }
  for (const [name, inWorker] of Object.entries(CONTROL_OFF_THREAD)) {
    replace(hooks, FileControl.prototype, name as keyof FileControl, fail(inWorker));
  }
  answerCalls(({ name }) => {
    const at = repeated.indexOf(name);
    if (at < 0) return null;
    repeated.splice(at, 1);
    return -call.errno;
  });
  hooks.defer(() => answerCalls(null));
}

const DENO_CALLS = [
  "open",
  "rename",
  "remove",
  "mkdir",
  "link",
  "chmod",
  "lstat",
  "stat",
  "realPath",
  "readTextFile",
] as const;
const FILE_CALLS = ["sync", "syncData"] as const;

function failDeno(hooks: Interposed, call: NthCall): void {
  const fail = (name: string) => (original: Call): Call =>
    function (this: unknown, ...args) {
      if (!call.next(name)) return Reflect.apply(original, this, args);
      return Promise.reject(call.error(name));
    };
  const failSync = (name: string) => (original: Call): Call =>
    function (this: unknown, ...args) {
      if (!call.next(name)) return Reflect.apply(original, this, args);
      throw call.error(name);
    };
  for (const name of DENO_CALLS) {
    replace(hooks, Deno, name, fail(name));
    replace(hooks, Deno, `${name}Sync`, failSync(name));
  }
  replace(hooks, Deno, "readDirSync", failSync("readDir"));
  for (const name of FILE_CALLS) {
    replace(hooks, Deno.FsFile.prototype, name, fail(name));
    replace(hooks, Deno.FsFile.prototype, `${name}Sync`, failSync(name));
  }
  const fs = globalThis.process.getBuiltinModule("node:fs");
  for (const name of ["open", "unlink"] as const) {
    replace(hooks, fs, `${name}Sync`, (original) => (...args) => {
      if (call.next(name)) throw call.nodeError(name);
      return original(...args);
    });
    replace(hooks, fs, name, (original) => (...args) => {
      if (!call.next(name)) return original(...args);
      const done: unknown = args.at(-1);
      if (typeof done !== "function") throw call.nodeError(name);
      return queueMicrotask(() => void done(call.nodeError(name)));
    });
  }
}

/** The method with IOs that fail before it has them. */
export function failingMethod(method: IoMethod, call: NthCall): IoMethod {
  const submit: IoMethod["submit"] = (backend, staged, count) => {
    const failing: boolean[] = [];
    for (let i = 0; i < count; i++) failing.push(call.next(nameOf(staged[i]!)));
    let taken = 0;
    while (taken < count) {
      const end = failing.indexOf(true, taken);
      const length = (end < 0 ? count : end) - taken;
      if (length > 0) {
        const got = method.submit(backend, staged.slice(taken, taken + length), length);
        taken += got;
        if (got < length) return taken;
      }
      if (taken < count) failIo(backend, staged[taken++]!, call.errno);
    }
    return count;
  };
  return new Proxy(method, {
    get(target, name) {
      if (name === "submit") return submit;
      // Each read is to be an IO, which can fail.
      if (name === "copiesCached") return false;
      const value: unknown = Reflect.get(target, name);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

function nameOf(handle: AioHandle): string {
  return `${handle.operation} by the method`;
}

function failIo(backend: MethodBackend, handle: AioHandle, errno: number): void {
  backend.prepareSubmit(handle);
  // Another thread that waits for the IO may have been faster.
  if (backend.claim(handle)) backend.processCompletion(handle, -errno);
}
