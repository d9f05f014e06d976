/** token_test.ts: what is accepted as a token, and the error for everything else. */

import { assertEquals, assertThrows } from "@std/assert";
import { LAYOUT_VERSION } from "../../../core/memory/shared_memory.ts";
import { checkToken } from "../../../core/memory/token.ts";

const KINDS = ["deno-aio", "deno-aio file"] as const;

for (const kind of KINDS) {
  const what = kind === "deno-aio" ? "aio.token" : "file.token";

  Deno.test(`checkToken() takes a token of the kind ${kind}`, () => {
    checkToken("attach", { kind, version: LAYOUT_VERSION }, kind);
  });

  Deno.test(`checkToken() refuses what is no token of the kind ${kind}, and says what to pass`, () => {
    const other = KINDS.find((one) => one !== kind);
    const cases: readonly (readonly [unknown, string])[] = [
      [undefined, "undefined"],
      [null, "null"],
      [5, "5"],
      ["token", '"token"'],
      [{}, "a Object"],
      [{ kind }, "a Object"],
      [{ kind: other, version: LAYOUT_VERSION }, "a Object"],
      [Object.create(null), "a value"],
    ];
    for (const [token, shown] of cases) {
      const error = assertThrows(() => checkToken("attach", token, kind), TypeError);
      assertEquals(error.message, `Cannot attach with ${shown}: pass ${what}`);
    }
  });

  Deno.test(`checkToken() refuses a ${kind} token of another version, naming both`, () => {
    for (const version of [0, LAYOUT_VERSION + 1, undefined, String(LAYOUT_VERSION)]) {
      const error = assertThrows(() => checkToken("attach", { kind, version }, kind), TypeError);
      const shown = typeof version === "string" ? `"${version}"` : String(version);
      assertEquals(
        error.message,
        `Cannot attach with a token of version ${shown}: this module has version ` +
          `${LAYOUT_VERSION}; let all threads import the same one`,
      );
    }
  });
}
