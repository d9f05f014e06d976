/**
 * layer_threads_test.ts: four threads share a layer's words in the arena. The thread that took the
 * memory dies in the middle of what only one may do at a time, and the others go on. A canary shows
 * that they would not if the layer did nothing for the dead.
 */

import { assertEquals } from "@std/assert";
import { backendOf } from "../../../core/inside.ts";
import type { Fixture } from "../../support/core.ts";
import { type CoreTest, testEachCoreMethod } from "../../support/core_methods.ts";
import { settings, tallyLayer } from "../../support/layers/tally_layer.ts";
import {
  type TallyAnswer,
  tallyOf,
  type TallyOrder,
  TallyThread,
} from "../../support/layers/tally_thread.ts";
import { settles, until } from "../../support/patience.ts";

const TURNS = 20;
/** So many turns of the thread that dies: that is in the middle of the load. */
const MORTAL_TURNS = 5;
const CANARY_MS = 1000;
const WORKER_URL = import.meta.resolve("../../support/layers/tally_worker.ts");

/** A Worker, and what it says. */
class TallyWorker implements Disposable {
  readonly #worker = new Worker(WORKER_URL, { type: "module" });
  readonly #joined = Promise.withResolvers<void>();
  readonly #done = Promise.withResolvers<readonly string[]>();

  constructor({ aio, file }: Fixture, order: Omit<TallyOrder, "token" | "file" | "turns">) {
    this.#worker.onmessage = ({ data }: MessageEvent<TallyAnswer>) => {
      if (data === "joined") return this.#joined.resolve();
      this.#joined.reject(new Error(data.join()));
      this.#done.resolve(data);
    };
    const turns = order.isMortal ? MORTAL_TURNS : TURNS;
    const [token, fileToken] = [aio.token, file.token];
    this.#worker.postMessage({ token, file: fileToken, turns, ...order } satisfies TallyOrder);
  }

  /** Resolves when it takes part. */
  get joined(): Promise<void> {
    return this.#joined.promise;
  }

  /** Resolves with what was wrong, when it has left. */
  get done(): Promise<readonly string[]> {
    return this.#done.promise;
  }

  [Symbol.dispose](): void {
    this.#worker.terminate();
  }
}

/** What must be as before once all others have left. */
function belongingsOf({ aio }: Fixture): unknown[] {
  const { arena, files } = backendOf(aio);
  return [arena.freeBytes, files.count, aio.ios(), aio.backends().length];
}

/** Four threads; resolves when this one and those that live are done. */
async function runFour(
  fixture: Fixture,
  heals: boolean,
  whileRunning: (end: Promise<unknown>) => Promise<void> = () => Promise.resolve(),
): Promise<{ faults: string[]; state: ReturnType<typeof tallyOf>["state"] }> {
  const { aio, file } = fixture;
  const tally = tallyOf(aio);
  using mortal = new TallyWorker(fixture, { isMortal: true, heals });
  await mortal.joined;
  using one = new TallyWorker(fixture, { isMortal: false, heals });
  using two = new TallyWorker(fixture, { isMortal: false, heals });
  tally.join();
  // This thread must not block, or the test could not see that it does not go on.
  const own = new TallyThread(aio, file, heals);
  const end = Promise.all([own.run(TURNS), one.done, two.done]);
  await whileRunning(end);
  const [, ...others] = await end;
  await until(() => {
    backendOf(aio).reapDead("eventLoop");
    return aio.backends().length === 1;
  }, "the dead thread is taken over from");
  return { faults: [...own.faults, ...others.flat()], state: tally.state };
}

async function open(test: CoreTest): Promise<Fixture> {
  return await test.open({ workers: { min: 1, max: 1 } }, [tallyLayer]);
}

testEachCoreMethod("four threads share a layer's words, one dies with the turn", async (test) => {
  await using fixture = await open(test);
  const before = belongingsOf(fixture);
  const { faults, state } = await runFour(fixture, true);
  assertEquals(faults, []);
  const turns = 3 * TURNS + MORTAL_TURNS;
  assertEquals(state, { members: 1, turn: 0, inside: 0, turns, takenOver: 1 });
  assertEquals(tallyOf(fixture.aio).leave(), true);
  assertEquals([belongingsOf(fixture), fixture.messages()], [before, []]);
});

testEachCoreMethod(
  "canary: if the layer does nothing for the dead, the others do not go on",
  async (test) => {
    await using fixture = await open(test);
    const tally = tallyOf(fixture.aio);
    settings.heals = false;
    let hasEnded = true;
    try {
      const { faults } = await runFour(fixture, false, async (end) => {
        hasEnded = await settles(end, CANARY_MS);
        await until(() => tally.state.turn === 2, "the dead thread has the turn");
        tally.heal(1);
      });
      assertEquals([hasEnded, faults], [false, []]);
    } finally {
      settings.heals = true;
    }
  },
  { only: ["held"] },
);
