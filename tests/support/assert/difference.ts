/**
 * difference.ts: how assertions compare values, and how they say what differs.
 *
 * @module
 */

import { AssertionError as NodeAssertionError, deepStrictEqual } from "node:assert/strict";
import { isDeepStrictEqual } from "node:util";

/** What an assertion throws when it does not hold. */
export class AssertionError extends Error {
  /** @param message what did not hold; @param options a cause */
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "AssertionError";
  }
}

/** Every typed array, over an `ArrayBuffer` or a `SharedArrayBuffer`. */
type TypedArray = ArrayBufferView & ArrayLike<number | bigint>;

/** From this many elements on, a message shows the index of a difference and not a diff. */
const DIFF_ELEMENTS_MAX = 64;
/**
 * From this many characters on, a message has no diff of Node's: its time grows with the square.
 */
const DIFF_CHARACTERS_MAX = 20_000;

/** Fails an assertion, with what the test says about it. */
export function throwFailure(text: string, msg: string | undefined): never {
  throw new AssertionError(msg ? `${text}: ${msg}` : `${text}.`);
}

/** A value as messages show it. */
export function shown(value: unknown): string {
  return Deno.inspect(value, {
    depth: 8,
    iterableLimit: 100,
    strAbbreviateSize: 2_000,
    sorted: true,
  });
}

function isTypedArray(value: unknown): value is TypedArray {
  return ArrayBuffer.isView(value) && !(value instanceof DataView);
}

/** Deep equality; at the top 0 equals -0, as in the standard library. */
export function isEqual(actual: unknown, expected: unknown): boolean {
  if (typeof actual === "number" && typeof expected === "number" && actual === expected) {
    return true;
  }
  return isDeepStrictEqual(actual, expected);
}

function describeTypedArrays(actual: TypedArray, expected: TypedArray): string {
  const name = (array: TypedArray) => `${array.constructor.name}(${array.length})`;
  const common = Math.min(actual.length, expected.length);
  let first = -1;
  let count = 0;
  for (let i = 0; i < common; i++) {
    if (Object.is(actual[i], expected[i])) continue;
    if (first < 0) first = i;
    count++;
  }
  const head = `Values are not equal: ${name(actual)} and ${name(expected)}`;
  if (first < 0) return `${head}, the same in the first ${common} elements`;
  const around = (array: TypedArray) =>
    `[${
      Array.from({ length: Math.min(8, common - first) }, (_, i) => array[first + i]).join(", ")
    }]`;
  return `${head} differ first at index ${first}, in ${count} of ${common} elements: ` +
    `actual ${around(actual)}, expected ${around(expected)} from there on`;
}

/** Where two values differ. */
export function describeDifference(actual: unknown, expected: unknown): string {
  if (
    isTypedArray(actual) && isTypedArray(expected) &&
    Math.max(actual.length, expected.length) > DIFF_ELEMENTS_MAX
  ) {
    return describeTypedArrays(actual, expected);
  }
  const [actualText, expectedText] = [shown(actual), shown(expected)];
  const isAbbreviated = /\d more (items?|characters?)/.test(actualText + expectedText);
  if (!isAbbreviated && actualText.length + expectedText.length <= DIFF_CHARACTERS_MAX) {
    try {
      deepStrictEqual(actual, expected);
    } catch (error) {
      if (error instanceof NodeAssertionError) {
        return `Values are not equal.\n${error.message.trimEnd()}`;
      }
      throw error;
    }
  }
  return `Values are not equal.\nactual:   ${actualText}\nexpected: ${expectedText}`;
}
