/**
 * assert_test.ts: each assertion of `assert.ts` holds where it must and fails where it must. The
 * file judges with plain `throw`, as the assertions are what is on trial.
 *
 * @module
 */

import * as a from "./assert.ts";

/** Runs what must fail; throws if it does not, or with anything but an AssertionError. */
function mustFail(fn: () => unknown, ...texts: string[]): void {
  let thrown: unknown;
  try {
    fn();
  } catch (error) {
    thrown = error;
  }
  judgeFailure(thrown, texts);
}

/** The same for what returns a promise. */
async function mustReject(fn: () => Promise<unknown>, ...texts: string[]): Promise<void> {
  judgeFailure(await fn().then(() => undefined, (error: unknown) => error), texts);
}

function judgeFailure(thrown: unknown, texts: readonly string[]): void {
  if (thrown === undefined) throw new Error("The assertion held where it must fail");
  if (!(thrown instanceof a.AssertionError)) {
    throw new Error("The assertion failed with another error", { cause: thrown });
  }
  for (const text of texts) {
    if (!thrown.message.includes(text)) {
      throw new Error(`The message lacks ${JSON.stringify(text)}: ${thrown.message}`);
    }
  }
}

function same(actual: unknown, expected: unknown): void {
  if (!Object.is(actual, expected)) throw new Error(`Got ${actual}, expected ${expected}`);
}

function sharedBytes(...values: number[]): Uint8Array<SharedArrayBuffer> {
  const view = new Uint8Array(new SharedArrayBuffer(values.length));
  view.set(values);
  return view;
}

Deno.test("AssertionError carries name, message and cause", () => {
  const error = new a.AssertionError("text", { cause: 1 });
  same(error.name, "AssertionError");
  same(error.message, "text");
  same(error.cause, 1);
  same(error instanceof Error, true);
});

Deno.test("assert() and assertFalse() judge truthiness", () => {
  for (const value of [true, 1, "a", {}, 1n]) {
    a.assert(value);
    mustFail(() => a.assertFalse(value, "why"), "why");
  }
  for (const value of [false, 0, "", null, undefined, 0n, NaN]) {
    a.assertFalse(value);
    mustFail(() => a.assert(value, "why"), "why");
  }
});

class Point {
  constructor(readonly x: number) {}
}

const EQUAL: readonly (readonly [unknown, unknown])[] = [
  [1, 1],
  [NaN, NaN],
  [0, -0],
  [10n, 10n],
  [null, null],
  [{ a: [1, { b: 2 }] }, { a: [1, { b: 2 }] }],
  [{ a: 1, b: 2 }, { b: 2, a: 1 }],
  [new Uint8Array([1, 2]), new Uint8Array([1, 2])],
  [sharedBytes(1, 2), sharedBytes(1, 2)],
  [sharedBytes(1, 2), new Uint8Array([1, 2])],
  [sharedBytes(0, 1, 2, 0).subarray(1, 3), new Uint8Array([9, 1, 2]).subarray(1)],
  [new BigUint64Array([5n]), new BigUint64Array([5n])],
  [new Map([[1, { a: 1 }]]), new Map([[1, { a: 1 }]])],
  [new Set([[1]]), new Set([[1]])],
  [new Date(5), new Date(5)],
  [/a/g, /a/g],
  [new URL("file:///a"), new URL("file:///a")],
  [new Point(1), new Point(1)],
  [new RangeError("a"), new RangeError("a")],
];

