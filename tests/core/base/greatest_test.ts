/**
 * greatest_test.ts: the greatest of numbers that come and go.
 *
 * @module
 */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { Greatest } from "../../../core/base/greatest.ts";
import { Prng } from "../../support/prng.ts";

const COUNT = 4096;

/** A number that counts how often it is compared. */
class Counted {
  static compared = 0;
  readonly #number: number;

  constructor(number: number) {
    this.#number = number;
  }

  valueOf(): number {
    Counted.compared++;
    return this.#number;
  }
}

/** Stands for a number. */
function counted(number: number): number {
  return Object(new Counted(number));
}

Deno.test("Greatest tells the greatest of those that are there", () => {
  const random = new Prng();
  const numbers = new Greatest();
  const model: number[] = [];
  assertEquals(numbers.greatest, undefined);
  for (let step = 0; step < 20_000; step++) {
    // Few at times, and then many.
    const grows = random.chance(Math.floor(step / 1000) % 2 === 0 ? 2 : 1, 3);
    if (grows || model.length === 0) {
      const number = random.below(step % 3 === 0 ? 20 : 2 ** 31);
      numbers.add(number);
      model.push(number);
    } else {
      const [number] = model.splice(random.below(model.length), 1);
      numbers.remove(number!);
    }
    assertEquals(numbers.size, model.length);
    assertEquals(numbers.greatest, model.length === 0 ? undefined : Math.max(...model));
  }
});

Deno.test("Greatest.remove() takes no number that is not there", () => {
  const numbers = new Greatest();
  numbers.add(1);
  assertThrows(() => numbers.remove(2), Error, "not there");
  assertEquals([numbers.size, numbers.greatest], [1, 1]);
});

for (const order of ["first", "last"] as const) {
  Deno.test(`Greatest compares few numbers, however many there are: the ${order} goes first`, () => {
    for (const sign of [1, -1]) {
      Counted.compared = 0;
      const numbers = new Greatest();
      const all = Array.from({ length: COUNT }, (_, i) => counted(sign * i));
      for (const number of all) numbers.add(number);
      for (const number of order === "first" ? all : all.toReversed()) numbers.remove(number);
      assertEquals(numbers.size, 0);
      // At each step of a heap two pairs.
      assert(Counted.compared < COUNT * Math.log2(COUNT) * 8, `${Counted.compared}`);
    }
  });
}

Deno.test("Greatest compares few numbers that come and go beneath one that stays", () => {
  const numbers = new Greatest();
  numbers.add(COUNT);
  Counted.compared = 0;
  for (let i = 0; i < COUNT; i++) {
    const number = counted(i);
    numbers.add(number);
    numbers.remove(number);
  }
  assertEquals([numbers.size, numbers.greatest], [1, COUNT]);
  assert(Counted.compared < COUNT * 16, `${Counted.compared}`);
});
