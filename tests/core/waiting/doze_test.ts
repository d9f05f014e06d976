/**
 * doze_test.ts: a thread that dozes hears every bell, and its event loop goes on with whatever else
 * it has. Canaries show what it misses where a bell is switched off. Dozes last long here, so that
 * each one is ended by what should end it, and not by its time.
 */

import { assert, assertEquals, assertGreater } from "@std/assert";
import { TURNS_TO_LOOK } from "../../../core/waiting/event_loop.ts";
import { sleepMs } from "../../../core/base/sleep.ts";
import { backendOf } from "../../../core/inside.ts";
import { EMFILE } from "../../../ffi/errno.ts";
import { replace, shareStages, type Stage, whenTold } from "../../support/bells/bells.ts";
import { DozeWatch, findRest, knowRest, stayAwake } from "../../support/bells/dozes.ts";
import { openHeld, startRead } from "../../support/core.ts";
import { hangs } from "../../support/patience.ts";

const openStage = shareStages(1);
const DOZE = { dozeMicroseconds: 1000 } as const;
const isLinux = Deno.build.os === "linux";

// --- bells ---

/** The other thread completes an IO of this one while it dozes. @returns how the dozes ended */
async function dozeUntilPerformed(isOn: boolean): Promise<readonly number[]> {
  // Only a bell may end a doze here; the answer of the other thread would end one, too.
  using _rest = knowRest(-1);
  await using stage = await openStage({ workers: 1, ...DOZE });
  const { aio, fixture, workers } = stage;
  const worker = workers[0]!;
  const { ref } = startRead(fixture);
  if (!isOn) await worker.ask({ what: "mute", id: aio.backendId });
  const { signal, answer } = whenTold(worker, { what: "perform", ref });
  const tell = () => {
    if (!signal.isDone) signal.tell();
  };
  using watch = new DozeWatch(backendOf(aio).libc, tell, isOn);
  await aio.wait(ref);
  await answer;
  return watch.results;
}

Deno.test({
  name: "held: the owner's bell ends a doze",
  ignore: !isLinux,
  async fn() {
    const results = await dozeUntilPerformed(true);
    assertGreater(results.at(-1)!, 0);
  },
});

Deno.test({
  name: "held: canary: without the owner's bell a doze lasts as long as it may",
  ignore: !isLinux,
  async fn() {
    const results = await dozeUntilPerformed(false);
    assertEquals(results.filter((result) => result > 0), []);
  },
});

/**
 * The other thread completes an IO just before this one says that it sleeps. @returns how the dozes
 * ended
 */
async function dozeAfterPerformed(isLooked: boolean): Promise<readonly number[]> {
  // Only a bell may end a doze here; the answer of the other thread would end one, too.
  using _rest = knowRest(-1);
  await using stage = await openStage({ workers: 1, ...DOZE });
  const { aio, fixture, workers } = stage;
  const { ref } = startRead(fixture);
  const { signal, answer } = whenTold(workers[0]!, { what: "perform", ref });
  const backend = backendOf(aio);
  const park = backend.doorbells.park.bind(backend.doorbells);
  using _park = replace(backend.doorbells, "park", () => {
    if (!signal.isDone) signal.tellAndWait();
    park();
  });
  using _look = isLooked ? null : replace(backend, "hasUncollected", () => false);
  using watch = new DozeWatch(backend.libc, () => {}, isLooked);
  await aio.wait(ref);
  await answer;
  return watch.results;
}

Deno.test({
  name: "held: an IO completed before this thread says that it sleeps is found by the second look",
  ignore: !isLinux,
  fn: async () => assertEquals(await dozeAfterPerformed(true), []),
});

Deno.test({
  name: "held: canary: without the second look such an IO is slept through",
  ignore: !isLinux,
  async fn() {
    const results = await dozeAfterPerformed(false);
    assertEquals(results[0], 0);
  },
});

Deno.test({
  name:
    "held: without a descriptor left for a doorbell a thread dozes, and finds the IO by looking",
  ignore: !isLinux,
  async fn() {
    using _rest = knowRest(-1);
    await using stage = await openStage({ workers: 1, ...DOZE });
    const { aio, fixture, workers } = stage;
    const { doorbells, libc } = backendOf(aio);
    using _tryOpen = replace(doorbells, "tryOpen", () => -EMFILE);
    using _awake = stayAwake();
    const results: number[] = [];
    const ppoll = libc.ppoll.bind(libc);
    using _ppoll = replace(libc, "ppoll", (...args) => {
      results.push(ppoll(...args));
      return results.at(-1)!;
    });
    const { ref } = startRead(fixture);
    const answer = workers[0]!.ask({ what: "perform", ref });
    await aio.wait(ref);
    await answer;
    assertEquals(results.filter((result) => result !== 0), []);
  },
});

