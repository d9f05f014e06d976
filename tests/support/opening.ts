/**
 * opening.ts: what opening a path needs of its backend, without a backend: for tests of opening.ts.
 *
 * @module
 */

import { Doorbells } from "../../core/waiting/doorbell.ts";
import { type FileCallForms, fileCalls } from "../../core/files/file_calls.ts";
import type { OpenedFile, OpeningHost } from "../../core/files/opening.ts";
import { effectiveOptions } from "../../core/base/options.ts";
import { createControl } from "../../core/memory/shared_memory.ts";
import { closeLibc, openLibc } from "../../ffi/libc.ts";

/** A host that a test can change. */
export type FakeHost = { -readonly [K in keyof OpeningHost]: OpeningHost[K] } & {
  /** Whether the Aio is open. */
  isOpen: boolean;
  /** Whether an open file is taken. */
  accepts: boolean;
};

/** All of it, until the end of its scope. */
export interface Fake extends Disposable {
  readonly host: FakeHost;
  readonly calls: FileCallForms;
  /** Takes an open file, unless the host is closed or does not accept any. */
  accept(opened: OpenedFile): OpenedFile;
}

/** Makes a host that is open. */
export function blockingHost(): Fake {
  const libc = openLibc();
  const control = createControl(effectiveOptions({ arenaBytes: 4096 }), 0);
  const doorbells = new Doorbells(control, libc, 0);
  const host: FakeHost = {
    libc,
    doorbells,
    isLasting: true,
    isOpen: true,
    accepts: true,
    checkOpen() {
      if (!host.isOpen) throw new Deno.errors.BadResource("aio was closed meanwhile");
    },
  };
  return {
    host,
    calls: fileCalls(host),
    accept(opened) {
      host.checkOpen(opened.entry.path);
      if (!host.accepts) throw new Deno.errors.Busy("as planned");
      return opened;
    },
    [Symbol.dispose]() {
      doorbells.close();
      closeLibc(libc);
    },
  };
}
