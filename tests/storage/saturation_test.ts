/**
 * saturation_test.ts: far more at once than there is room for, and everything else of a program
 * beside it: all are served, in order. How such a program ends: saturation_long_test.ts.
 */

import { assert, assertEquals } from "@std/assert";
import { backendOf } from "../../core/inside.ts";
import { hasPool } from "../support/workers/worker_pool.ts";
import { replace } from "../support/bells/bells.ts";
import { isQuickPart } from "../support/house/part.ts";
import { openAio, testEachMethod } from "../support/methods.ts";
import { HANG_MS, hangs, until } from "../support/patience.ts";
import { contentAt, tempDir, writeRandomFile } from "../support/temp.ts";
import { openUring, Pipe, startRawRead, testEachForm } from "../support/rings/uring.ts";

const FILE_BYTES = 65_536;
const FILE_SEED = 1;
const MANY = isQuickPart() ? 2_000 : 10_000;
const READ_BYTES = 100;
/** core/waiting/pump.ts: sleeps of one thread at a time. */
const SLEEPS_MAX = 8;
const AIOS = 33;
/** Longer than anybody waits here. */
const LONG_MS = 2 * HANG_MS;

testEachMethod(
  `${MANY} readAt() at once with 8 handles and 1 MiB of arena are served in order`,
  async (method) => {
    await using dir = await tempDir();
    await writeRandomFile(dir.join("file"), FILE_BYTES, FILE_SEED);
    await using aio = await openAio(method, { maxConcurrency: 8, arenaBytes: 1024 * 1024 });
    await using file = await aio.openFile(dir.join("file"));
    const order: number[] = [];
    const buffers = Array.from({ length: MANY }, () => new Uint8Array(READ_BYTES));
    const offsetOf = (i: number) => i * 6;
    const reads = buffers.map(async (buffer, i) => {
      assertEquals(await file.readAt(buffer, offsetOf(i)), READ_BYTES);
      order.push(i);
    });
    await Promise.all(reads);
    // Workers overtake one another, but nobody is served before those who came 8 places earlier.
    if (hasPool(method)) assert(order.every((i, place) => place > i - 8), "not in order");
    else assertEquals(order, buffers.map((_, i) => i));
    for (const [i, buffer] of buffers.entries()) {
      assertEquals(buffer, contentAt(FILE_SEED, offsetOf(i), READ_BYTES));
    }
    assertEquals([backendOf(aio).idleCount, backendOf(aio).arena.freeBytes], [8, 1024 * 1024]);
  },
);

testEachMethod(
  "timers, fetch() on loopback and Deno.readFile() are served while tasks await cached reads",
  async (method) => {
    await using dir = await tempDir();
    await writeRandomFile(dir.join("file"), FILE_BYTES, FILE_SEED);
    await using aio = await openAio(method);
    await using file = await aio.openFile(dir.join("file"));
    await using server = Deno.serve(
      { port: 0, hostname: "127.0.0.1", onListen: () => {} },
      () => new Response("served"),
    );
    let isOver = false;
    const isHanging = hangs();
    const tasks = Array.from({ length: 32 }, async () => {
      const view = aio.alloc(4096);
      while (!isOver && !isHanging()) await file.readAt(view, 4096);
      aio.free(view);
    });
    const others = async () => {
      for (let i = 0; i < 5; i++) {
        await new Promise((resolve) => setTimeout(resolve, 1));
        const response = await fetch(`http://127.0.0.1:${server.addr.port}/`);
        assertEquals(await response.text(), "served");
        assertEquals((await Deno.readFile(dir.join("file"))).length, FILE_BYTES);
      }
      isOver = true;
    };
    await Promise.all([others(), ...tasks]);
    assert(isOver, "the others were not served");
  },
);

testEachForm(
  `${AIOS} Aios that sleep in one thread leave Deno's own threads free`,
  async (form) => {
    await using dir = await tempDir();
    await writeRandomFile(dir.join("file"), FILE_BYTES, FILE_SEED);
    await using stack = new AsyncDisposableStack();
    using pipe = await Pipe.open();
    let begun = 0;
    let ended = 0;
    const awaited: Promise<void>[] = [];
    for (let i = 0; i < AIOS; i++) {
      const options = { maxBackends: 1, dozeMicroseconds: 0, arenaBytes: 65_536 };
      const fixture = stack.use(await openUring(form, options));
      const { libc } = backendOf(fixture.aio);
      if (i === 0) {
        // All Aios of a thread share one C library. The sleeps are long, so that none of them ends
        // meanwhile.
        const poll = libc.pollNonblocking.bind(libc);
        stack.use(replace(libc, "pollNonblocking", (pollfds, count) => {
          begun++;
          return poll(pollfds, count, LONG_MS).finally(() => ended++);
        }));
      }
      awaited.push(fixture.aio.wait(startRawRead(fixture, pipe.fd).ref));
    }
    await until(() => begun === SLEEPS_MAX, "the pumps sleep");
    await Promise.all(Array.from({ length: 10 }, () => Deno.readFile(dir.join("file"))));
    assertEquals([begun, ended], [SLEEPS_MAX, 0]);
    pipe.write(AIOS);
    await Promise.all(awaited);
  },
);