const UNEQUAL: readonly (readonly [unknown, unknown])[] = [
  [1, 2],
  [1, "1"],
  [1, 1n],
  [null, undefined],
  [{ a: undefined }, {}],
  [{ a: undefined }, { b: undefined }],
  [{ a: 1 }, { a: 1, b: 2 }],
  [[1, 2], [1, 2, 3]],
  [[1, 2], { 0: 1, 1: 2 }],
  [new Uint8Array([1, 2]), new Uint8Array([1, 3])],
  [new Uint8Array([1, 2]), new Uint8Array([1, 2, 3])],
  [new Uint8Array([1, 2]), [1, 2]],
  [new Uint8Array([1]), new Int8Array([1])],
  [sharedBytes(1, 2), sharedBytes(1, 3)],
  [sharedBytes(1, 2), new Uint8Array([1, 3])],
  [sharedBytes(1, 2).buffer, sharedBytes(1, 3).buffer],
  [new Uint8Array([1]).buffer, new Uint8Array([2]).buffer],
  [new DataView(new ArrayBuffer(1)), new DataView(new Uint8Array([2]).buffer)],
  [{ deep: { view: sharedBytes(1) } }, { deep: { view: sharedBytes(2) } }],
  [new BigUint64Array([5n]), new BigUint64Array([2n ** 40n + 5n])],
  [new Map([[1, { a: 1 }]]), new Map([[1, { a: 2 }]])],
  [new Set([[1]]), new Set([[2]])],
  [new Date(5), new Date(6)],
  [/a/g, /a/],
  [new URL("file:///a"), new URL("file:///b")],
  [new Point(1), { x: 1 }],
  [new Point(1), new Point(2)],
  [new Error("a"), new Error("b")],
  [new RangeError("a"), new TypeError("a")],
];

Deno.test("assertEquals() and assertNotEquals() compare deeply", () => {
  for (const [actual, expected] of EQUAL) {
    a.assertEquals(actual, expected);
    mustFail(() => a.assertNotEquals(actual, expected, "why"), "why");
  }
  for (const [actual, expected] of UNEQUAL) {
    a.assertNotEquals(actual, expected);
    mustFail(() => a.assertEquals(actual, expected, "why"), "not equal", "why");
    mustFail(() => a.assertEquals(expected, actual));
  }
});

Deno.test("assertEquals() finds a difference of the last byte of large views, and tells that alone", () => {
  const size = 4 * 1024 * 1024;
  for (const actual of [new Uint8Array(size), new Uint8Array(new SharedArrayBuffer(size))]) {
    const expected = new Uint8Array(size);
    a.assertEquals<Uint8Array>(actual, expected);
    actual[size - 1] = 7;
    mustFail(() => a.assertEquals<Uint8Array>(actual, expected), `index ${size - 1}`, "in 1 of");
    mustFail(() => a.assertEquals({ actual }, { actual: expected } as object));
    mustFail(() => a.assertEquals(expected, expected.subarray(1)), "the same in the first");
  }
});

Deno.test("assertEquals() shows values through a given formatter", () => {
  mustFail(() => a.assertEquals(1, 2, "why", { formatter: (it) => `<${it}>` }), "<1>", "<2>");
});

Deno.test("assertStrictEquals() and assertNotStrictEquals() judge identity", () => {
  const object = { a: 1 };
  a.assertStrictEquals(object, object);
  a.assertStrictEquals(NaN, NaN);
  a.assertNotStrictEquals(object, { a: 1 });
  a.assertNotStrictEquals(0, -0);
  mustFail(() => a.assertStrictEquals(object, { a: 1 }), "not reference-equal");
  mustFail(() => a.assertStrictEquals(0, -0));
  mustFail(() => a.assertStrictEquals<unknown>(1, "1", "why"), "why");
  mustFail(() => a.assertNotStrictEquals(object, object, "why"), "why");
});

Deno.test("assertExists() refuses null and undefined only", () => {
  for (const value of [0, "", false, NaN, {}]) a.assertExists(value);
  for (const value of [null, undefined]) mustFail(() => a.assertExists(value, "why"), "why");
});

Deno.test("assertInstanceOf() and assertNotInstanceOf() judge the class", () => {
  const value: unknown = new RangeError("a");
  a.assertInstanceOf(value, Error);
  value.message satisfies string;
  a.assertInstanceOf(sharedBytes(1), Uint8Array);
  a.assertNotInstanceOf(value, TypeError);
  mustFail(() => a.assertInstanceOf(value, TypeError, "why"), '"TypeError"', '"RangeError"', "why");
  mustFail(() => a.assertInstanceOf(null, Error), '"null"');
  mustFail(() => a.assertInstanceOf("text", String), '"string"');
  mustFail(() => a.assertInstanceOf(Error, Error), '"function"');
  mustFail(() => a.assertNotInstanceOf(value, Error, "why"), "why");
});

