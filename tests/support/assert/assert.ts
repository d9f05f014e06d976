/**
 * assert.ts: what the tests use of the standard library's assert module, with its names,
 * signatures and types, on top of Deno's built-in `node:assert/strict` and `node:util`.
 *
 * `deno.json` maps `@std/assert` to this file, so that the tests run where no registry but npm's
 * can be reached. Where JSR can be, the import map may point at the real one instead
 * (`"@std/assert": "jsr:@std/assert@1"`): no test needs a change. Three differences, by intent:
 *
 * - a long typed array that differs fails with the index of the first difference, at once, where
 *   a diff of millions of lines would take seconds;
 * - inside a structure `assertEquals` tells 0 from -0 and compares the contents of raw buffers;
 * - `assertObjectMatch` compares a `Date` or a typed array as a whole.
 *
 * @module
 */

import { AssertionError, describeDifference, isEqual, shown, throwFailure } from "./difference.ts";

export { AssertionError };

/** A class of errors, or any other class: `never[]` fits every list of parameters. */
type Constructor<T> = new (...args: never[]) => T;
type AnyConstructor = abstract new (...args: never[]) => unknown;
type InstanceOf<C extends AnyConstructor> = C extends abstract new (...args: never[]) => infer I ? I
  : never;
type Falsy = false | 0 | 0n | "" | null | undefined;

/** Asserts that a value is truthy. */
export function assert(expr: unknown, msg = ""): asserts expr {
  if (!expr) throw new AssertionError(msg);
}

/** Asserts that a value is falsy. */
export function assertFalse(expr: unknown, msg = ""): asserts expr is Falsy {
  if (expr) throw new AssertionError(msg);
}

/** Asserts deep equality. */
export function assertEquals<T>(
  actual: T,
  expected: T,
  msg?: string,
  options: { formatter?: (value: unknown) => string } = {},
): void {
  if (isEqual(actual, expected)) return;
  const { formatter } = options;
  throwFailure(
    formatter === undefined
      ? describeDifference(actual, expected)
      : `Values are not equal.\nactual:   ${formatter(actual)}\nexpected: ${formatter(expected)}`,
    msg,
  );
}

/** Asserts that two values are not deeply equal. */
export function assertNotEquals<T>(actual: T, expected: T, msg?: string): void {
  if (!isEqual(actual, expected)) return;
  throwFailure(`Expected actual: ${shown(actual)} not to be: ${shown(expected)}`, msg);
}

/** Asserts that two values are the same one (`Object.is`). */
export function assertStrictEquals<T>(
  actual: unknown,
  expected: T,
  msg?: string,
): asserts actual is T {
  if (Object.is(actual, expected)) return;
  const texts = [shown(actual), shown(expected)];
  throwFailure(
    texts[0] === texts[1]
      ? `Values have the same structure but are not reference-equal:\n${texts[0]}`
      : `Values are not strictly equal.\nactual:   ${texts[0]}\nexpected: ${texts[1]}`,
    msg,
  );
}

/** Asserts that two values are not the same one (`Object.is`). */
export function assertNotStrictEquals<T>(actual: T, expected: T, msg?: string): void {
  if (!Object.is(actual, expected)) return;
  throwFailure(`Expected "actual" to not be strictly equal to: ${shown(actual)}`, msg);
}

/** Asserts that a value is neither null nor undefined. */
export function assertExists<T>(actual: T, msg?: string): asserts actual is NonNullable<T> {
  if (actual !== undefined && actual !== null) return;
  throwFailure(`Expected actual: "${actual}" to not be null or undefined`, msg);
}

/** Asserts that a value was made by a class. */
export function assertInstanceOf<T extends AnyConstructor>(
  actual: unknown,
  expectedType: T,
  msg = "",
): asserts actual is InstanceOf<T> {
  if (actual instanceof expectedType) return;
  const was = typeof actual === "object" && actual !== null
    ? actual.constructor?.name ?? "Object"
    : String(actual === null ? null : typeof actual);
  throwFailure(
    `Expected object to be an instance of "${expectedType.name}" but was "${was}"`,
    msg,
  );
}

/** Asserts that a value was not made by a class. */
export function assertNotInstanceOf<A, T>(
  actual: A,
  unexpectedType: abstract new (...args: never[]) => T,
  msg?: string,
): asserts actual is Exclude<A, T> {
  if (!(actual instanceof unexpectedType)) return;
  throwFailure(`Expected object to not be an instance of "${unexpectedType.name}"`, msg);
}

/** Asserts that a text contains another. */
export function assertStringIncludes(actual: string, expected: string, msg?: string): void {
  if (actual.includes(expected)) return;
  throwFailure(`Expected actual: ${shown(actual)} to contain: ${shown(expected)}`, msg);
}

