/**
 * direct_tried_test.ts: openFile() tries direct I/O, as the system accepts the flag also where
 * there is none. The alignment is never less than a block, as the system serves smaller transfers
 * from the page cache.
 *
 * @module
 */

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { closeLibc, openLibc } from "../../../ffi/libc.ts";
import { type DirectRequest, directSteps } from "../../../core/files/direct_io.ts";
import type { FileStat } from "../../../core/files/file_stat.ts";
import { FILE_FLAGS } from "../../../core/files/file_table.ts";
import { runStepsSync } from "../../../core/base/steps.ts";
import type { Aio, AioFile, OpenFileOptions } from "../../../storage/mod.ts";
import { testSharedAios } from "../../support/methods.ts";
import { shareAmongTests } from "../../support/shared.ts";
import {
  btrfsAvailable,
  mountBtrfs,
  mountOverlay,
  overlayAvailable,
} from "../../support/disks/mounted.ts";
import { countDescriptorsOf } from "../../support/program.ts";
import { contentAt } from "../../support/prng.ts";

const SEED = 11;
const FILES = { full: contentAt(SEED, 0, 70_000), short: contentAt(SEED, 0, 100), empty: "" };
const REMEDY = 'pass direct: "optional" to go through the page cache then';

function contents(): Record<string, Uint8Array> {
  const { full, short } = FILES;
  return { full, short, empty: new Uint8Array() };
}

const overlay = shareAmongTests(() => mountOverlay(contents()), overlayAvailable());
const overlayOnRamfs = shareAmongTests(() => mountOverlay({}, "ramfs"), overlayAvailable());
const btrfs = shareAmongTests(mountBtrfs, btrfsAvailable());

type Open = (path: string, options: OpenFileOptions) => AioFile | Promise<AioFile>;

/** Both ways to open a file. */
function waysOf(aio: Aio): Open[] {
  return [
    (path, options) => aio.openFile(path, options),
    (path, options) => aio.openFileSync(path, options),
  ];
}

/** Whether a descriptor has `O_DIRECT`. */
async function hasFlag(file: AioFile): Promise<boolean> {
  const info = await Deno.readTextFile(`/proc/self/fdinfo/${file.fd}`);
  const flags = parseInt(/flags:\s*([0-7]+)/.exec(info)?.[1] ?? "", 8);
  return (flags & (Deno.build.arch === "aarch64" ? 0o200000 : 0o40000)) !== 0;
}

for (const name of ["full", "short", "empty"] as const) {
  testSharedAios(
    `direct "optional" is buffered on an overlay without direct I/O, for a file that is ${name}`,
    async (aio) => {
      const disk = overlay();
      const content = contents()[name]!;
      for (const open of waysOf(aio)) {
        const file = await open(disk.join(name), { direct: "optional" });
        assertEquals([file.direct, await hasFlag(file)], [false, false]);
        const buffer = new Uint8Array(80_000);
        assertEquals(await file.readAt(buffer, 0), content.byteLength);
        assertEquals(buffer.subarray(0, content.byteLength), content);
        assertEquals(file.readAtSync(buffer, 50), Math.max(0, content.byteLength - 50));
        await file.close();
      }
    },
    { isPossible: overlayAvailable() },
  );

  testSharedAios(
    `direct "required" is refused on an overlay without direct I/O, for a file that is ${name}`,
    async (aio) => {
      const disk = overlay();
      const path = disk.join(name);
      const options = { direct: "required" } as const;
      const message = `Cannot open ${JSON.stringify(path)} for direct I/O as its file system has ` +
        `none; ${REMEDY}: Operation not supported (EOPNOTSUPP)`;
      const error = await assertRejects(
        () => aio.openFile(path, options),
        Deno.errors.NotSupported,
      );
      assertEquals(error.message, message);
      const thrown = assertThrows(
        () => aio.openFileSync(path, options),
        Deno.errors.NotSupported,
      );
      assertEquals(thrown.message, message);
      assertEquals(countDescriptorsOf(path), 0);
    },
    { isPossible: overlayAvailable() },
  );
}

testSharedAios(
  "direct is tried on a file that is opened for writing only, too",
  async (aio, method) => {
    const disk = overlayOnRamfs();
    for (const [i, open] of waysOf(aio).entries()) {
      const path = disk.join(`new_${method}_${i}`);
      const options = { write: true, create: true } as const;
      const file = await open(path, { ...options, direct: "optional" });
      assertEquals([file.direct, await hasFlag(file)], [false, false]);
      await file.writeAt(new Uint8Array(10).fill(7), 3);
      await file.close();
      assertEquals((await Deno.readFile(path)).at(-1), 7);
      const refused = async () => await open(path, { ...options, direct: "required" });
      await assertRejects(refused, Deno.errors.NotSupported, REMEDY);
    }
  },
  { isPossible: overlayAvailable() },
);

