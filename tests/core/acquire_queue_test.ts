/** acquire_queue_test.ts: aio.acquireAsync: first come, first served, and what users do wrong. */

import { assertEquals, assertRejects, assertStrictEquals, assertThrows } from "@std/assert";
import { AioApiError } from "../../core/errors.ts";
import type { AioHandle } from "../../core/handle.ts";
import { ResourceOwner } from "../../core/resource_owner.ts";
import { AioReturn } from "../../core/result.ts";
import { fileContent, openHeld, openSync, startOn, startRead } from "../support/core.ts";

Deno.test("held: aio.acquireAsync() calls its function at once if a handle is free", async () => {
  await using fixture = await openHeld();
  let called = false;
  const promise = fixture.aio.acquireAsync((handle) => {
    called = true;
    handle.release();
    return 5;
  });
  assertEquals(called, true);
  assertEquals(await promise, 5);
});

Deno.test("held: aio.acquireAsync() serves in order, one by one, as handles come back", async () => {
  await using fixture = await openHeld({ maxConcurrency: 1 });
  const { aio, held } = fixture;
  const order: number[] = [];
  const promises = Array.from({ length: 5 }, (_, i) =>
    aio.acquireAsync((handle) => {
      order.push(i);
      startOn(fixture, handle);
      return i;
    }));
  assertEquals([order, aio.backend.acquireQueue.length], [[0], 4]);
  for (let done = 1; done <= 5; done++) {
    held.perform(aio, 0);
    await Promise.resolve();
    assertEquals(order.length, Math.min(done + 1, 5));
  }
  assertEquals(await Promise.all(promises), [0, 1, 2, 3, 4]);
  assertEquals(order, [0, 1, 2, 3, 4]);
});

Deno.test("held: those queued are served as soon as a handle in hand is started or released", async () => {
  await using fixture = await openHeld({ maxConcurrency: 4 });
  const { aio } = fixture;
  for (const end of [(handle: AioHandle) => handle.release(), startOnHandle]) {
    const handle = aio.acquire();
    let called = false;
    const promise = aio.acquireAsync((given) => {
      called = true;
      given.release();
    });
    assertEquals(called, false);
    end(handle);
    await promise;
    assertEquals(called, true);
  }
  function startOnHandle(handle: AioHandle): void {
    startOn(fixture, handle);
  }
});

Deno.test("held: nobody overtakes those queued by acquireAsync()", async () => {
  await using fixture = await openHeld({ maxConcurrency: 2 });
  const { aio } = fixture;
  const order: string[] = [];
  const handle = aio.acquire();
  const use = (name: string) =>
    aio.acquireAsync((given) => {
      order.push(name);
      given.release();
    });
  const first = use("first");
  handle.release();
  const second = use("second");
  await Promise.all([first, second]);
  assertEquals(order, ["first", "second"]);
});

Deno.test("held: the function's throw rejects, and its handle comes back", async () => {
  await using fixture = await openHeld({ maxConcurrency: 1 });
  const { aio } = fixture;
  const mine = new Error("mine");
  const error = await assertRejects(() =>
    aio.acquireAsync(() => {
      throw mine;
    })
  );
  assertStrictEquals(error, mine);
  assertEquals(aio.backend.idleCount, 1);
});

Deno.test("held: a throw after the start rejects, and the IO goes on", async () => {
  await using fixture = await openHeld({ maxConcurrency: 1 });
  const { aio, held } = fixture;
  await assertRejects(
    () =>
      aio.acquireAsync((handle) => {
        startOn(fixture, handle);
        throw new Error("mine");
      }),
    Error,
    "mine",
  );
  assertEquals(held.held(aio), [0]);
});

for (
  const [name, use] of [
    ["leaves", () => 5],
    ["awaits", () => Promise.resolve()],
  ] as const
) {
  Deno.test(`held: a function that ${name} with its handle is refused, and the handle comes back`, async () => {
    await using fixture = await openHeld({ maxConcurrency: 1 });
    const { aio } = fixture;
    const error = await assertRejects(() => aio.acquireAsync<unknown>(use), AioApiError);
    assertEquals(
      error.message,
      "Handle 0 was neither started nor released by the function given to acquireAsync()",
    );
    assertEquals([aio.backend.idleCount, aio.backend.hasHandedOut], [1, false]);
  });
}

