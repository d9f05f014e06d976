/**
 * posix_locks_test.ts: opening a file, and whatever is done with it until it is closed, leaves the
 * process's POSIX record locks on it alone: closing any descriptor of a file drops them all.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { openAio, testEachMethod } from "../support/methods.ts";
import { PosixLock } from "../support/posix_lock.ts";
import { tempDir } from "../support/temp.ts";

const isLinux = Deno.build.os === "linux";

testEachMethod(
  "openFile() and all that is done with the file keep the process's POSIX locks on it",
  async (method) => {
    await using dir = await tempDir();
    const path = dir.join("file");
    await Deno.writeTextFile(path, "hello");
    using lock = new PosixLock(path);
    await using aio = await openAio(method);
    const file = await aio.openFile(path, { read: true, write: true, direct: "optional" });
    assertEquals(lock.isHeld(), true, "open");
    await file.writeAt(aio.alloc(4096), 0);
    await Promise.all([file.sync(), file.size(), file.truncate(8192)]);
    assertEquals(lock.isHeld(), true, "used");
    const other = aio.attachFile(file.token);
    await file.close();
    assertEquals(lock.isHeld(), true, "closed by one of two users");
    await other.close();
    assertEquals(lock.isHeld(), false, "closed");
  },
  isLinux,
);

testEachMethod(
  "openFileSync() and closeSync() of one of two users keep the process's POSIX locks",
  async (method) => {
    await using dir = await tempDir();
    const path = dir.join("file");
    await Deno.writeTextFile(path, "hello");
    using lock = new PosixLock(path);
    await using aio = await openAio(method);
    const file = aio.openFileSync(path);
    const other = aio.attachFile(file.token);
    file.closeSync();
    assertEquals(lock.isHeld(), true);
    other.closeSync();
    assertEquals(lock.isHeld(), false);
  },
  isLinux,
);

testEachMethod(
  "openFile() that is refused before it has opened the file keeps the process's POSIX locks",
  async (method) => {
    await using dir = await tempDir();
    const path = dir.join("file");
    await Deno.writeTextFile(path, "hello");
    await using aio = await openAio(method, { maxFiles: 1 });
    await using _only = await aio.openFile(import.meta.filename!);
    using lock = new PosixLock(path);
    await aio.openFile(path, { write: true, truncate: true }).catch(() => {});
    assertEquals(lock.isHeld(), true);
  },
  isLinux,
);
