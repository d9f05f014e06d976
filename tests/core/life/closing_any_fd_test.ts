/**
 * closing_any_fd_test.ts: one thread closes descriptors that no file of the table has, while others
 * are about to use them.
 */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { AioApiError } from "../../../core/base/errors.ts";
import { markedClosing, refuseIfClosing, unmarkClosing } from "../../../core/files/closing_mark.ts";
import type { LogHook } from "../../../core/base/log_level.ts";
import { backendOf } from "../../../core/inside.ts";
import { BACKEND, HANDLE, HEADER } from "../../../core/memory/shared_memory.ts";
import type { Aio, AioFile } from "../../../storage/mod.ts";
import { AttachedWorker, shareThread } from "../../support/threads/attached.ts";
import { type Fixture, openHeld, startOn, wrong } from "../../support/core.ts";
import { testEachCoreMethod } from "../../support/core_methods.ts";
import { until, untilDead } from "../../support/patience.ts";
import { tempDir } from "../../support/temp.ts";
import nodeFs from "node:fs";
import { Turns } from "../../support/turns.ts";

const startWorker = shareThread();
const turns = new Turns(2);

const LAYERS = new URL("../fixtures/layers.ts", import.meta.url);
const WAITS = "waits for it before descriptor";
const BYTES = 4096;

/** Two files, each of one byte only, that are opened by descriptor. */
async function twoFiles() {
  const dir = await tempDir();
  for (const byte of [1, 2]) {
    await Deno.writeFile(dir.join(`${byte}`), new Uint8Array(BYTES).fill(byte));
  }
  return {
    open: (byte: number) => nodeFs.openSync(dir.join(`${byte}`), "r"),
    [Symbol.asyncDispose]: () => dir[Symbol.asyncDispose](),
  };
}

/** What a test of a descriptor has, while another thread is about to read it. */
interface Scene {
  readonly aio: Aio;
  readonly file: AioFile;
  /** The two files. */
  readonly files: Awaited<ReturnType<typeof twoFiles>>;
  /** The other thread waits here before it starts its IO. */
  readonly gate: Int32Array;
  /** Has another thread begin to read a descriptor; it waits at the gate before it starts. */
  startRead(fd: number): Promise<Uint8Array>;
  /** Resolves when that thread waits at the gate. */
  untilHeld(): Promise<void>;
  /** Lets it go. */
  openGate(): void;
  /** Takes the lines of the log. */
  listen(to: LogHook): void;
}

async function withReader(
  open: (
    options: { callbackModules: URL[]; logLevel: "debug2"; onLog: LogHook },
  ) => Promise<Fixture>,
  use: (scene: Scene) => Promise<void>,
): Promise<void> {
  let hook: LogHook = () => {};
  await using fixture = await open({
    callbackModules: [LAYERS],
    logLevel: "debug2",
    onLog: (line, level) => hook(line, level),
  });
  await using files = await twoFiles();
  const { aio, file } = fixture;
  await using worker = await AttachedWorker.start(aio, file);
  const gate = new Int32Array(new SharedArrayBuffer(8));
  await use({
    aio,
    file,
    files,
    gate,
    startRead: (fd) => worker.ask({ what: "readFdHeld", fd, bytes: BYTES, gate }),
    untilHeld: () => until(() => Atomics.load(gate, 0) !== 0, "the reader is held at the gate"),
    openGate() {
      Atomics.store(gate, 1, 1);
      Atomics.notify(gate, 1);
    },
    listen: (to) => hook = to,
  });
}

testEachCoreMethod(
  "aio.closingFd() waits for another thread that is about to read the descriptor",
  ({ open }) =>
    withReader(open, async ({ aio, files, startRead, untilHeld, openGate, listen }) => {
      const fd = files.open(1);
      const read = startRead(fd);
      await untilHeld();
      let waits = 0;
      listen((line) => {
        if (!line.includes(WAITS)) return;
        waits++;
        openGate();
      });
      aio.closingFd(fd);
      listen(() => {});
      nodeFs.closeSync(fd);
      const other = files.open(2);
      assertEquals([other, waits > 0], [fd, true]);
      assert((await read).every((byte) => byte === 1));
      nodeFs.closeSync(other);
    }),
  { turns },
);

