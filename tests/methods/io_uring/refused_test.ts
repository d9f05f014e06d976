/**
 * refused_test.ts: machines that refuse io_uring, for real: each in a process of its own, which
 * goes on with another method and says why.
 */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { availableMethods } from "../../../methods/registry.ts";
import { dirname } from "@std/path";
import { liburingCandidates } from "../../../ffi/liburing.ts";
import { existsSync } from "node:fs";
import { LIBC } from "../../support/libc.ts";
import { canHideFiles, hidingFiles } from "../../support/disks/namespace.ts";
import { refusingCalls, URING_CALLS } from "../../support/seccomp.ts";
import { METHODS_URL, runProgram } from "../../support/program.ts";

const isLinux = Deno.build.os === "linux" && Deno.build.arch === "x86_64";
const isRoot = isLinux && Deno.uid() === 0;
const ignore = availableMethods().find(({ name }) => name === "io_uring")?.ok !== true;

/** Where liburing is on this machine, if it is. */
const INSTALLED = liburingCandidates().find((path) => existsSync(path));
const LIBURING = INSTALLED ?? "/nowhere/liburing.so.2";
const REMEDY =
  'apt-get install liburing2 (2.3 or later), or leave out the option "libraries.liburing"';

const REPORT = `
  const { availableMethods } = await import(${JSON.stringify(METHODS_URL)});
  await using aio = await Aio.open({ arenaBytes: 65536 });
  const path = await Deno.makeTempFile();
  await Deno.writeTextFile(path, "goes on");
  await using file = await aio.openFile(path);
  const buffer = new Uint8Array(7);
  await file.readAt(buffer, 0);
  const reason = availableMethods().find(({ name }) => name === "io_uring").reason;
  console.log(JSON.stringify({
    method: aio.method, methodReason: aio.methodReason, reason, read: new TextDecoder().decode(buffer),
  }));
  await Deno.remove(path);
`;

interface Report {
  readonly method: string;
  readonly methodReason: string;
  readonly reason: string;
  readonly read: string;
}

async function reportOf(
  source: string,
  options: Parameters<typeof runProgram>[1] = {},
): Promise<Report> {
  const { code, stdout, stderr } = await runProgram(`${source}\n${REPORT}`, options);
  assertEquals([code, stderr], [0, ""]);
  const report: Report = JSON.parse(stdout);
  assert(report.method !== "io_uring");
  assertStringIncludes(report.methodReason, report.reason);
  assertEquals(report.read, "goes on");
  return report;
}

for (const [name, errno] of [["EPERM", 1], ["ENOSYS", 38]] as const) {
  Deno.test({
    name: `io_uring: a seccomp filter that answers ${name} is named, and another method taken`,
    ignore: ignore || !isLinux,
    async fn() {
      const { reason } = await reportOf(refusingCalls(URING_CALLS, errno));
      assertStringIncludes(reason, `io_uring is refused (${name}) by a seccomp filter`);
      assertStringIncludes(reason, "allow io_uring_setup, io_uring_enter and io_uring_register");
    },
  });
}

Deno.test({
  name: "io_uring: without a descriptor left its reason is EMFILE",
  ignore,
  async fn() {
    // The libraries stay open meanwhile: to load one takes a descriptor, too.
    const source = `
      await using aio = await Aio.open({ method: "io_uring", arenaBytes: 65536 });
      const { availableMethods } = await import(${JSON.stringify(METHODS_URL)});
      const open = [];
      try { for (;;) open.push(Deno.openSync("/dev/null")); } catch {}
      const { reason } = availableMethods().find(({ name }) => name === "io_uring");
      for (const file of open) file.close();
      console.log(reason);
    `;
    const { code, stdout } = await runProgram(source, { shell: "ulimit -n 64" });
    assertEquals(code, 0);
    assertStringIncludes(stdout, "no descriptors left (EMFILE): raise `ulimit -n`");
  },
});

Deno.test({
  name: "io_uring: a user who may lock no memory gets a ring or the reason ENOMEM, and goes on",
  ignore: ignore || !isRoot,
  async fn() {
    const source = `
      const { availableMethods } = await import(${JSON.stringify(METHODS_URL)});
      const { symbols } = Deno.dlopen("libc.so.6", {
        setresuid: { parameters: ["u32", "u32", "u32"], result: "i32" },
      });
      symbols.setresuid(65534, 65534, 65534);
      const { ok, reason } = availableMethods().find(({ name }) => name === "io_uring");
      await using aio = await Aio.open({ arenaBytes: 65536 });
      console.log(JSON.stringify({ ok, reason, method: aio.method, uid: Deno.uid() }));
    `;
    const { code, stdout, stderr } = await runProgram(source, { shell: "ulimit -l 0" });
    assertEquals([code, stderr], [0, ""]);
    const { ok, reason, method, uid } = JSON.parse(stdout);
    assertEquals(uid, 65534);
    if (ok) assertEquals(method, "io_uring");
    else assertStringIncludes(reason, "ENOMEM): raise `ulimit -l`");
  },
});

Deno.test({
  name: "io_uring: where liburing is not installed it is taken all the same, through the C library",
  ignore: ignore || (INSTALLED !== undefined && !canHideFiles),
  async fn() {
    const source = `
      const { availableMethods } = await import(${JSON.stringify(METHODS_URL)});
      await using aio = await Aio.open({ arenaBytes: 65536 });
      const liburing = ${JSON.stringify(LIBURING)};
      const [named] = availableMethods({ libraries: { liburing } });
      console.log(JSON.stringify([aio.methodReason, named.reason]));
    `;
    const options = INSTALLED === undefined
      ? {}
      : { wrapper: hidingFiles(dirname(INSTALLED), "liburing*") };
    const { code, stdout, stderr } = await runProgram(source, options);
    assertEquals([code, stderr], [0, ""]);
    assertEquals(JSON.parse(stdout), [
      "io_uring was chosen (the best of this version); its system calls go through the C library",
      `Cannot find liburing at ${LIBURING}: ${REMEDY}`,
    ]);
  },
});

Deno.test({
  name: "io_uring: a liburing that is named and not there, or none, is refused with the remedy",
  ignore: !isLinux,
  fn() {
    const reasonWith = (liburing: string) => {
      const one = availableMethods({ libraries: { liburing } })
        .find(({ name }) => name === "io_uring")!;
      return one.ok ? "" : one.reason;
    };
    const missing = "/nowhere/liburing.so.2";
    assertEquals(reasonWith(missing), `Cannot find liburing at ${missing}: ${REMEDY}`);
    // A library without the symbols, as an older liburing is.
    const wrong = reasonWith("libm.so.6").replace(/io_uring_\w+/, "SYMBOL");
    assertEquals(
      wrong,
      `Cannot load liburing from libm.so.6 (undefined symbol: SYMBOL): ${REMEDY}`,
    );
  },
});

Deno.test({
  name: "io_uring: a liburing that is named and not granted is refused with the flag",
  ignore,
  async fn() {
    const source = `
      const { availableMethods } = await import(${JSON.stringify(METHODS_URL)});
      const libraries = { liburing: "/opt/liburing.so.2" };
      console.log(availableMethods({ libraries }).find(({ name }) => name === "io_uring").reason);
    `;
    const { code, stdout } = await runProgram(source, { flags: [`--allow-ffi=${LIBC}`] });
    assertEquals(code, 0);
    const flag = "--allow-ffi=/opt/liburing.so.2";
    assertEquals(stdout, `Cannot open liburing without permission: run again with ${flag}\n`);
  },
});
