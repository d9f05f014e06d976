/**
 * copying_mark_test.ts: whoever closes a descriptor waits for threads that read it without an IO,
 * and not for those that have died. That such reads have the mark: cached_copy_test.ts.
 */

import { assertEquals } from "@std/assert";
import type { LogHook } from "../../../core/base/log_level.ts";
import { backendOf } from "../../../core/inside.ts";
import { BACKEND } from "../../../core/memory/shared_memory.ts";
import { type Fixture, openHeld } from "../../support/core.ts";
import { untilDead } from "../../support/patience.ts";
import { AttachedWorker } from "../../support/threads/attached.ts";

/** Another thread reads a descriptor. @returns ends that */
function pretendCopy({ aio }: Fixture, fd: number): () => void {
  const { control: { words }, control } = backendOf(aio);
  const at = control.backendAt(1) + BACKEND.copyingFd;
  words[at] = fd + 1;
  return () => words[at] = 0;
}

Deno.test("held: closingFd() waits for a thread that reads the descriptor without an IO", async () => {
  const lines: string[] = [];
  let onLog: LogHook = () => {};
  const options = { logLevel: "debug2", onLog: (line: string) => onLog(line, "debug2") } as const;
  await using fixture = await openHeld(options);
  const { aio, file } = fixture;
  await using _worker = await AttachedWorker.start(aio, file);
  const end = pretendCopy(fixture, file.fd);
  onLog = (line) => {
    lines.push(line);
    end();
  };
  aio.closingFd(1_000_000);
  assertEquals(lines, []);
  aio.closingFd(file.fd);
  onLog = () => {};
  assertEquals(lines.map((line) => line.includes("waits for a cached read")), [true]);
});

Deno.test("held: closingFd() after a thread died that read the descriptor ends by itself", async () => {
  await using fixture = await openHeld();
  const { aio, file } = fixture;
  await using worker = await AttachedWorker.start(aio, file);
  const { threadId } = aio.backends()[1]!;
  worker.terminate();
  await untilDead(backendOf(aio).libc, threadId);
  pretendCopy(fixture, file.fd);
  aio.closingFd(file.fd);
  assertEquals(aio.backends().length, 1);
});