Deno.test("assertStringIncludes(), assertMatch() and assertNotMatch() judge texts", () => {
  a.assertStringIncludes("abc", "b");
  mustFail(() => a.assertStringIncludes("abc", "B", "why"), "why");
  const pattern = /b/g; // A global pattern keeps where it stopped: the same answer twice.
  for (let turn = 0; turn < 2; turn++) {
    a.assertMatch("ab", pattern);
    mustFail(() => a.assertNotMatch("ab", pattern, "why"), "why");
  }
  a.assertNotMatch("ac", pattern);
  mustFail(() => a.assertMatch("ac", pattern, "why"), "why");
});

Deno.test("assertArrayIncludes() looks for each value deeply", () => {
  a.assertArrayIncludes([{ a: 1 }, { a: 2 }], [{ a: 2 }]);
  a.assertArrayIncludes(sharedBytes(1, 2, 3), sharedBytes(3, 1));
  a.assertArrayIncludes([1], []);
  mustFail(() => a.assertArrayIncludes([{ a: 1 }], [{ a: 1 }, { a: 2 }], "why"), "a: 2", "why");
  mustFail(() => a.assertArrayIncludes([] as number[], [1]));
});

Deno.test("assertGreater() and its kin order numbers, bigints and texts", () => {
  const pairs: readonly (readonly [unknown, unknown])[] = [[2, 1], [2n, 1n], ["b", "a"]];
  for (const [high, low] of pairs) {
    a.assertGreater(high, low);
    a.assertGreaterOrEqual(high, low);
    a.assertGreaterOrEqual(high, high);
    a.assertLess(low, high);
    a.assertLessOrEqual(low, high);
    a.assertLessOrEqual(low, low);
    mustFail(() => a.assertGreater(low, high, "why"), "why");
    mustFail(() => a.assertGreater(high, high), ">");
    mustFail(() => a.assertGreaterOrEqual(low, high, "why"), "why");
    mustFail(() => a.assertLess(high, low, "why"), "why");
    mustFail(() => a.assertLess(low, low), "<");
    mustFail(() => a.assertLessOrEqual(high, low, "why"), "why");
  }
  mustFail(() => a.assertGreaterOrEqual(NaN, 1));
  mustFail(() => a.assertLessOrEqual(NaN, 1));
});

Deno.test("assertAlmostEquals() allows the tolerance and no more", () => {
  a.assertAlmostEquals(0.1 + 0.2, 0.3);
  a.assertAlmostEquals(0.01, 0.02, 0.1);
  a.assertAlmostEquals(Infinity, Infinity);
  mustFail(() => a.assertAlmostEquals(1, 1.001));
  mustFail(() => a.assertAlmostEquals(1, 2, 0.5, "why"), "why");
  mustFail(() => a.assertAlmostEquals(NaN, 1));
});

