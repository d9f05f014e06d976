/**
 * said_of_files.ts: another answer of the system about open files, for what no file system of this
 * machine says of its own.
 *
 * @module
 */

import { viewOf } from "../../../core/files/file_stat.ts";
import { STATX } from "../../../ffi/layout.ts";
import type { Libc } from "../../../ffi/libc.ts";
import { replace } from "../bells/bells.ts";

/** Changes what the system says of open files until the end of the scope. */
export function withStat(libc: Libc, change: (view: DataView) => void): Disposable {
  const stack = new DisposableStack();
  const { stat, statNonblocking } = libc;
  stack.use(replace(libc, "stat", (fd, into) => {
    const result = stat.call(libc, fd, into);
    change(viewOf(into));
    return result;
  }));
  stack.use(replace(libc, "statNonblocking", async (fd, into) => {
    const result = await statNonblocking.call(libc, fd, into);
    change(viewOf(into));
    return result;
  }));
  return stack;
}

/** Has the system say that all files are on a file system of a type, on a device or on none. */
export function withFileSystem(libc: Libc, magic: number, deviceMajor = 0): Disposable {
  const say = (into: Uint8Array) => {
    viewOf(into).setUint32(0, magic, true);
    return 0;
  };
  const stack = new DisposableStack();
  stack.use(withStat(libc, (view) => {
    view.setUint32(STATX.deviceMajor.offset, deviceMajor, true);
  }));
  stack.use(replace(libc, "statFileSystem", (_, into) => say(into)));
  const sayLater = (_: number, into: Uint8Array) => Promise.resolve(say(into));
  stack.use(replace(libc, "statFileSystemNonblocking", sayLater));
  return stack;
}
