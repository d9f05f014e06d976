/**
 * durable_on_server_test.ts: a durable direct write on a server's file system is flushed. The
 * kernel forgets that on SMB, 9p and AFS, and may on others. So it does on FUSE, whose server may
 * be a program of this machine that has a disk.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { backendOf } from "../../../core/inside.ts";
import { LOCAL_MAGICS, OTHER_MAGICS } from "../../../ffi/layout.ts";
import type { OpenFileOptions } from "../../../storage/mod.ts";
import { directUnitHere } from "../../support/disks/direct_io.ts";
import { withFileSystem } from "../../support/disks/said_of_files.ts";
import { POINT } from "../../support/flush_failures.ts";
import { testSharedAios } from "../../support/methods.ts";
import { tempDir } from "../../support/temp.ts";

const BYTES = 4096;
const DISK_MAJOR = 8;
const isPossible = await directUnitHere() !== null;
const DIRECT: OpenFileOptions = { read: true, write: true, create: true, direct: "required" };
const WAYS = [
  { name: "by `durable`", options: DIRECT, durable: true },
  { name: "to a file opened with `dsync`", options: { ...DIRECT, dsync: true }, durable: false },
] as const;
/** What such a write is on each file system. */
const OPERATIONS = {
  smb2: [OTHER_MAGICS.smb2, 0, ["writev", "fdatasync"]],
  nfs: [OTHER_MAGICS.nfs, 0, ["writev", "fdatasync"]],
  "fuse of a disk": [OTHER_MAGICS.fuse, DISK_MAJOR, ["writev", "fdatasync"]],
  btrfs: [LOCAL_MAGICS.btrfs, 0, ["writev"]],
  ext4: [OTHER_MAGICS.ext4, DISK_MAJOR, ["writev"]],
} as const;

for (const { name, options, durable } of WAYS) {
  for (const [type, [magic, deviceMajor, operations]] of Object.entries(OPERATIONS)) {
    testSharedAios(`a durable direct write ${name} on ${type} is ${operations}`, async (aio) => {
      await using dir = await tempDir();
      using _type = withFileSystem(backendOf(aio).libc, magic, deviceMajor);
      await using file = await aio.openFile(dir.join("file"), options);
      const memory = aio.alloc(BYTES);
      const seen: string[] = [];
      aio.attachInjectionPoint(POINT, ({ operation }) => {
        seen.push(operation);
        return undefined;
      });
      await file.writeAt(memory, 0, { durable });
      file.writeAtSync(memory, 0, { durable });
      aio.detachInjectionPoint(POINT);
      assertEquals(seen, [...operations, ...operations]);
      aio.free(memory);
    }, { isPossible });
  }
}
