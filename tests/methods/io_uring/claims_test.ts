/**
 * claims_test.ts: completions in a ring of IO that a thread claimed and did not complete, because
 * it died: whoever takes them leaves the IO to the reaper of that thread.
 */

import { assertEquals } from "@std/assert";
import { backendOf } from "../../../core/inside.ts";
import { claimantOf, releaseClaim, tryClaimSubmitted } from "../../../core/memory/claim.ts";
import {
  cancelIn,
  openUring,
  Pipe,
  PIPE_BYTES,
  replaceProperty,
  ringOf,
  startRawRead,
  testEachForm,
} from "../../support/rings/uring.ts";
import { spinUntil } from "../../support/patience.ts";
import { shareUringThread, UringWorker } from "../../support/rings/uring_attached.ts";
import { fileContent, startRead } from "../../support/core.ts";

const startUringWorker = shareUringThread();
/** A slot that no thread has. */
const DEAD = 3;

testEachForm(
  "a completion of IO that another thread has claimed is left to that one",
  async (form) => {
    await using fixture = await openUring(form);
    await using worker = await startUringWorker(fixture, form);
    const backend = backendOf(fixture.aio);
    // This thread does not look at its ring.
    using _blind = replaceProperty("isReady", () => false);
    const { ref, view, offset } = startRead(fixture, 300);
    const handle = backend.handleOf(ref.index);
    const { words, base } = handle;
    assertEquals(tryClaimSubmitted(words, base, DEAD), true);
    // It takes whatever there is.
    await worker.ask({ what: "waitSync", ref: startRead(fixture).ref });
    assertEquals([handle.state, claimantOf(words, base)], ["submitted", DEAD]);
    // As its reaper does it.
    releaseClaim(words, base, DEAD);
    backend.processCompletion(handle, view.length);
    await fixture.aio.wait(ref);
    assertEquals(new Uint8Array(view), fileContent(offset, view.length));
  },
);

testEachForm(
  "a completion of an own IO that a dead thread has claimed is left to the reaper",
  async (form) => {
    await using fixture = await openUring(form);
    const { aio } = fixture;
    const backend = backendOf(aio);
    using pipe = await Pipe.open();
    using other = await Pipe.open();
    const reads = [pipe, other].map(({ fd }) => startRawRead(fixture, fd));
    const handles = reads.map(({ ref }) => backend.handleOf(ref.index));
    for (const { words, base } of handles) assertEquals(tryClaimSubmitted(words, base, DEAD), true);
    pipe.write();
    // As the kernel does by itself now and then.
    assertEquals(cancelIn(fixture, 0, reads[1]!.ref), 0);
    const ring = ringOf(fixture);
    spinUntil(() => ring.ready === 2);
    assertEquals(reads.map(({ ref }) => aio.checkDone(ref)), [false, false]);
    assertEquals([ring.ready, ring.inKernel], [0, 0]);
    assertEquals(handles.map(({ state }) => state), ["submitted", "submitted"]);
    // As the reaper does it.
    for (const handle of handles) backend.processCompletion(handle, PIPE_BYTES);
    for (const { ref, ret } of reads) {
      await aio.wait(ref);
      assertEquals(ret.result.result, PIPE_BYTES);
    }
  },
);

testEachForm(
  "a completion in a dead thread's ring of IO that another dead thread has claimed is left to the reaper",
  async (form) => {
    await using fixture = await openUring(form);
    const { aio } = fixture;
    const backend = backendOf(aio);
    await using worker = await UringWorker.start(fixture, form);
    await worker.ask({ what: "lookAway" });
    const view = aio.alloc(300);
    const ref = await worker.read(fixture.file.fd, view, 512);
    const { words, base } = backend.handleOf(ref.index);
    assertEquals(tryClaimSubmitted(words, base, DEAD), true);
    worker.end("selfClose");
    await worker.untilDead();
    backend.reapDead();
    await aio.wait(ref);
    assertEquals(view, fileContent(512, view.length));
    assertEquals(aio.backends().length, 1);
  },
);