testEachCoreMethod(
  "while aio.closingFd() waits no thread starts on the descriptor, on others they do",
  ({ open }) =>
    withReader(open, async ({ aio, file, files, gate, startRead, untilHeld, openGate, listen }) => {
      await using another = await startWorker(aio, file);
      const [fd, other] = [files.open(1), files.open(2)];
      const read = startRead(fd);
      await untilHeld();
      const unused = new Int32Array(new SharedArrayBuffer(8));
      const tries: Promise<string | null>[] = [];
      listen((line) => {
        if (!line.includes(WAITS) || tries.length > 0) return;
        tries.push(another.ask({ what: "tryReadFd", fd: other, bytes: 10, gate: unused }));
        // This one opens the gate for the first thread.
        tries.push(another.ask({ what: "tryReadFd", fd, bytes: 10, gate }));
      });
      aio.closingFd(fd);
      listen(() => {});
      openGate();
      await read;
      assertEquals(await Promise.all(tries), [
        null,
        `BadResource: Cannot start IO on page 0 of table 0: descriptor ${fd} is being closed`,
      ]);
      // The mark ends with the call, as another file may get the number.
      const again = await another.ask({ what: "tryReadFd", fd, bytes: 10, gate });
      assertEquals([again, backendOf(aio).control.words[HEADER.closings]], [null, 0]);
      for (const one of [fd, other]) nodeFs.closeSync(one);
    }),
  { turns },
);

testEachCoreMethod("aio.closingFd() of what is no descriptor is refused", async ({ open }) => {
  await using fixture = await open();
  const shown = {
    "-1": -1,
    "1.5": 1.5,
    "NaN": NaN,
    "2147483648": 2 ** 31,
    '"3"': wrong<number>("3"),
  };
  for (const [text, fd] of Object.entries(shown)) {
    const error = assertThrows(() => fixture.aio.closingFd(fd), RangeError);
    assertEquals(
      error.message,
      `Cannot close descriptor ${text}: descriptors are integers from 0`,
    );
  }
});

Deno.test("held: the mark of a thread that died in aio.closingFd() goes when it is reaped", async () => {
  await using fixture = await openHeld({ callbackModules: [LAYERS] });
  const { aio, file } = fixture;
  const { control } = backendOf(aio);
  await using worker = await AttachedWorker.start(aio, file);
  const { threadId } = aio.backends()[1]!;
  control.words[control.backendAt(1) + BACKEND.closingFd] = file.fd + 1;
  control.words[HEADER.closings] = 1 << 1;
  const handle = aio.acquire();
  assertThrows(() => startOn(fixture, handle), Deno.errors.BadResource, "is being closed");
  assertEquals([handle.state, handle.operation], ["handedOut", "invalid"]);
  handle.release();
  worker.terminate();
  await untilDead(backendOf(aio).libc, threadId);
  aio.reapBackend(1);
  assertEquals(file.readAtSync(new Uint8Array(8), 0), 8);
});

Deno.test("closing marks: each backend has one, a closing within another gives it back", async () => {
  await using fixture = await openHeld({ maxBackends: 32 });
  const { aio, file } = fixture;
  const { control } = backendOf(aio);
  const handle = aio.acquire();
  const isRefused = (fd: number): boolean => {
    const words = handle.words;
    words[handle.base + HANDLE.operation] = 1;
    words[handle.base + HANDLE.fd] = fd;
    try {
      refuseIfClosing(control, handle);
      return false;
    } catch (error) {
      return error instanceof Deno.errors.BadResource;
    } finally {
      words[handle.base + HANDLE.operation] = 0;
    }
  };
  const refused = () => [70, 71, 72].filter(isRefused);
  markedClosing(control, 31, 70, () => {
    markedClosing(control, 0, 71, () => {
      assertEquals(refused(), [70, 71]);
      markedClosing(control, 31, 72, () => assertEquals(refused(), [71, 72]));
      assertEquals(refused(), [70, 71]);
    });
    assertEquals(refused(), [70]);
    assertThrows(() => {
      markedClosing(control, 5, 72, () => {
        throw new AioApiError("mine");
      });
    }, AioApiError);
    assertEquals(refused(), [70]);
  });
  assertEquals([refused(), control.words[HEADER.closings]], [[], 0]);
  unmarkClosing(control, 31);
  handle.release();
  assertEquals(file.isClosed, false);
});