/** Whether a pattern matches, wherever a global one's last match ended. */
function matches(text: string, pattern: RegExp): boolean {
  pattern.lastIndex = 0;
  return pattern.test(text);
}

/** Asserts that a text matches a pattern. */
export function assertMatch(actual: string, expected: RegExp, msg?: string): void {
  if (matches(actual, expected)) return;
  throwFailure(`Expected actual: ${shown(actual)} to match: ${expected}`, msg);
}

/** Asserts that a text does not match a pattern. */
export function assertNotMatch(actual: string, expected: RegExp, msg?: string): void {
  if (!matches(actual, expected)) return;
  throwFailure(`Expected actual: ${shown(actual)} to not match: ${expected}`, msg);
}

/** Asserts that each of the expected values is, deeply equal, among the actual ones. */
export function assertArrayIncludes<T>(
  actual: ArrayLike<T>,
  expected: ArrayLike<T>,
  msg?: string,
): void {
  const present = Array.from(actual);
  const missing = Array.from(expected).filter((value) => !present.some((it) => isEqual(it, value)));
  if (missing.length === 0) return;
  throwFailure(`Expected actual: ${shown(actual)} to include, missing: ${shown(missing)}`, msg);
}

/** Asserts `actual > expected`. */
export function assertGreater<T>(actual: T, expected: T, msg?: string): void {
  if (actual > expected) return;
  throw new AssertionError(msg ?? `Expect ${shown(actual)} > ${shown(expected)}`);
}

/** Asserts `actual >= expected`. */
export function assertGreaterOrEqual<T>(actual: T, expected: T, msg?: string): void {
  if (actual >= expected) return;
  throw new AssertionError(msg ?? `Expect ${shown(actual)} >= ${shown(expected)}`);
}

/** Asserts `actual < expected`. */
export function assertLess<T>(actual: T, expected: T, msg?: string): void {
  if (actual < expected) return;
  throw new AssertionError(msg ?? `Expect ${shown(actual)} < ${shown(expected)}`);
}

/** Asserts `actual <= expected`. */
export function assertLessOrEqual<T>(actual: T, expected: T, msg?: string): void {
  if (actual <= expected) return;
  throw new AssertionError(msg ?? `Expect ${shown(actual)} <= ${shown(expected)}`);
}

/** Asserts that two numbers are nearly equal: by default to 1e-7 of the expected one. */
export function assertAlmostEquals(
  actual: number,
  expected: number,
  tolerance?: number,
  msg?: string,
): void {
  if (Object.is(actual, expected)) return;
  const allowed = tolerance ?? (Number.isFinite(expected) ? Math.abs(expected * 1e-7) : 1e-7);
  const delta = Math.abs(expected - actual);
  if (delta <= allowed) return;
  throwFailure(
    `Expected actual: ${actual} to be close to ${expected}: delta ${delta} is greater than ${allowed}`,
    msg,
  );
}

/** What is compared as a whole by {@linkcode assertObjectMatch}, and not key by key. */
function isWhole(value: unknown): boolean {
  return typeof value !== "object" || value === null || ArrayBuffer.isView(value) ||
    value instanceof Date || value instanceof RegExp || value instanceof URL ||
    value instanceof ArrayBuffer || value instanceof SharedArrayBuffer;
}

/** The path to the first value of `expected` that `actual` lacks, or undefined. */
function findMismatch(
  actual: unknown,
  expected: unknown,
  path: string,
  seen: Map<unknown, unknown>,
): string | undefined {
  if (isWhole(expected) || isWhole(actual)) return isEqual(actual, expected) ? undefined : path;
  if (seen.has(expected) && seen.get(expected) === actual) return undefined;
  seen.set(expected, actual);
  if (expected instanceof Set) {
    const isSubset = actual instanceof Set && [...expected].every((value) => actual.has(value));
    return isSubset ? undefined : path;
  }
  if (expected instanceof Map) {
    if (!(actual instanceof Map)) return path;
    for (const [key, value] of expected) {
      const keyPath = `${path}.get(${shown(key)})`;
      const found = actual.has(key) ? findMismatch(actual.get(key), value, keyPath, seen) : keyPath;
      if (found !== undefined) return found;
    }
    return undefined;
  }
  if (Array.isArray(expected) && !Array.isArray(actual)) return path;
  const [container, wanted] = [actual as object, expected as object];
  const keys: PropertyKey[] = Reflect.ownKeys(wanted).filter((key) =>
    Object.prototype.propertyIsEnumerable.call(wanted, key)
  );
  if (wanted instanceof Error) keys.push("name", "message");
  for (const key of keys) {
    const keyPath = `${path}[${shown(key)}]`;
    if (!(key in container)) return keyPath;
    const found = findMismatch(
      Reflect.get(container, key),
      Reflect.get(wanted, key),
      keyPath,
      seen,
    );
    if (found !== undefined) return found;
  }
  return undefined;
}

