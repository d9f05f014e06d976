/**
 * claims_test.ts: completions in a ring of IO that a thread claimed and did not complete, because
 * it died: whoever takes them leaves the IO to the reaper of that thread.
 */

import { assertEquals } from "@std/assert";
import { backendOf } from "../../../core/inside.ts";
import { claimantOf, releaseClaim, tryClaimSubmitted } from "../../../core/memory/claim.ts";
import { openUring, replaceProperty, testEachForm } from "../../support/rings/uring.ts";
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
