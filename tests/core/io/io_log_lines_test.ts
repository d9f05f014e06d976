/**
 * io_log_lines_test.ts: the lines of the log about batches, reclaimed handles, closed descriptors
 * and the end of an Aio.
 */

import { assertEquals } from "@std/assert";
import { backendOf } from "../../../core/inside.ts";
import { completeShared, NOBODY_THREW } from "../../../core/io/completion_steps.ts";
import { IoLog } from "../../../core/io/io_log.ts";
import { openHeld, startRead } from "../../support/core.ts";
import { testEachCoreMethod } from "../../support/core_methods.ts";
import { keeping, type Line } from "../../support/log_lines.ts";
import { Turns } from "../../support/turns.ts";

const turns = new Turns(2);

testEachCoreMethod("a batch, its submit and each reclaimed handle are logged", async ({ open }) => {
  const lines: Line[] = [];
  await using fixture = await open(keeping(lines, "debug4"));
  const { aio } = fixture;
  const count = 3;
  aio.enterBatchmode();
  const refs = Array.from({ length: count }, (_, i) => startRead(fixture, i * 512).ref);
  aio.exitBatchmode();
  for (const ref of refs) aio.waitSync(ref);
  aio.acquire().release();
  // Only `sync` submits nothing.
  const submits = lines.filter(([line]) => line.startsWith("submitting"));
  const isSync = aio.method === "sync";
  assertEquals(submits, isSync ? [] : [[`submitting ${count} IOs`, "debug4"]]);
  const of = (text: string) => lines.filter(([line]) => line.includes(text));
  const outcome = "status OK, callback 0, error data 0, result 512";
  assertEquals(of("COMPLETED_LOCAL : after local callbacks: ").length, count);
  assertEquals(of(`after local callbacks: ${outcome}`).map(([, level]) => level), [
    "debug3",
    "debug3",
    "debug3",
  ]);
  assertEquals(of(`COMPLETED_LOCAL : reclaiming: ${outcome}, raw result 512`).length, count);
  const released = lines.at(-1)!;
  assertEquals([released[0].split("|state ")[1], released[1]], [
    "HANDED_OUT      : reclaiming: not started",
    "debug4",
  ]);
}, { turns });

testEachCoreMethod(
  "a descriptor that is closed is logged, by call and with its file",
  async ({ open }) => {
    const lines: Line[] = [];
    await using fixture = await open(keeping(lines, "debug3"));
    const { aio, file } = fixture;
    const told = () => lines.filter(([line]) => line.startsWith("closing descriptor"));
    aio.closingFd(1_000_000);
    assertEquals(told(), [["closing descriptor 1000000", "debug3"]]);
    lines.length = 0;
    const { fd } = file;
    await file.close();
    assertEquals(told(), [[`closing descriptor ${fd}`, "debug3"]]);
  },
  { turns },
);

Deno.test("held: an IO that aio.close() waits for is logged at level debug2", async () => {
  const lines: Line[] = [];
  await using fixture = await openHeld(keeping(lines, "debug2"));
  const { aio, held } = fixture;
  const refs = [startRead(fixture).ref, startRead(fixture).ref];
  const closed = aio.close();
  assertEquals(lines, [[
    `io 0         |op readv|target file|state SUBMITTED       : waits for it at shutdown: 2 in flight`,
    "debug2",
  ]]);
  for (const ref of refs) held.perform(aio, ref);
  await closed;
  assertEquals(lines.length, 1);
});

Deno.test("held: another thread's IO is logged as completed while its handle is still in use", async () => {
  await using fixture = await openHeld();
  const backend = backendOf(fixture.aio);
  const { ref } = startRead(fixture);
  const handle = backend.handleOf(ref.index);
  const seen: string[] = [];
  const look = (line: string) => seen.push(`${line.split("|state ")[1]} in ${handle.state}`);
  const log = new IoLog(look, "debug3", backend.callbacks);
  const { callbacks, injections } = backend;
  completeShared(callbacks, handle, 512, NOBODY_THREW, true, injections, log);
  assertEquals(seen, [
    "COMPLETED_SHARED: completed: status OK, callback 0, error data 0, result 512, " +
    "raw result 512 in completedIo",
  ]);
  backend.deliver(handle);
});