/** Asserts that an object has, deeply, at least what the expected one has. */
export function assertObjectMatch(
  actual: object,
  expected: Record<PropertyKey, unknown>,
  msg?: string,
): void {
  const mismatch = findMismatch(actual, expected, "actual", new Map());
  if (mismatch === undefined) return;
  throwFailure(
    `Object does not match at ${mismatch}.\nactual:   ${shown(actual)}\nexpected: ${
      shown(expected)
    }`,
    msg,
  );
}

/** Asserts that a value is an `Error`, of a class and with a message if these are given. */
export function assertIsError<E extends Error = Error>(
  error: unknown,
  ErrorClass?: Constructor<E>,
  msgMatches?: string | RegExp,
  msg?: string,
): asserts error is E {
  if (!(error instanceof Error)) {
    throwFailure(`Expected "error" to be an Error object but was ${shown(error)}`, msg);
  }
  if (ErrorClass !== undefined && !(error instanceof ErrorClass)) {
    throwFailure(
      `Expected error to be instance of "${ErrorClass.name}", but was "${error.constructor?.name}" ` +
        `(${error.message})`,
      msg,
    );
  }
  if (msgMatches === undefined) return;
  const holds = typeof msgMatches === "string"
    ? error.message.includes(msgMatches)
    : matches(error.message, msgMatches);
  if (holds) return;
  throwFailure(
    `Expected error message to include ${shown(msgMatches)}, but got ${shown(error.message)}`,
    msg,
  );
}

/** What a call of `assertThrows` or `assertRejects` checks, read from its overload. */
interface Expectation<E extends Error> {
  ErrorClass?: Constructor<E>;
  msgIncludes?: string;
  msg?: string;
}

function readExpectation<E extends Error>(
  args: readonly [(Constructor<E> | string)?, string?, string?],
): Expectation<E> {
  const [first, second, third] = args;
  if (typeof first === "string") return { msg: first };
  return {
    ...(first === undefined ? {} : { ErrorClass: first }),
    ...(second === undefined ? {} : { msgIncludes: second }),
    ...(third === undefined ? {} : { msg: third }),
  };
}

function checkThrown<E extends Error>(error: unknown, expectation: Expectation<E>): void {
  const { ErrorClass, msgIncludes, msg } = expectation;
  if (ErrorClass !== undefined || msgIncludes !== undefined) {
    assertIsError(error, ErrorClass, msgIncludes, msg);
  }
}

/** Asserts that a function throws; returns what it threw. */
export function assertThrows(fn: () => unknown, msg?: string): unknown;
/** Asserts that a function throws an error of a class, with a text in its message; returns it. */
export function assertThrows<E extends Error = Error>(
  fn: () => unknown,
  ErrorClass: Constructor<E>,
  msgIncludes?: string,
  msg?: string,
): E;
export function assertThrows<E extends Error = Error>(
  fn: () => unknown,
  ...args: [(Constructor<E> | string)?, string?, string?]
): unknown {
  const expectation = readExpectation(args);
  try {
    fn();
  } catch (error) {
    checkThrown(error, expectation);
    return error;
  }
  throwFailure("Expected function to throw", expectation.msg);
}

/** Asserts that a function returns a promise that rejects; resolves with the reason. */
export function assertRejects(fn: () => PromiseLike<unknown>, msg?: string): Promise<unknown>;
/**
 * Asserts that a function's promise rejects with an error of a class, with a text in its message.
 */
export function assertRejects<E extends Error = Error>(
  fn: () => PromiseLike<unknown>,
  ErrorClass: Constructor<E>,
  msgIncludes?: string,
  msg?: string,
): Promise<E>;
export async function assertRejects<E extends Error = Error>(
  fn: () => PromiseLike<unknown>,
  ...args: [(Constructor<E> | string)?, string?, string?]
): Promise<unknown> {
  const expectation = readExpectation(args);
  let promise: PromiseLike<unknown>;
  try {
    promise = fn();
  } catch (error) {
    const text = `Function throws when expected to reject (it threw ${shown(error)})`;
    throwFailure(text, expectation.msg);
  }
  if (typeof promise?.then !== "function") {
    throwFailure("Function returned no promise when expected to reject", expectation.msg);
  }
  try {
    await promise;
  } catch (error) {
    checkThrown(error, expectation);
    return error;
  }
  throwFailure("Expected function to reject", expectation.msg);
}

/** Fails. */
export function fail(msg?: string): never {
  throwFailure("Failed assertion", msg);
}

/** Fails, as a place was reached that should be out of reach. */
export function unreachable(reason?: string): never {
  throwFailure("Unreachable", reason);
}
