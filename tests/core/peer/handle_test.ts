/**
 * handle_test.ts: the peer's test_handle, all eleven rows: handles that are acquired, not started.
 *
 * A statement, and so an implicit transaction, is `aio.withOwner()`. An explicit transaction is a
 * `ResourceOwner` that statements are below: COMMIT is its `release()`, ROLLBACK that with
 * `onError`. A savepoint is an owner between the two.
 */

import { assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { AioApiError } from "../../../core/base/errors.ts";
import { backendOf } from "../../../core/inside.ts";
import type { AioHandle } from "../../../core/io/handle.ts";
import { ResourceOwner } from "../../../core/life/resource_owner.ts";
import type { Fixture } from "../../support/core.ts";
import { testSharedCores } from "../../support/core_methods.ts";

const LEAKED = "leaked AIO handle";

/** The error that a statement raises on command. */
class CommandedError extends Error {
  constructor() {
    super("as you command");
  }
}

/** handle_get() as a statement of a transaction: the handle is the statement's. */
function getInStatement({ aio }: Fixture, transaction: ResourceOwner): AioHandle {
  using statement = new ResourceOwner(aio, transaction);
  return aio.acquire(statement);
}

/** handle_get_and_error() as a statement of a transaction, which it aborts. */
function getAndRaise({ aio }: Fixture, transaction: ResourceOwner): CommandedError {
  const statement = new ResourceOwner(aio, transaction);
  const error = assertThrows(() => {
    aio.acquire(statement);
    throw new CommandedError();
  }, CommandedError);
  aio.errorCleanup();
  statement.release({ onError: true });
  return error;
}

/** handle_get_release(), the row after each error: `ok`, without any message. */
function assertGetReleaseWorks(fixture: Fixture): void {
  const { aio } = fixture;
  assertEquals(backendOf(aio).hasHandedOut, false);
  const said = fixture.warnings.length;
  const value = aio.withOwner((owner) => {
    aio.acquire(owner).release();
    return "ok";
  });
  assertEquals([value, fixture.warnings.length], ["ok", said]);
  assertEquals(backendOf(aio).idleCount, aio.options.maxConcurrency);
}

testSharedCores("get in an implicit transaction leaks, with a warning", (fixture) => {
  const { aio } = fixture;
  aio.withOwner((owner) => aio.acquire(owner));
  assertEquals(fixture.messages(), [LEAKED]);
  assertGetReleaseWorks(fixture);
});

testSharedCores("get in an explicit transaction, then COMMIT, warns once", (fixture) => {
  const transaction = new ResourceOwner(fixture.aio);
  getInStatement(fixture, transaction);
  assertEquals(fixture.messages(), [LEAKED]);
  transaction.release();
  assertEquals(fixture.messages(), [LEAKED]);
  assertGetReleaseWorks(fixture);
});

testSharedCores("get, then ROLLBACK: the statement's end has warned already", (fixture) => {
  const transaction = new ResourceOwner(fixture.aio);
  getInStatement(fixture, transaction);
  assertEquals(fixture.messages(), [LEAKED]);
  transaction.release({ onError: true });
  assertEquals(fixture.messages(), [LEAKED]);
  assertGetReleaseWorks(fixture);
});

testSharedCores("get inside a savepoint, then COMMIT, warns once", (fixture) => {
  const transaction = new ResourceOwner(fixture.aio);
  const savepoint = new ResourceOwner(fixture.aio, transaction);
  getInStatement(fixture, savepoint);
  assertEquals(fixture.messages(), [LEAKED]);
  transaction.release();
  assertEquals(fixture.messages(), [LEAKED]);
  assertGetReleaseWorks(fixture);
});

testSharedCores("get, then release in another command: a warning and an error", (fixture) => {
  const { aio } = fixture;
  const last = aio.withOwner((owner) => aio.acquire(owner));
  assertEquals(fixture.messages(), [LEAKED]);
  const error = assertThrows(() => aio.withOwner(() => last.release()), AioApiError);
  assertEquals(error.message, "release in unexpected state");
  assertEquals(fixture.messages(), [LEAKED]);
  assertGetReleaseWorks(fixture);
});

testSharedCores("get and release in one command is silent", (fixture) => {
  const { aio } = fixture;
  const transaction = new ResourceOwner(aio);
  const statement = new ResourceOwner(aio, transaction);
  const last = aio.acquire(statement);
  assertEquals(statement.handleCount, 1);
  last.release();
  assertEquals(statement.handleCount, 0);
  statement.release();
  transaction.release();
  assertEquals(fixture.messages(), []);
  assertGetReleaseWorks(fixture);
});

testSharedCores("get_release is silent", (fixture) => {
  assertGetReleaseWorks(fixture);
  assertEquals(fixture.messages(), []);
});

testSharedCores("get twice is refused, and the handle is taken back", (fixture) => {
  const { aio } = fixture;
  const getTwice = () =>
    aio.withOwner((owner) => {
      aio.acquire(owner);
      aio.acquire(owner);
    });
  const error = assertThrows(getTwice, AioApiError);
  assertEquals(error.message, "API violation: Only one IO can be handed out");
  assertEquals(fixture.messages(), []);
  assertGetReleaseWorks(fixture);
});

testSharedCores("get and raise, implicit transaction: get_release works after", (fixture) => {
  const { aio } = fixture;
  const raised = new CommandedError();
  const getAndThrow = () =>
    aio.withOwner((owner) => {
      aio.acquire(owner);
      throw raised;
    });
  assertStrictEquals(assertThrows(getAndThrow), raised);
  assertEquals(fixture.messages(), []);
  assertGetReleaseWorks(fixture);
});

testSharedCores("get and raise, then ROLLBACK: get_release works after", (fixture) => {
  const transaction = new ResourceOwner(fixture.aio);
  assertEquals(getAndRaise(fixture, transaction).message, "as you command");
  transaction.release({ onError: true });
  assertEquals(fixture.messages(), []);
  assertGetReleaseWorks(fixture);
});

testSharedCores("get and raise, then ROLLBACK TO: get_release works after", (fixture) => {
  const { aio } = fixture;
  const transaction = new ResourceOwner(aio);
  const savepoint = new ResourceOwner(aio, transaction);
  assertEquals(getAndRaise(fixture, savepoint).message, "as you command");
  savepoint.release({ onError: true });
  // Within the same transaction, which goes on.
  using statement = new ResourceOwner(aio, transaction);
  aio.acquire(statement).release();
  assertEquals(fixture.messages(), []);
  transaction.release();
  assertGetReleaseWorks(fixture);
});
