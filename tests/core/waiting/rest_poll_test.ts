/**
 * rest_poll_test.ts: each thread finds out which descriptor its event loop rests in.
 */

import { assertEquals, assertNotEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { closeRestFile, restingOn, RestPoll, restPoll } from "../../../core/waiting/rest_poll.ts";
import { backendOf } from "../../../core/inside.ts";
import { BACKEND } from "../../../core/memory/shared_memory.ts";
import { replace } from "../../support/bells/bells.ts";
import { findRest } from "../../support/bells/dozes.ts";
import { openSync } from "../../support/core.ts";

const isLinux = Deno.build.os === "linux";

const LINES: readonly (readonly [line: string, arch: string, fd: number])[] = [
  ["232 0x3 0x555bfc5b9b40 0x400 0x1ce", "x86_64", 3],
  ["281 0x1f 0x555bfc5b9b40 0x400", "x86_64", 31],
  ["22 0xa 0x555bfc5b9b40 0x400", "aarch64", 10],
  ["running\n", "x86_64", -1],
  ["202 0x7fc39d895ff0 0x80 0x1", "x86_64", -1],
  ["-1 0x7ffd 0x80", "x86_64", -1],
  ["232 0x3", "riscv64", -1],
  ["", "x86_64", -1],
];

for (const [line, arch, fd] of LINES) {
  Deno.test(`restingOn() reads ${JSON.stringify(line)} on ${arch} as ${fd}`, () => {
    assertEquals(restingOn(line, arch), fd);
  });
}

Deno.test({
  name: "restPoll is the descriptor of this thread's runtime once an Aio is open",
  ignore: !isLinux,
  async fn() {
    await using fixture = await openSync();
    const fd = await findRest(fixture.aio);
    assertStringIncludes(Deno.readLinkSync(`/proc/self/fd/${fd}`), "eventpoll");
    // The Aio found the same one when it opened, if the machine let it.
    assertEquals([fd, -1].includes(restPoll.fd), true);
  },
});

Deno.test({
  name: "restPoll is another one in another thread",
  ignore: !isLinux,
  async fn() {
    await using fixture = await openSync();
    const mod = import.meta.resolve("../../../mod.ts");
    const own = import.meta.resolve("../../support/bells/dozes.ts");
    const program = `import { Aio } from ${JSON.stringify(mod)};
      import { findRest } from ${JSON.stringify(own)};
      await using aio = await Aio.open({ method: "sync" });
      postMessage(await findRest(aio));`;
    const url = `data:text/javascript,${encodeURIComponent(program)}`;
    const worker = new Worker(url, { type: "module" });
    const fd = await new Promise<number>((resolve) => {
      worker.onmessage = ({ data }) => resolve(data);
    });
    assertStringIncludes(Deno.readLinkSync(`/proc/self/fd/${fd}`), "eventpoll");
    assertNotEquals(fd, await findRest(fixture.aio));
    worker.terminate();
  },
});

Deno.test({
  name: "RestPoll stays unknown where the kernel does not tell, and asks no more",
  ignore: !isLinux,
  async fn() {
    await using fixture = await openSync();
    const { libc, control, id } = backendOf(fixture.aio);
    const rest = new RestPoll();
    let asked = 0;
    using _open = replace(libc, "openProc", () => {
      asked++;
      return -2;
    });
    await rest.find(libc, control, id);
    rest.ask(libc, control, id);
    await rest.settled();
    assertEquals([rest.fd, asked], [-1, 1]);
  },
});

Deno.test({
  name: "closeRestFile() closes what a dead thread had opened, and nothing else",
  ignore: !isLinux,
  async fn() {
    await using fixture = await openSync();
    const { libc, control, id } = backendOf(fixture.aio);
    const dead = id + 1;
    const threadId = libc.threadId();
    const fds = [1, 2].map(() => libc.openProc(`/proc/self/task/${threadId}/syscall`));
    const other = libc.openProc("/proc/self/status");
    control.words[control.backendAt(dead) + BACKEND.restReader] = threadId;
    closeRestFile(libc, control, dead);
    for (const fd of fds) {
      assertThrows(() => Deno.readLinkSync(`/proc/self/fd/${fd}`), Deno.errors.NotFound);
    }
    assertStringIncludes(Deno.readLinkSync(`/proc/self/fd/${other}`), "status");
    assertEquals(control.words[control.backendAt(dead) + BACKEND.restReader], 0);
    libc.close(other);
  },
});
