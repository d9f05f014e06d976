/** position_test.ts: numbers in shared memory that are whole whenever somebody looks. */

import { assertEquals } from "@std/assert";
import {
  POSITION_WORDS,
  positionAt,
  preparePosition,
  quietPosition,
  setPosition,
} from "../../../core/memory/position.ts";

const AT = 3;
const POSITIONS = [0, 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 32 + 5, Number.MAX_SAFE_INTEGER, 7];

function words(): Int32Array<SharedArrayBuffer> {
  return new Int32Array(new SharedArrayBuffer((AT + POSITION_WORDS + 1) * 4)).fill(-1);
}

for (const [name, write] of Object.entries({ setPosition, preparePosition })) {
  Deno.test(`${name}() writes what both ways of reading find, and no other word`, () => {
    const shared = words();
    shared.fill(0, AT, AT + POSITION_WORDS);
    for (const position of POSITIONS) {
      write(shared, AT, position);
      assertEquals([positionAt(shared, AT), quietPosition(shared, AT)], [position, position]);
    }
    assertEquals([shared[AT - 1], shared[AT + POSITION_WORDS]], [-1, -1]);
  });
}

Deno.test("preparePosition() leaves the old or the new one after every store", () => {
  const shared = words();
  shared.fill(0, AT, AT + POSITION_WORDS);
  setPosition(shared, AT, 2 ** 40 + 1);
  const seen: number[] = [];
  const watched = new Proxy(shared, {
    get: (target, key) => Reflect.get(target, key),
    set(target, key, value) {
      const isSet = Reflect.set(target, key, value);
      seen.push(positionAt(target, AT));
      return isSet;
    },
  });
  preparePosition(watched, AT, 5);
  assertEquals(seen, [2 ** 40 + 1, 2 ** 40 + 1, 5]);
});

/** Both halves of what it writes are the same. */
const UNIT = 2 ** 32 + 1;

/** A Worker that writes one position after another, until the first word says that it is over. */
const WRITER = `
  import { setPosition } from ${
  JSON.stringify(new URL("../../../core/memory/position.ts", import.meta.url))
};
  self.onmessage = ({ data }) => {
    for (let i = 0; Atomics.load(data, 0) === 0; i = (i + 1) % 1_000_000) {
      setPosition(data, ${AT}, i * ${UNIT});
    }
    self.postMessage("done");
  };
  self.postMessage("ready");
`;

Deno.test("positionAt() finds only what was written while another thread writes", async () => {
  const shared = words();
  shared.fill(0);
  const url = `data:text/javascript,${encodeURIComponent(WRITER)}`;
  const worker = new Worker(url, { type: "module" });
  const message = () => new Promise((resolve) => worker.onmessage = resolve);
  await message();
  const done = message();
  worker.postMessage(shared);
  while (positionAt(shared, AT) === 0);
  const torn: number[] = [];
  for (let i = 0; i < 200_000; i++) {
    const position = positionAt(shared, AT);
    if (position % UNIT !== 0) torn.push(position);
  }
  Atomics.store(shared, 0, 1);
  await done;
  worker.terminate();
  assertEquals(torn, []);
});