testSharedAios(
  "a direct file on btrfs has its block size as alignment, with data or without",
  async (aio) => {
    const disk = btrfs();
    const path = disk.join("file");
    const options = { read: true, write: true, create: true, direct: "required" } as const;
    for (const open of waysOf(aio)) {
      await Deno.writeFile(path, new Uint8Array());
      const empty = await open(path, options);
      assertEquals(empty.alignment, { memory: 4096, offset: 4096 });
      await empty.writeAt(new Uint8Array(8192), 0);
      await empty.close();
      const full = await open(path, options);
      assertEquals(full.alignment, { memory: 4096, offset: 4096 });
      await assertRejects(() => full.readAt(new Uint8Array(512), 512), RangeError, "4096");
      await full.close();
    }
  },
  { isPossible: btrfsAvailable() },
);

// --- what a file system may say ---

interface Answers {
  readonly read?: number;
  readonly seekEnd?: number;
  readonly isReadable?: boolean;
  readonly stat?: Partial<FileStat>;
}

/**
 * Sets the flag on /dev/null, which allows that, as if its file system answered as the test wants.
 */
function switchOn(
  answers: Answers,
  direct: "optional" | "required" = "optional",
): { alignment: { memory: number; offset: number } | null; asked: string[] } {
  const libc = openLibc();
  const asked: string[] = [];
  const answer = (name: string, value = 0) => {
    asked.push(name);
    return value;
  };
  try {
    const fake = {
      changeFlags: (_fd: number, added: number) => answer(added === 0 ? "clear" : "set"),
      addressOf: (view: Uint8Array) => libc.addressOf(view),
    };
    const calls = {
      read: () => answer("read", answers.read),
      seekEnd: () => answer("seekEnd", answers.seekEnd),
    };
    const request: DirectRequest = {
      path: "x",
      direct,
      directFlag: 1,
      fileFlags: answers.isReadable === false ? FILE_FLAGS.write : FILE_FLAGS.read,
    };
    const stat = { blockBytes: 4096, direct: null, ...answers.stat };
    const alignment = runStepsSync(directSteps(fake, calls, request, 0, stat));
    return { alignment, asked };
  } finally {
    closeLibc(libc);
  }
}

for (const [name, errno] of [["EINVAL", 22], ["EOPNOTSUPP", 95], ["ENOSYS", 38]] as const) {
  Deno.test(`directSteps() takes the flag away again after ${name}`, () => {
    const { alignment, asked } = switchOn({ read: -errno });
    assertEquals([alignment, asked], [null, ["set", "read", "clear"]]);
    const seen = switchOn({ seekEnd: -errno, isReadable: false });
    assertEquals([seen.alignment, seen.asked], [null, ["set", "seekEnd", "clear"]]);
    assertThrows(() => switchOn({ read: -errno }, "required"), Deno.errors.NotSupported, REMEDY);
  });
}

Deno.test("directSteps() does not take a device's error for a lack of direct I/O", () => {
  for (const errno of [5, 4, 11, 107]) {
    const { alignment, asked } = switchOn({ read: -errno }, "required");
    assertEquals([alignment?.offset, asked], [4096, ["set", "read"]]);
  }
});

Deno.test("directSteps() asks nothing of a file that has no direct I/O by its own word", () => {
  const { alignment, asked } = switchOn({ stat: { direct: { memory: 0, offset: 0 } } });
  assertEquals([alignment, asked], [null, []]);
});

Deno.test("directSteps() believes a reported alignment, whatever the block size", () => {
  const { alignment } = switchOn({
    stat: { direct: { memory: 4, offset: 512 }, blockBytes: 4096 },
  });
  assertEquals(alignment, { memory: 4, offset: 512 });
});

const BLOCKS = [
  [512, 512],
  [1024, 1024],
  [4096, 4096],
  [65_536, 65_536],
  // Preferred sizes of network file systems, huge pages of tmpfs, nonsense.
  [1024 * 1024, 4096],
  [2 * 1024 * 1024, 4096],
  [0, 4096],
  [1, 4096],
  [5000, 4096],
] as const;

Deno.test("directSteps() takes the block size where no alignment is reported", () => {
  for (const [blockBytes, unit] of BLOCKS) {
    const { alignment } = switchOn({ stat: { blockBytes } });
    assertEquals(alignment, { memory: unit, offset: unit }, `${blockBytes}`);
  }
  assert(BLOCKS.length > 0);
});
