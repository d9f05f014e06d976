/** handle_data_test.ts: the numbers that an issuer leaves in a handle for its callbacks. */

import { assertEquals, assertThrows } from "@std/assert";
import { AioApiError } from "../../../core/base/errors.ts";
import { backendOf } from "../../../core/inside.ts";
import { wrong } from "../../support/core.ts";
import { testSharedCores } from "../../support/core_methods.ts";

testSharedCores("handle.setHandleData() keeps integers up to 2^53 - 1", (fixture) => {
  const handle = fixture.aio.acquire();
  const values = [0, 1, 2 ** 32 - 1, 2 ** 32, Number.MAX_SAFE_INTEGER];
  handle.setHandleData(values);
  assertEquals(handle.handleData(), values);
  handle.release();
});

testSharedCores("handle.setHandleData() keeps all 64 bits of a BigUint64Array", (fixture) => {
  const handle = fixture.aio.acquire();
  const values = BigUint64Array.of(0n, 2n ** 63n, 2n ** 64n - 1n);
  handle.setHandleData(values);
  assertEquals(handle.handleData64(), values);
  assertThrows(
    () => handle.handleData(),
    RangeError,
    `Cannot give handle data ${2n ** 63n} as a number: use handleData64()`,
  );
  handle.release();
});

testSharedCores("handle data is empty until it is set, and again after the use", (fixture) => {
  const first = fixture.aio.acquire();
  assertEquals(first.handleData(), []);
  first.setHandleData([5]);
  first.release();
  const second = fixture.aio.acquire();
  assertEquals(second.handleData(), []);
  second.release();
}, { options: { maxConcurrency: 1 } });

testSharedCores("handle.setHandleData() twice is refused", (fixture) => {
  const handle = fixture.aio.acquire();
  handle.setHandleData([1]);
  const error = assertThrows(() => handle.setHandleData([2]), AioApiError);
  assertEquals(error.message, `Cannot set the data of handle ${handle.index} twice`);
  assertEquals(handle.handleData(), [1]);
  handle.release();
});

for (const ioMaxCombineLimit of [1, 16, 128]) {
  testSharedCores(
    `handle data has 1 to ioMaxCombineLimit (${ioMaxCombineLimit}) entries`,
    (fixture) => {
      const handle = fixture.aio.acquire();
      for (const count of [0, ioMaxCombineLimit + 1]) {
        const error = assertThrows(
          () => handle.setHandleData(new Array(count).fill(1)),
          RangeError,
        );
        assertEquals(
          error.message,
          `Cannot set ${count} entries of handle data: 1 to ${ioMaxCombineLimit}`,
        );
      }
      const all = Array.from({ length: ioMaxCombineLimit }, (_, i) => i);
      handle.setHandleData(all);
      assertEquals(handle.handleData(), all);
      handle.release();
    },
    { options: { ioMaxCombineLimit } },
  );
}

for (const value of [-1, 0.5, NaN, Infinity, 2 ** 53]) {
  testSharedCores(`handle data ${value} is refused`, (fixture) => {
    const handle = fixture.aio.acquire();
    const error = assertThrows(() => handle.setHandleData([1, value]), RangeError);
    assertEquals(
      error.message,
      `Cannot set handle data ${value}: an integer from 0 to 2^53 - 1`,
    );
    assertEquals(handle.handleData(), []);
    handle.release();
  });
}

for (const value of ["5", "x", null, undefined, {}]) {
  testSharedCores(`handle data ${Deno.inspect(value)} is refused in our words`, (fixture) => {
    const handle = fixture.aio.acquire();
    assertThrows(
      () => handle.setHandleData(wrong<number[]>([value])),
      Error,
      "Cannot set handle data",
    );
    handle.release();
  });
}

testSharedCores("the data of two handles does not overlap at the greatest length", (fixture) => {
  const backend = backendOf(fixture.aio);
  const seen = new Map<number, bigint[]>();
  for (let index = 0; index < 3; index++) {
    const at = backend.control.handleDataAt(index) / 2;
    for (let i = 0; i < 4; i++) backend.control.longs[at + i] = BigInt(index * 10 + i);
    seen.set(index, [0, 1, 2, 3].map((i) => BigInt(index * 10 + i)));
  }
  for (const [index, values] of seen) {
    const at = backend.control.handleDataAt(index) / 2;
    assertEquals([...backend.control.longs.subarray(at, at + 4)], values);
  }
}, { options: { ioMaxCombineLimit: 4, maxConcurrency: 3 } });