// --- several Aios ---

Deno.test({
  name: "held: a thread dozes for all its Aios at once",
  ignore: !isLinux,
  async fn() {
    await using stage = await openStage({ workers: 1, ...DOZE });
    await using other = await openHeld(DOZE);
    using _rest = knowRest(-1);
    const { aio, fixture, workers } = stage;
    // Both Aios wait; the IO that completes is not of the one that dozes.
    const { ref } = startRead(fixture);
    const own = startRead(other);
    const { signal, answer } = whenTold(workers[0]!, { what: "perform", ref });
    const tell = () => {
      if (!signal.isDone) signal.tell();
    };
    assert(backendOf(aio).libc === backendOf(other.aio).libc, "a thread has one C library");
    using watch = new DozeWatch(backendOf(aio).libc, tell, true);
    const awaited = other.aio.wait(own.ref);
    await aio.wait(ref);
    // The other Aio still waits.
    watch[Symbol.dispose]();
    await answer;
    assertGreater(watch.results.at(-1)!, 0);
    other.held.perform(other.aio, own.ref);
    await awaited;
  },
});

// --- whatever else the event loop has ---

/** Awaits an IO that no thread completes, until something else has happened. */
async function besideDozes(stage: Stage, other: () => Promise<unknown>): Promise<void> {
  const { aio, fixture, held } = stage;
  const { ref } = startRead(fixture);
  const awaited = aio.wait(ref);
  await other();
  held.perform(aio, ref);
  await awaited;
}

const ROUNDS = 20;

/** @returns how many dozes there were while so many bytes went through a socket, one by one */
async function dozesBesideSocket(isRestKnown: boolean): Promise<number> {
  await using stage = await openStage({ workers: 0, ...DOZE });
  const { libc } = backendOf(stage.aio);
  const ppoll = libc.ppoll.bind(libc);
  // A descriptor that never has anything stands in for the event loop's, so that no turns are owed,
  // either.
  const silent = libc.eventfd();
  using _rest = knowRest(isRestKnown ? await findRest(stage.aio) : silent);
  using _awake = stayAwake();
  let dozes = 0;
  using _ppoll = replace(libc, "ppoll", (...args) => {
    dozes++;
    return ppoll(...args);
  });
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const [server, client] = await Promise.all([
    listener.accept(),
    Deno.connect({ hostname: "127.0.0.1", port: listener.addr.port }),
  ]);
  using _server = server;
  using _client = client;
  let sum = 0;
  await besideDozes(stage, async () => {
    const bytes = new Uint8Array(1);
    for (let i = 0; i < ROUNDS; i++) {
      const reading = server.read(bytes);
      const before = dozes;
      await client.write(new Uint8Array([i]));
      await reading;
      sum += dozes - before;
    }
  });
  libc.close(silent);
  return sum;
}

Deno.test({
  name: "held: a socket that can be read ends a doze, and is looked at before the next",
  ignore: !isLinux,
  async fn() {
    const dozes = await dozesBesideSocket(true);
    // The write and the read each need a turn, and another doze may come before each.
    assert(dozes <= 4 * ROUNDS, `${dozes} dozes in ${ROUNDS} rounds`);
  },
});

Deno.test({
  name: "held: canary: without what the event loop rests in, a socket waits for many dozes",
  ignore: !isLinux,
  async fn() {
    const dozes = await dozesBesideSocket(false);
    assert(dozes > 8 * ROUNDS, `${dozes} dozes in ${ROUNDS} rounds`);
  },
});

/**
 * Lets this thread wait for an IO until it has slept once, while what its event loop rests in has
 * something, or nothing. @returns how many dozes came before that sleep
 */
