/** log_buffers_test.ts: records whose buffers change before they are in the log. */

import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import type { Log } from "../../../mod.ts";
import { recordOf, recordsOf, SEGMENT_BYTES, testLog } from "../../support/log/log_fixture.ts";

/** A record of so many bytes is larger than the buffer. */
const LARGE_BYTES = 900_000;
const LARGE = { segmentBytes: 16 * SEGMENT_BYTES };
const REFUSAL = "as its buffer changed its size, or was transferred";

/** A record whose memory can be changed. */
function changeable(bytes: number): Uint8Array<ArrayBuffer> {
  const view = new Uint8Array(new ArrayBuffer(bytes, { maxByteLength: 2 * bytes }));
  view.set(recordOf(1, bytes));
  return view;
}

/** Nothing of a record that was refused is in the log, and it goes on. */
async function checkGoesOn(log: Log, before: Uint8Array[] = []): Promise<void> {
  const record = recordOf(2, 100);
  await log.append(record);
  assertEquals((await recordsOf(log)).records, [...before, record]);
}

/** Changes a buffer after the call that got it. */
const CHANGES: Record<string, (view: Uint8Array<ArrayBuffer>) => void> = {
  "was transferred": ({ buffer }) => void buffer.transfer(),
  "became smaller": ({ buffer }) => buffer.resize(8),
  "became larger": ({ buffer }) => buffer.resize(buffer.maxByteLength),
};

testLog("no call takes a record whose buffer was transferred", async ({ log }) => {
  const gone = changeable(100);
  gone.buffer.transfer();
  assertThrows(() => log.write(gone), TypeError, REFUSAL);
  assertThrows(() => log.appendSync(gone), TypeError, REFUSAL);
  await assertRejects(() => log.append(gone), TypeError, REFUSAL);
  // A part of a buffer that became smaller has no bytes either.
  const part = new Uint8Array(changeable(100).buffer, 50, 50);
  part.buffer.resize(60);
  assertThrows(() => log.write(part), TypeError, REFUSAL);
  await assertRejects(() => log.append([recordOf(1, 50), gone]), TypeError, REFUSAL);
  log.write(new Uint8Array());
  await checkGoesOn(log, [recordOf(1, 50), new Uint8Array()]);
});

for (const [what, change] of Object.entries(CHANGES)) {
  testLog(`append() of a large record whose buffer ${what} is refused alone`, async (fixture) => {
    const { log, open } = fixture;
    const record = changeable(LARGE_BYTES);
    const inserted = log.append(record);
    change(record);
    await assertRejects(() => inserted, TypeError, REFUSAL);
    await checkGoesOn(log);
    await log.close();
    await using again = await open();
    await checkGoesOn(again, [recordOf(2, 100)]);
  }, LARGE);

  testLog(
    `append() of a record that waits and whose buffer ${what} is refused alone`,
    async (it) => {
      const { log } = it;
      const large = recordOf(3, LARGE_BYTES);
      const record = changeable(100);
      const all = [large, record].map((one) => log.append(one));
      change(record);
      await assertRejects(() => all[1]!, TypeError, REFUSAL);
      await all[0];
      await checkGoesOn(log, [large]);
    },
    LARGE,
  );
}
