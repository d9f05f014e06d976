/** event_loop_test.ts: Deno looks for sockets while its event loop never comes to rest. */

import { assert, assertEquals } from "@std/assert";
import { goAround } from "../../../core/waiting/event_loop.ts";
import { hangs } from "../../support/patience.ts";

const TICKS = 3;

async function connect(): Promise<[Deno.TcpConn, Deno.TcpConn]> {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return await Promise.all([
    listener.accept(),
    Deno.connect({ hostname: "127.0.0.1", port: listener.addr.port }),
  ]);
}

Deno.test("goAround() has what came to a socket looked for", async () => {
  const [server, client] = await connect();
  using _server = server;
  using _client = client;
  const bytes = new Uint8Array(1);
  for (let i = 0; i < 20; i++) {
    let isRead = false;
    const reading = server.read(bytes).then(() => isRead = true);
    await client.write(new Uint8Array([i]));
    // One of them sees it; the promise takes a few turns more.
    for (let turns = 0; turns < 2 && !isRead; turns++) await goAround();
    assert(isRead, `not read after 2 of round ${i}`);
    assertEquals(bytes[0], i);
    await reading;
  }
});

Deno.test("goAround() lets timers run, and ends by itself", async () => {
  let ticks = 0;
  const timer = setInterval(() => ticks++, 1);
  const isHanging = hangs();
  while (ticks < TICKS && !isHanging()) await goAround();
  clearInterval(timer);
  assert(ticks >= TICKS, `${ticks} ticks`);
});
