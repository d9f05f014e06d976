/**
 * attribute_calls.ts: the times and the permissions of an open file, in two forms: calls that
 * block, and calls that leave the event loop alone.
 *
 * @module
 */

import { TIMESPEC, TIMESPEC_SIZE_BYTES } from "../../ffi/layout.ts";
import type { Libc } from "../../ffi/libc.ts";
import { offThreadTwice } from "../base/off_thread.ts";
import type { Eventually } from "../base/steps.ts";

/** A time, as the system has it. */
export interface FileTime {
  /** Since 1970, an integer. */
  readonly seconds: number;
  /** Behind the seconds, an integer from 0 to 999999999. */
  readonly nanoseconds: number;
}

/** The calls, in either form. */
export interface AttributeCalls {
  /** When an open file was last read and last written. @returns 0, or -errno */
  setTimes(fd: number, read: FileTime, written: FileTime): Eventually<number>;
  /** The permissions of an open file. @returns 0, or -errno */
  changeMode(fd: number, mode: number): Eventually<number>;
}

/** The calls that block. */
export function blockingAttributes({ fileControl }: Libc) {
  return {
    setTimes: (fd: number, read: FileTime, written: FileTime) =>
      fileControl.setTimes(fd, timespecs(read, written)),
    changeMode: (fd: number, mode: number) => fileControl.changeMode(fd, mode),
  };
}

/** The calls off the thread. */
export function awaitedAttributes(libc: Libc) {
  const { fileControl } = libc;
  return {
    setTimes(fd: number, read: FileTime, written: FileTime) {
      const times = timespecs(read, written);
      const parameters = ["i32", "buffer"] as const;
      const again = { name: "futimens", parameters, result: "i32", args: [fd, times] } as const;
      return offThreadTwice(libc, () => fileControl.setTimesNonblocking(fd, times), again);
    },
    changeMode(fd: number, mode: number) {
      const parameters = ["i32", "u32"] as const;
      const again = { name: "fchmod", parameters, result: "i32", args: [fd, mode] } as const;
      return offThreadTwice(libc, () => fileControl.changeModeNonblocking(fd, mode), again);
    },
  };
}

/** Two `struct timespec`, one after the other. */
function timespecs(...times: FileTime[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(times.length * TIMESPEC_SIZE_BYTES);
  const view = new DataView(bytes.buffer);
  times.forEach(({ seconds, nanoseconds }, i) => {
    const at = i * TIMESPEC_SIZE_BYTES;
    view.setBigInt64(at + TIMESPEC.seconds.offset, BigInt(seconds), true);
    view.setBigInt64(at + TIMESPEC.nanoseconds.offset, BigInt(nanoseconds), true);
  });
  return bytes;
}