Deno.test("held: a failed function does not stop those behind it", async () => {
  await using fixture = await openHeld({ maxConcurrency: 1 });
  const { aio, held } = fixture;
  startRead(fixture);
  const failing = aio.acquireAsync(() => {
    throw new Error("mine");
  });
  const leaving = aio.acquireAsync(() => 1);
  const fine = aio.acquireAsync((handle) => (handle.release(), 2));
  held.performAll(aio);
  const outcomes = await Promise.allSettled([failing, leaving, fine]);
  assertEquals(outcomes.map((outcome) => outcome.status), ["rejected", "rejected", "fulfilled"]);
});

Deno.test("held: aio.acquireAsync() for a released owner rejects and does not block the queue", async () => {
  await using fixture = await openHeld({ maxConcurrency: 1 });
  const { aio } = fixture;
  const owner = new ResourceOwner(aio);
  owner.release();
  await assertRejects(
    async () => await aio.acquireAsync((handle) => handle.release(), owner),
    AioApiError,
    "that was released",
  );
  assertEquals(await aio.acquireAsync((handle) => (handle.release(), 1)), 1);
  assertEquals([aio.backend.idleCount, aio.backend.acquireQueue.length], [1, 0]);
});

Deno.test("held: an owner released while its request is queued is refused when its turn comes", async () => {
  await using fixture = await openHeld({ maxConcurrency: 1 });
  const { aio, held } = fixture;
  startRead(fixture);
  const owner = new ResourceOwner(aio);
  const late = aio.acquireAsync((handle) => handle.release(), owner);
  const next = aio.acquireAsync((handle) => (handle.release(), 1));
  owner.release();
  held.performAll(aio);
  await assertRejects(() => late, AioApiError, "that was released");
  assertEquals(await next, 1);
});

Deno.test("held: acquireAsync() charges its owner and fills its return slot", async () => {
  await using fixture = await openHeld();
  const { aio, held } = fixture;
  const owner = new ResourceOwner(aio);
  const ret = new AioReturn();
  const [ref, view] = await aio.acquireAsync(
    (handle) => {
      assertEquals(owner.handleCount, 1);
      return [handle.waitRef(), startOn(fixture, handle)] as const;
    },
    owner,
    ret,
  );
  held.perform(aio, ref);
  assertEquals([ret.result.status, view], ["ok", fileContent(0, 512)]);
  owner.release();
});

Deno.test("held: acquireAsync() from within its function is queued", async () => {
  await using fixture = await openHeld({ maxConcurrency: 2 });
  const { aio } = fixture;
  const order: string[] = [];
  let inner: Promise<void> = Promise.resolve();
  await aio.acquireAsync((handle) => {
    inner = aio.acquireAsync((given) => {
      order.push("inner");
      given.release();
    });
    order.push("outer");
    handle.release();
  });
  await inner;
  assertEquals(order, ["outer", "inner"]);
});

Deno.test("held: aio.acquire() in a function that has a handle is refused", async () => {
  await using fixture = await openHeld();
  await fixture.aio.acquireAsync((handle) => {
    assertThrows(() => fixture.aio.acquire(), AioApiError, "Only one IO can be handed out");
    handle.release();
  });
});

Deno.test("sync: a thousand reads through acquireAsync() over one handle all end", async () => {
  await using fixture = await openSync({ maxConcurrency: 1 });
  const { aio, file } = fixture;
  const view = aio.alloc(64);
  let done = 0;
  await Promise.all(Array.from({ length: 1000 }, async () => {
    const ret = new AioReturn();
    const ref = await aio.acquireAsync(
      (handle) => {
        const ref = handle.waitRef();
        handle.setIovec(view);
        file.startReadv(handle, 0, { submit: "endOfTurn" });
        return ref;
      },
      null,
      ret,
    );
    await aio.wait(ref);
    if (ret.result.status === "ok") done++;
  }));
  assertEquals(done, 1000);
});
