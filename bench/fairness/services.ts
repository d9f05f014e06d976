/**
 * services.ts: what a program does beside its IO: each is a step that is taken again and again, and
 * whose time says whether the event loop still serves it.
 *
 * @module
 */

import { once } from "node:events";
import process from "node:process";

/** One service, ready to be used. */
export interface Service {
  /** Takes one step. @returns how long whoever asked for it waited beyond what was to be, in ms */
  step(): Promise<number>;
  /** Ends it. */
  close(): Promise<void>;
}

const INTERVAL_MS = 10;
const MESSAGE_BYTES = 16;
const LOOPBACK = "127.0.0.1";

async function timed(step: () => Promise<unknown>, plannedMs = 0): Promise<number> {
  const start = performance.now();
  await step();
  return performance.now() - start - plannedMs;
}

/** A message there and back over TCP, both ends in this thread. */
async function openEcho(): Promise<Service> {
  const listener = Deno.listen({ hostname: LOOPBACK, port: 0 });
  const serving = (async () => {
    for await (const connection of listener) {
      connection.readable.pipeTo(connection.writable).catch(() => {});
    }
  })();
  const { port } = listener.addr as Deno.NetAddr;
  const client = await Deno.connect({ hostname: LOOPBACK, port });
  client.setNoDelay();
  const message = new Uint8Array(MESSAGE_BYTES);
  return {
    step: () =>
      timed(async () => {
        await client.write(message);
        for (let left = MESSAGE_BYTES; left > 0;) left -= await client.read(message) ?? left;
      }),
    async close() {
      client.close();
      listener.close();
      await serving;
    },
  };
}

/** A request to a server in this thread. */
function openHttp(): Promise<Service> {
  const options = { hostname: LOOPBACK, port: 0, onListen() {} };
  const server = Deno.serve(options, () => new Response("as you wish"));
  const url = `http://${LOOPBACK}:${server.addr.port}/`;
  return Promise.resolve({
    step: () => timed(async () => await (await fetch(url)).text()),
    close: () => server.shutdown(),
  });
}

/** A tick of an interval: how late it comes, or early. */
function openInterval(): Promise<Service> {
  let tick = () => {};
  const timer = setInterval(() => tick(), INTERVAL_MS);
  const nextTick = () => new Promise<void>((resolve) => tick = resolve);
  let last = 0;
  return Promise.resolve({
    async step() {
      if (last === 0) {
        await nextTick();
        last = performance.now();
      }
      await nextTick();
      const now = performance.now();
      const lateMs = Math.abs(now - last - INTERVAL_MS);
      last = now;
      return lateMs;
    },
    close: () => Promise.resolve(clearInterval(timer)),
  });
}

/** A timer of 1 ms: how late it comes. */
function openTimeout(): Promise<Service> {
  const timeout = () => new Promise((resolve) => setTimeout(resolve, 1));
  return Promise.resolve({ step: () => timed(timeout, 1), close: () => Promise.resolve() });
}

/** A signal that this process sends itself. */
function openSignal(): Promise<Service> {
  const send = async () => {
    const heard = once(process, "SIGUSR2");
    Deno.kill(Deno.pid, "SIGUSR2");
    await heard;
  };
  return Promise.resolve({ step: () => timed(send), close: () => Promise.resolve() });
}

/** A small file that Deno reads. */
async function openReadFile(dir: string): Promise<Service> {
  const path = await Deno.makeTempFile({ dir, prefix: "fairness_" });
  await Deno.writeFile(path, new Uint8Array(4096));
  return { step: () => timed(() => Deno.readFile(path)), close: () => Deno.remove(path) };
}

/** All of them, by what a reader calls them. */
export const SERVICES: Readonly<Record<string, (dir: string) => Promise<Service>>> = {
  "TCP echo": openEcho,
  "HTTP request": openHttp,
  "tick of a 10 ms interval, off by": openInterval,
  "setTimeout(1), late by": openTimeout,
  "signal": openSignal,
  "Deno.readFile": openReadFile,
};
