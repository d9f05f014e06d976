/**
 * interpose.ts: functions of an object replaced for a while, for tests that look at calls or make
 * them fail.
 *
 * @module
 */

/** Puts functions in the place of others, until the end of its scope. */
export class Interposed implements Disposable {
  readonly #undo: (() => void)[] = [];

  /**
   * Replaces a function.
   *
   * @param target whose it is: an object, or the prototype of its class
   * @param name what it is called there
   * @param make gets the function there was; what it makes is called with the same `this`
   */
  replace<T extends object, K extends keyof T>(
    target: T,
    name: K,
    make: (original: T[K]) => T[K],
  ): void {
    const original = Object.getOwnPropertyDescriptor(target, name);
    if (original === undefined || typeof target[name] !== "function") return;
    const value = make(target[name]);
    Object.defineProperty(target, name, { ...dataOf(original), value });
    this.#undo.push(() => Object.defineProperty(target, name, original));
  }

  /** Undoes something else at the end, too. */
  defer(undo: () => void): void {
    this.#undo.push(undo);
  }

  [Symbol.dispose](): void {
    for (const undo of this.#undo.splice(0).reverse()) undo();
  }
}

function dataOf({ enumerable = true }: PropertyDescriptor): PropertyDescriptor {
  return { enumerable, configurable: true, writable: true };
}
