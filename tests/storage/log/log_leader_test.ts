/**
 * log_leader_test.ts: a thread dies while its flush of a log is in flight.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { backendOf } from "../../../core/inside.ts";
import { releaseClaim, tryClaim } from "../../../core/memory/claim.ts";
import { BACKEND, HANDLE } from "../../../core/memory/shared_memory.ts";
import { LOG, LogMemory } from "../../../storage/log/log_memory.ts";
import { directUnitHere } from "../../support/disks/direct_io.ts";
import { heldNow, through, turn, withHeld } from "../../support/held_transfers.ts";
import { isPrepared, recordOf, recordsOf } from "../../support/log/log_fixture.ts";
import { until, untilDead } from "../../support/patience.ts";
import { tempDir } from "../../support/temp.ts";
import { AttachedWorker } from "../../support/threads/attached.ts";

const SEGMENT_BYTES = 1024 * 1024;
/** The first one goes into the stage as a whole, of the second one only its last block. */
const [SHORT, LONG] = [recordOf(1, 1000), recordOf(2, 100_000)];
const OPTIONS = { arenaBytes: 4 * 1024 * 1024, maxBackends: 3 };
const isDirectHere = await directUnitHere() !== null;

for (const direct of [false, true]) {
  Deno.test({
    name: "held: nobody leads in a dead thread's place while its write is in flight" +
      (direct ? ", direct" : ""),
    ignore: direct && !isDirectHere,
    fn: () =>
      withHeld(async (fixture) => {
        const { aio, file, held } = fixture;
        const { arena, control, control: { words }, libc } = backendOf(aio);
        await using dir = await tempDir();
        const options = { segmentBytes: SEGMENT_BYTES, direct };
        const log = await through(fixture, aio.openLog(dir.join("log"), options));
        const begin = recordOf(0, 700);
        await through(fixture, log.append(begin));
        await through(fixture, until(() => isPrepared(aio, log), "the next segment is made"));
        await using _other = await AttachedWorker.start(aio, file);
        const leader = await AttachedWorker.start(aio, file);
        const [otherId, leaderId] = [1, 2];
        await leader.ask({ what: "beginAppendToLog", log: log.token, bytes: SHORT });
        const [write] = await heldNow(fixture, 1);
        assert(write!.startsWith("writev "), write);
        // A third thread is about to complete it.
        const [index] = held.held(aio) as [number];
        const base = control.handleAt(index);
        assert(tryClaim(words, base, otherId, words[base + HANDLE.generationLow]!));
        leader.terminate();
        const threadAt = control.backendAt(leaderId) + BACKEND.threadId;
        await untilDead(libc, words[threadAt]!);
        const appended = log.append(LONG);
        backendOf(aio).reapDead();
        await turn(fixture);
        const memory = new LogMemory(arena, { offset: log.token.offset, bytes: 0 });
        assertEquals(Atomics.load(memory.words, LOG.leader), leaderId + 1);
        assertEquals(held.held(aio), [index]);
        releaseClaim(words, base, otherId);
        backendOf(aio).reapDead();
        assertEquals(Atomics.load(words, threadAt), 0);
        await through(fixture, appended);
        await through(fixture, log.close());
        // It is read from its files: the ring has nothing of it.
        const again = await through(fixture, aio.openLog(dir.join("log"), options));
        const { records } = await through(fixture, recordsOf(again));
        assertEquals(records, [begin, SHORT, LONG]);
        await through(fixture, again.close());
      }, OPTIONS),
  });
}
