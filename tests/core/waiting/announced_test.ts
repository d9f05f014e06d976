/**
 * announced_test.ts: a word that only moves while somebody waits moves for whoever has announced
 * that, also if another thread is just waking those that did so before.
 */

import { assertNotEquals } from "@std/assert";
import type { Doorbells } from "../../../core/waiting/doorbell.ts";
import { announceWait, tellIfAwaited, type WaitWord } from "../../../core/waiting/words.ts";
import { replace } from "../../support/bells/bells.ts";

/** What of bells it takes to wake nobody. */
const BELLS: Pick<Doorbells, "ringAll" | "isOwnIn" | "ringSelf"> = {
  ringAll: () => {},
  isOwnIn: () => false,
  ringSelf: () => {},
};
const [WAITER, OTHER] = [1, 2];

function newWord(): WaitWord {
  return { words: new Int32Array(new SharedArrayBuffer(8)), index: 0, waiters: 1 };
}

function tell(word: WaitWord): void {
  tellIfAwaited(BELLS as Doorbells, word);
}

Deno.test("tellIfAwaited() loses nobody who announces a wait while it wakes others", () => {
  const word = newWord();
  announceWait(word, OTHER);
  let seen = -1;
  {
    const { exchange } = Atomics;
    using _exchange = replace(
      Atomics,
      "exchange",
      ((words: Int32Array, at: number, value: number) => {
        // The look that follows finds what this tells; the wait is for something else.
        seen = announceWait(word, WAITER);
        return exchange(words, at, value);
      }) as never,
    );
    tell(word);
  }
  tell(word);
  assertNotEquals(Atomics.load(word.words, word.index), seen, "the wait never ends");
});

Deno.test("announceWait() loses nothing though it is told of something in the middle", () => {
  const word = newWord();
  let seen = -1;
  {
    const { or } = Atomics;
    using _or = replace(
      Atomics,
      "or",
      ((words: Int32Array, at: number, value: number) => {
        const before = or(words, at, value);
        tell(word);
        return before;
      }) as never,
    );
    seen = announceWait(word, WAITER);
  }
  tell(word);
  assertNotEquals(Atomics.load(word.words, word.index), seen, "the wait never ends");
});
