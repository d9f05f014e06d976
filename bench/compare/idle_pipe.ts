/**
 * idle_pipe.ts: how much of a processor an IO takes that does not end: a read of an empty pipe,
 * awaited through the core.
 *
 * Arguments: path of a FIFO, seconds. Prints the share of one processor.
 *
 * @module
 */

import { constants, openSync, writeSync } from "node:fs";
import process from "node:process";
import { Aio } from "../../mod.ts";

const [path, seconds] = [Deno.args[0]!, Number(Deno.args[1])];
const callbackModules = [new URL("../pipe_target.ts", import.meta.url)];
const aio = await Aio.open({ method: "io_uring", callbackModules });
const fd = openSync(path, constants.O_RDWR);
const handle = aio.acquire();
const ref = handle.waitRef();
handle.setIovec(aio.alloc(1));
handle.setTarget(aio.targetId("pipe"));
handle.startReadv(fd, 0);
const before = process.cpuUsage();
setTimeout(() => {
  const { user, system } = process.cpuUsage(before);
  console.log((user + system) / 1e6 / seconds);
  writeSync(fd, new Uint8Array(1));
}, seconds * 1000);
await aio.wait(ref);
await aio.close();
