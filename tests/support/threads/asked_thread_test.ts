/**
 * asked_thread_test.ts: a Worker that dies by an error fails the test that waits for its answer.
 *
 * @module
 */

import { assertEquals, assertRejects } from "@std/assert";
import { AskedThread } from "./asked_thread.ts";

/** Answers with the question, unless that is "die". */
const PROGRAM = `self.onmessage = ({ data: { id, ask } }) => {
  const error = new Error("its end, as planned");
  error.stack = "";
  if (ask === "die") throw error;
  self.postMessage({ id, value: ask });
};`;

Deno.test("AskedThread.ask() rejects when an error ends the Worker, and from then on", async () => {
  const module = new URL(`data:text/javascript,${encodeURIComponent(PROGRAM)}`);
  const thread = new AskedThread<string>(module);
  assertEquals(await thread.ask("hello"), "hello");
  await assertRejects(() => thread.ask("die"), Error, "its end, as planned");
  await assertRejects(() => thread.ask("hello"), Error, "its end, as planned");
  thread.terminate();
});
