/**
 * hold_call.ts: whether a nonblocking call keeps the event loop alive. Deno has that for its own
 * calls, but no public function for those of a library: this uses the one within. Where that is not
 * there any more, a call keeps the event loop alive until it ends.
 *
 * @module
 */

type Act = (promise: Promise<unknown>) => void;

function inner(name: "refOpPromise" | "unrefOpPromise"): Act | null {
  const key: unknown = Reflect.get(Deno, "internal");
  const internals: unknown = typeof key === "symbol" ? Reflect.get(Deno, key) : undefined;
  if (typeof internals !== "object" || internals === null) return null;
  const core: unknown = Reflect.get(internals, "core");
  if (typeof core !== "object" || core === null) return null;
  const act: unknown = Reflect.get(core, name);
  return typeof act === "function" ? (promise) => Reflect.apply(act, core, [promise]) : null;
}

/**
 * Has a nonblocking call, known by the promise that it returned, keep the event loop alive, or not.
 */
export function holdCall(promise: Promise<unknown>): { ref(): void; unref(): void } {
  return {
    ref: () => inner("refOpPromise")?.(promise),
    unref: () => inner("unrefOpPromise")?.(promise),
  };
}
