/**
 * soak_turns.ts: with what method, and in which way, each round of a soak goes.
 *
 * @module
 */

/** The turn of a round: so many rounds as there are pairs have each way meet each method. */
export function turnOf<Method, Way>(
  round: number,
  methods: readonly Method[],
  ways: readonly Way[],
): { readonly method: Method; readonly way: Way } {
  const method = methods[round % methods.length]!;
  const way = ways[Math.floor(round / methods.length) % ways.length]!;
  return { method, way };
}