Deno.test("assertObjectMatch() wants what is expected and lets the rest be", () => {
  const cyclic: Record<string, unknown> = { a: 1 };
  cyclic.self = cyclic;
  const actual = {
    a: 1,
    b: { c: 2, d: 3 },
    list: [{ e: 1, f: 2 }],
    map: new Map([["k", { g: 1, h: 2 }]]),
    set: new Set([1, 2]),
    view: sharedBytes(1, 2),
    date: new Date(1),
    point: new Point(4),
    error: new RangeError("bad"),
    cyclic,
  };
  a.assertObjectMatch(actual, { a: 1, b: { c: 2 }, list: [{ e: 1 }], point: { x: 4 } });
  a.assertObjectMatch(actual, { map: new Map([["k", { g: 1 }]]), set: new Set([1]), cyclic });
  a.assertObjectMatch(actual, { view: new Uint8Array([1, 2]), date: new Date(1) });
  a.assertObjectMatch(actual, { error: new RangeError("bad") });
  a.assertObjectMatch(actual, {});
  const wrong: readonly Record<string, unknown>[] = [
    { a: 2 },
    { missing: undefined },
    { b: { c: 3 } },
    { b: { x: 1 } },
    { b: null },
    { list: [{ e: 2 }] },
    { list: [{ e: 1 }, { e: 2 }] },
    { a: { deep: 1 } },
    { map: new Map([["k", { g: 2 }]]) },
    { map: new Map([["other", { g: 1 }]]) },
    { set: new Set([3]) },
    { view: new Uint8Array([1, 3]) },
    { date: new Date(2) },
    { point: { x: 5 } },
    { error: new RangeError("worse") },
  ];
  for (const expected of wrong) {
    mustFail(() => a.assertObjectMatch(actual, expected, "why"), "does not match at", "why");
  }
});

Deno.test("assertIsError() judges class and message", () => {
  const error: unknown = new RangeError("out of range");
  a.assertIsError(error);
  a.assertIsError(error, RangeError, "of");
  a.assertIsError(error, Error, /^out/);
  mustFail(() => a.assertIsError("text"), "Error object");
  mustFail(() => a.assertIsError(error, TypeError), '"TypeError"', '"RangeError"');
  mustFail(() => a.assertIsError(error, RangeError, "in range", "why"), "in range", "why");
  mustFail(() => a.assertIsError(error, RangeError, /^of/));
});

Deno.test("assertThrows() returns the error and judges class and message", () => {
  const error = new RangeError("out of range");
  const thrower = () => {
    throw error;
  };
  same(a.assertThrows(thrower), error);
  same(a.assertThrows(thrower, "why"), error);
  same(a.assertThrows(thrower, RangeError, "range"), error);
  a.assertThrows(thrower, RangeError).message satisfies string;
  a.assertThrows(() => Deno.statSync("/does/not/exist"), Deno.errors.NotFound);
  mustFail(() => a.assertThrows(() => 1), "to throw");
  mustFail(() => a.assertThrows(() => 1, RangeError, "range", "why"), "why");
  mustFail(() => a.assertThrows(() => 1, "why"), "why");
  mustFail(() => a.assertThrows(thrower, TypeError), '"TypeError"');
  mustFail(() => a.assertThrows(thrower, RangeError, "absent", "why"), "absent", "why");
  mustFail(() => a.assertThrows(throwsText, Error), "Error object");
  same(a.assertThrows(throwsText), "text");
});

function throwsText(): never {
  const text: unknown = "text";
  throw text;
}

Deno.test("assertRejects() resolves with the error and judges class and message", async () => {
  const error = new RangeError("out of range");
  const rejecter = () => Promise.reject(error);
  same(await a.assertRejects(rejecter), error);
  same(await a.assertRejects(rejecter, RangeError, "range"), error);
  (await a.assertRejects(rejecter, RangeError)).message satisfies string;
  await mustReject(() => a.assertRejects(() => Promise.resolve(1)), "to reject");
  await mustReject(() => a.assertRejects(() => Promise.resolve(1), "why"), "why");
  await mustReject(() => a.assertRejects(() => Promise.resolve(1), Error, "x", "why"), "why");
  await mustReject(() => a.assertRejects(rejecter, TypeError), '"TypeError"');
  await mustReject(() => a.assertRejects(rejecter, RangeError, "absent"), "absent");
  await mustReject(() => a.assertRejects(throwsText), "throws when expected to reject");
  const noPromise = (() => 1) as () => never;
  await mustReject(() => a.assertRejects(noPromise), "no promise");
});

Deno.test("fail() and unreachable() always fail", () => {
  mustFail(() => a.fail("why"), "why");
  mustFail(() => a.fail());
  mustFail(() => a.unreachable("why"), "why");
  mustFail(() => a.unreachable());
});
