/**
 * files_test.ts: files that a ring knows by number: how many IOs it takes until then, that a read
 * is always of the file that its descriptor names, and that closing the file makes all rings forget
 * it.
 */

import { assertEquals } from "@std/assert";
import { backendOf } from "../../../core/inside.ts";
import { BACKEND, FILE, HEADER } from "../../../core/memory/shared_memory.ts";
import { DEFAULT_TUNING } from "../../../methods/io_uring/tuning.ts";
import { FEATURE_RW_ATTR } from "../../../ffi/uring_layout.ts";
import { SLOT } from "../../../methods/io_uring/memory.ts";
import type { RingForm } from "../../../methods/io_uring/setup.ts";
import type { Aio, AioFile } from "../../../mod.ts";
import { FILE_BYTES, fileContent, type Fixture } from "../../support/core.ts";
import { tempDir } from "../../support/temp.ts";
import {
  openUring,
  Pipe,
  replaceCalls,
  slotWord,
  testEachForm,
} from "../../support/rings/uring.ts";
import { UringWorker } from "../../support/rings/uring_attached.ts";

const ENOUGH = DEFAULT_TUNING.fileUsesMin + 1;
const READ_BYTES = 64;

/** The numbers of the files that a ring knows, as the kernel has it. */
function knownFiles(fixture: Fixture, backendId = 0): number[] {
  const fd = slotWord(fixture, backendId, SLOT.fd);
  const info = Deno.readTextFileSync(`/proc/self/fdinfo/${fd}`);
  const [, list = ""] = /^UserFiles:\t\d+\n((?: *\d+: .*\n)*)/m.exec(info) ?? [];
  return [...list.matchAll(/^ *(\d+): (?!<none>)/gm)].map(([, number]) => Number(number));
}

function testFiles(name: string, fn: (fixture: Fixture, form: RingForm) => Promise<void>): void {
  testEachForm(
    name,
    async (form) => {
      await using fixture = await openUring(form);
      await fn(fixture, form);
    },
    FEATURE_RW_ATTR,
  );
}

async function readOften(aio: Aio, file: AioFile, count = ENOUGH): Promise<void> {
  const view = aio.alloc(READ_BYTES);
  for (let i = 0; i < count; i++) {
    assertEquals(await file.readAt(view, i), READ_BYTES);
    assertEquals(new Uint8Array(view), fileContent(i, READ_BYTES));
  }
  aio.free(view);
}

function numberOf({ token }: AioFile): number {
  return token.slot;
}

testFiles("a ring knows a file by number once that was used often", async (fixture) => {
  const { aio, file } = fixture;
  await readOften(aio, file, ENOUGH - 1);
  assertEquals(knownFiles(fixture), []);
  await readOften(aio, file, 1);
  assertEquals(knownFiles(fixture), [numberOf(file)]);
  await readOften(aio, file);
});

testFiles("closing a file has its ring forget it", async (fixture) => {
  const { aio } = fixture;
  await using dir = await tempDir();
  await Deno.writeFile(dir.join("one"), fileContent(0, FILE_BYTES));
  for (const close of ["close", "closeSync"] as const) {
    const file = await aio.openFile(dir.join("one"));
    const at = backendOf(aio).control.fileAt(numberOf(file)) + FILE.rings;
    await readOften(aio, file);
    assertEquals([knownFiles(fixture), backendOf(aio).control.words[at]], [[numberOf(file)], 1]);
    await file[close]();
    assertEquals([knownFiles(fixture), backendOf(aio).control.words[at]], [[], 0]);
  }
});

testFiles("the next file with the same number is the one that is read", async (fixture) => {
  const { aio } = fixture;
  await using dir = await tempDir();
  const numbers = new Set<number>();
  const view = aio.alloc(READ_BYTES);
  for (let turn = 1; turn <= 4; turn++) {
    const bytes = new Uint8Array(READ_BYTES).fill(turn);
    await Deno.writeFile(dir.join(`${turn}`), bytes);
    // Otherwise a slot is used again only after all others.
    const { words } = backendOf(aio).control;
    words[HEADER.filesNext] = 1;
    await using file = await aio.openFile(dir.join(`${turn}`));
    numbers.add(numberOf(file));
    for (let i = 0; i < 2 * ENOUGH; i++) {
      await file.readAt(view, 0);
      assertEquals(new Uint8Array(view), bytes);
    }
  }
  assertEquals(numbers.size, 1);
});

testFiles(
  "whoever closes a file last has the rings of all threads forget it",
  async (fixture, form) => {
    const { aio } = fixture;
    await using dir = await tempDir();
    await Deno.writeFile(dir.join("one"), fileContent(0, FILE_BYTES));
    await using worker = await UringWorker.start(fixture, form);
    const file = await aio.openFile(dir.join("one"));
    await readOften(aio, file);
    await worker.readFile(file, ENOUGH);
    const both = [knownFiles(fixture), knownFiles(fixture, worker.id)];
    const number = numberOf(file);
    assertEquals(both, [[number], [number]]);
    await file.close();
    // The other thread still uses it.
    assertEquals(knownFiles(fixture), [number]);
    await worker.closeFile();
    assertEquals([knownFiles(fixture), knownFiles(fixture, worker.id)], [[], []]);
  },
);

testFiles(
  "the file of a thread that died is forgotten by the ring that it left",
  async (fixture, form) => {
    const { aio } = fixture;
    await using dir = await tempDir();
    await Deno.writeFile(dir.join("one"), fileContent(0, FILE_BYTES));
    const worker = await UringWorker.start(fixture, form);
    const file = await aio.openFile(dir.join("one"));
    await worker.readFile(file, ENOUGH);
    assertEquals(knownFiles(fixture, worker.id), [numberOf(file)]);
    await file.close();
    worker.end("terminate");
    await worker.untilDead();
    backendOf(aio).reapDead();
    const { control } = backendOf(aio);
    assertEquals(control.words[control.backendAt(worker.id) + BACKEND.threadId], 0);
    assertEquals([knownFiles(fixture, worker.id), backendOf(aio).files.count], [[], 1]);
  },
);

testFiles("closingFd() has the rings forget the file, too", async (fixture) => {
  const { aio, file } = fixture;
  await readOften(aio, file);
  aio.closingFd(file.fd);
  assertEquals(knownFiles(fixture), []);
});

testFiles(
  "an IO with the target of one file and the descriptor of another reads that one",
  async (fixture) => {
    const { aio, file } = fixture;
    await readOften(aio, file);
    using pipe = await Pipe.open();
    pipe.write();
    const view = aio.alloc(READ_BYTES);
    const handle = aio.acquire();
    const ref = handle.waitRef();
    handle.setIovec(view);
    const { slot, generation } = file.token;
    handle.setTarget(aio.targetId("file"), [slot, generation]);
    handle.startReadv(pipe.fd, 0);
    aio.waitSync(ref);
    assertEquals(new Uint8Array(view), new Uint8Array(READ_BYTES).fill(7));
  },
);

testFiles("a ring that cannot learn of a file reads it by its descriptor", async (fixture) => {
  const { aio, file } = fixture;
  let refused = 0;
  using _calls = replaceCalls(() => ({
    register() {
      refused++;
      return -12;
    },
  }));
  await readOften(aio, file, 2 * ENOUGH);
  assertEquals([refused, knownFiles(fixture)], [1, []]);
});