async function dozesUntilSleep(hasEventLoopWork: boolean): Promise<number> {
  await using stage = await openStage({ workers: 0, ...DOZE });
  const { libc } = backendOf(stage.aio);
  const rest = libc.eventfd();
  if (hasEventLoopWork) libc.write(rest, new Uint8Array(new BigUint64Array([1n]).buffer));
  using _rest = knowRest(rest);
  using _awake = stayAwake();
  const { promise, resolve } = Promise.withResolvers<number>();
  const ppoll = libc.ppoll.bind(libc);
  const pollNonblocking = libc.pollNonblocking.bind(libc);
  let dozes = 0;
  using _ppoll = replace(libc, "ppoll", (...args) => {
    if (++dozes === ROUNDS) resolve(dozes);
    return ppoll(...args);
  });
  using _poll = replace(libc, "pollNonblocking", (...args) => {
    resolve(dozes);
    return pollNonblocking(...args);
  });
  let count = 0;
  await besideDozes(stage, async () => count = await promise);
  libc.close(rest);
  return count;
}

Deno.test({
  name:
    "held: a thread sleeps after a doze that its event loop ended, so that Deno looks at sockets",
  ignore: !isLinux,
  fn: async () => assertEquals(await dozesUntilSleep(true), 1),
});

Deno.test({
  name: "held: canary: where the event loop has nothing, one doze follows another",
  ignore: !isLinux,
  fn: async () => assertEquals(await dozesUntilSleep(false), ROUNDS),
});

/** Turns of the event loop between two dozes for an IO that takes long. */
async function turnsBetweenDozes(isRestKnown: boolean): Promise<number[]> {
  await using stage = await openStage({ workers: 0, ...DOZE });
  const { aio } = stage;
  using _rest = knowRest(isRestKnown ? await findRest(aio) : -1);
  using _awake = stayAwake();
  const turns: number[] = [];
  let count = 0;
  const { turn } = backendOf(aio);
  const renew = turn.renew.bind(turn);
  using _renew = replace(turn, "renew", (now) => {
    count++;
    renew(now);
  });
  const { libc } = backendOf(aio);
  using _ppoll = replace(libc, "ppoll", () => {
    turns.push(count);
    count = 0;
    return 0;
  });
  await besideDozes(stage, async () => {
    const isHanging = hangs();
    while (turns.length < 5 && !isHanging()) await new Promise((r) => setTimeout(r, 1));
  });
  return turns.slice(1);
}

Deno.test({
  name:
    "held: where it is not known what the event loop rests in, it goes around between two dozes",
  ignore: !isLinux,
  async fn() {
    for (const turns of await turnsBetweenDozes(false)) assert(turns > TURNS_TO_LOOK, `${turns}`);
  },
});

Deno.test({
  name: "held: where it is known what the event loop rests in, one doze follows another",
  ignore: !isLinux,
  async fn() {
    const turns = await turnsBetweenDozes(true);
    assert(turns.some((count) => count < TURNS_TO_LOOK), `${turns}`);
  },
});

Deno.test({
  name: "held: no thread dozes after a turn in which something else had work",
  ignore: !isLinux,
  async fn() {
    await using stage = await openStage({ workers: 0, ...DOZE });
    const { aio, fixture, held } = stage;
    using _awake = stayAwake();
    let dozes = 0;
    using _ppoll = replace(backendOf(aio).libc, "ppoll", () => {
      dozes++;
      return 0;
    });
    const { ref } = startRead(fixture);
    let turns = 0;
    const work = () => {
      sleepMs(1);
      if (++turns < 20) setImmediate(work);
      else held.perform(aio, ref);
    };
    setImmediate(work);
    await aio.wait(ref);
    assertEquals(dozes, 0);
  },
});

Deno.test({
  name: "held: no thread dozes while completions wait for their turn",
  ignore: !isLinux,
  async fn() {
    await using stage = await openStage({ workers: 0, ...DOZE });
    const { aio, fixture, held } = stage;
    using _awake = stayAwake();
    const { ref } = startRead(fixture);
    const last = startRead(fixture);
    const { turn, libc } = backendOf(aio);
    let dozes = 0;
    using _ppoll = replace(libc, "ppoll", () => {
      if (turn.isNextWanted) dozes++;
      return 0;
    });
    // The turn is over, so the completion waits until the event loop has looked for sockets.
    const awaited = aio.wait(ref);
    await new Promise((resolve) => setImmediate(resolve));
    sleepMs(20);
    turn.spend(1024 * 1024);
    held.perform(aio, ref);
    await awaited;
    assertEquals(dozes, 0);
    held.perform(aio, last.ref);
    await aio.wait(last.ref);
  },
});
