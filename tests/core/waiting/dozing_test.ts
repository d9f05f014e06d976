/**
 * dozing_test.ts: one doze of all Aios of a thread, and when the turns of one Aio may end in one.
 */

import { assertEquals } from "@std/assert";
import { DozeTurns, dozing, type Sleeper } from "../../../core/waiting/doze.ts";
import { TURNS_TO_LOOK } from "../../../core/waiting/event_loop.ts";
import { POLLFD_WORDS, POLLIN } from "../../../ffi/layout.ts";
import { closeLibc, openLibc } from "../../../ffi/libc.ts";
import { replace } from "../../support/bells/bells.ts";

const isLinux = Deno.build.os === "linux";

// --- DozeTurns itself ---

/** How many sleeps are to come without a doze. */
function countUndozed(turns: DozeTurns): number {
  let count = 0;
  while (turns.isToSleep()) count++;
  return count;
}

Deno.test("DozeTurns: where the event loop ends doze after doze, ever more sleeps come without one", () => {
  const turns = new DozeTurns();
  assertEquals(countUndozed(turns), 0);
  const counts = Array.from({ length: 6 }, () => {
    turns.noticeEnd("eventLoop");
    return countUndozed(turns);
  });
  assertEquals(counts, [1, 3, 7, 15, 15, 15]);
});

Deno.test("DozeTurns: after a doze that something else ended, none does", () => {
  for (const end of ["news", "time"] as const) {
    const turns = new DozeTurns();
    turns.noticeEnd("eventLoop");
    turns.noticeEnd("eventLoop");
    turns.noticeEnd(end);
    assertEquals(countUndozed(turns), 0);
    turns.noticeEnd("eventLoop");
    assertEquals(countUndozed(turns), 1);
  }
});

Deno.test("DozeTurns: of a doze after a sleep, the event loop's end may be that sleep's own", () => {
  const turns = new DozeTurns();
  turns.noticeSleep();
  assertEquals([turns.noticeEnd("eventLoop"), countUndozed(turns)], [false, 0]);
  let owed = 0;
  for (turns.begin(0); !turns.isIdle(0); owed++) turns.begin(0);
  assertEquals(owed, TURNS_TO_LOOK);
  // It was something else's if the next doze ends so as well.
  assertEquals([turns.noticeEnd("eventLoop"), countUndozed(turns)], [true, 1]);
  turns.noticeSleep();
  assertEquals([turns.noticeEnd("eventLoop"), countUndozed(turns)], [true, 3]);
});

// --- Dozing itself ---

/** A sleeper that waits for nothing. */
class Still implements Sleeper {
  isUp = true;

  constructor(readonly hasNews: boolean) {}

  lieDown(pollfds: Int32Array, at: number): boolean {
    this.isUp = false;
    for (let i = 0; i < 2; i++) {
      pollfds[at + i * POLLFD_WORDS.size + POLLFD_WORDS.fd] = -1;
      pollfds[at + i * POLLFD_WORDS.size + POLLFD_WORDS.events] = POLLIN;
    }
    return !this.hasNews;
  }

  getUp(): void {
    this.isUp = true;
  }
}

Deno.test({
  name: "Dozing does not doze where one of many has news, and has all get up",
  ignore: !isLinux,
  fn() {
    const libc = openLibc();
    try {
      const many = Array.from({ length: 40 }, (_, i) => new Still(i === 30));
      let polls = 0;
      using _ppoll = replace(libc, "ppoll", () => ++polls && 0);
      for (const one of many) dozing.add(one);
      assertEquals(dozing.doze(libc, 0.1), "news");
      assertEquals([polls, many.every(({ isUp }) => isUp)], [0, true]);
      dozing.delete(many[30]!);
      assertEquals(dozing.doze(libc, 0.1), "time");
      assertEquals([polls, many.every(({ isUp }) => isUp)], [1, true]);
      for (const one of many) dozing.delete(one);
    } finally {
      closeLibc(libc);
    }
  },
});
