/**
 * opening_test.ts: an opening that is refused leaves the file as it was, whatever refuses it and
 * however late, and removes what it made.
 *
 * @module
 */

import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { blockingHost, type FakeHost } from "../../support/opening.ts";
import type { FileCalls } from "../../../core/files/file_calls.ts";
import { type OpenFileOptions, openRequest } from "../../../core/files/open_request.ts";
import { type OpenedFile, openingSteps } from "../../../core/files/opening.ts";
import { runSteps, runStepsSync } from "../../../core/base/steps.ts";
import { openDescriptors } from "../../support/program.ts";
import { type TempDir, tempDir } from "../../support/temp.ts";

const CONTENT = "twelve years of data\n";

/** Ways to open that change or make the file, and whether it exists before. */
const WAYS: readonly (readonly [string, OpenFileOptions, boolean])[] = [
  ["truncate", { write: true, truncate: true }, true],
  ["create", { write: true, create: true }, false],
  ["create with truncate", { write: true, create: true, truncate: true }, true],
  ["createNew", { write: true, createNew: true }, false],
];

/** Makes the host or one of the calls refuse the opening late. */
type Refusal = (host: FakeHost, calls: FileCalls, path: string) => void;

const REFUSALS: readonly (readonly [string, Refusal])[] = [
  ["no descriptor for the duplicate", (host) => {
    host.isLasting = false;
    host.libc = Object.create(host.libc, { duplicate: { value: () => -24 } });
  }],
  ["an Aio that is closed after the opening", (host, calls) => {
    const { stat } = calls;
    calls.stat = (fd, path) => {
      host.isOpen = false;
      return stat(fd, path);
    };
  }],
  ["a failing stat", (_host, calls) => {
    const { stat } = calls;
    let isFirst = true;
    calls.stat = (fd, path) => {
      if (!isFirst) return stat(fd, path);
      isFirst = false;
      throw new Error("as planned");
    };
  }],
  ["whoever takes the file", (host) => host.accepts = false],
];

for (const [why, refuse] of REFUSALS) {
  for (const [way, options, isThere] of WAYS) {
    for (const form of ["awaited", "blocking"] as const) {
      Deno.test(`opening (${form}) with ${way}, refused by ${why}, changes nothing`, async () => {
        await using dir = await tempDir();
        const path = dir.join("file");
        if (isThere) await Deno.writeTextFile(path, CONTENT);
        using fake = blockingHost();
        const calls: FileCalls = { ...fake.calls[form] };
        fake.host.doorbells.tryOpen();
        const before = openDescriptors().size;
        refuse(fake.host, calls, path);
        const steps = () => openingSteps(fake.host, calls, openRequest(path, options), fake.accept);
        if (form === "awaited") await assertRejects(() => runSteps(steps()));
        else assertThrows(() => runStepsSync(steps()));
        assertEquals(await contentOf(path), isThere ? CONTENT : null);
        assertEquals(openDescriptors().size, before);
      });
    }
  }
}

async function contentOf(path: string): Promise<string | null> {
  try {
    return await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}

/** Opens with `create`, and refuses it when it is open. */
async function refuseLate(path: string, meanwhile: () => void): Promise<void> {
  using fake = blockingHost();
  const accept = (): OpenedFile => {
    meanwhile();
    throw new Deno.errors.Busy("as planned");
  };
  const request = openRequest(path, { write: true, create: true });
  await assertRejects(
    () => runSteps(openingSteps(fake.host, fake.calls.awaited, request, accept)),
    Deno.errors.Busy,
  );
}

function testInDir(name: string, use: (dir: TempDir) => void | Promise<void>): void {
  Deno.test(name, async () => {
    await using dir = await tempDir();
    await use(dir);
  });
}

testInDir(
  "a refused opening does not remove another file that has the name by then",
  async (dir) => {
    const path = dir.join("file");
    await Deno.writeTextFile(dir.join("other"), CONTENT);
    await refuseLate(path, () => Deno.renameSync(dir.join("other"), path));
    assertEquals(await contentOf(path), CONTENT);
  },
);

testInDir(
  "a refused opening removes what it made behind a link, and leaves the link",
  async (dir) => {
    await Deno.mkdir(dir.join("folder"));
    await Deno.symlink("folder/target", dir.join("link"));
    await Deno.symlink(dir.join("link"), dir.join("link to it"));
    await refuseLate(dir.join("link to it"), () => {});
    assertEquals([...Deno.readDirSync(dir.join("folder"))], []);
    assertEquals(await Deno.readLink(dir.join("link")), "folder/target");
  },
);

testInDir("opening with create makes the file that a link leads to", async (dir) => {
  await Deno.symlink("target", dir.join("link"));
  using fake = blockingHost();
  const request = openRequest(dir.join("link"), { write: true, create: true });
  const opened = await runSteps(
    openingSteps(fake.host, fake.calls.awaited, request, fake.accept),
  );
  await fake.calls.awaited.closeDenos(opened.denosFd, opened.entry.flags);
  assertEquals(await contentOf(dir.join("target")), "");
});

testInDir("opening with create gets along with whoever makes and removes the file", (dir) => {
  const path = dir.join("file");
  using fake = blockingHost();
  const calls: FileCalls = { ...fake.calls.blocking };
  const { open } = calls;
  let opens = 0;
  // The file exists whenever the opening makes it, and is gone when the opening looks for it.
  calls.open = (name, flags, mode) => {
    if (opens++ % 2 === 0) Deno.removeSync(path);
    else Deno.writeTextFileSync(path, CONTENT);
    return open(name, flags, mode);
  };
  Deno.writeTextFileSync(path, CONTENT);
  const request = openRequest(path, { write: true, create: true });
  const opened = runStepsSync(openingSteps(fake.host, calls, request, fake.accept));
  fake.calls.blocking.closeDenos(opened.denosFd, opened.entry.flags);
  assertEquals([opens, opened.isToBeCut], [21, false]);
});
