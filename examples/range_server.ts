/**
 * range_server.ts: serves the files of a directory by HTTP, with ranges, as players, download
 * managers and object stores want it.
 *
 * Each response is a web stream of its file, which reads ahead and stops where the client is slow.
 * Conditional requests are answered from the file's size, time and number. Nothing outside the
 * directory is served, by whatever links.
 *
 * Run: deno run --allow-net --allow-read=DIR --allow-ffi examples/range_server.ts DIR [--port N]
 *
 * @module
 */

import { join } from "node:path";
import { parseArgs } from "node:util";
import { Aio, type AioFile } from "../mod.ts";

/** A part of a file: from its first byte to behind its last one. */
interface Part {
  readonly from: number;
  readonly to: number;
}

const METHODS = ["GET", "HEAD"];
/** Each chunk costs the same on its way to the socket, however long it is. */
const CHUNK_BYTES = 256 * 1024;

/** Serves one directory. */
export class RangeServer {
  readonly #aio: Aio;
  readonly #root: string;

  /**
   * @param aio opens the files
   * @param root the directory, as `Deno.realPath` names it
   */
  constructor(aio: Aio, root: string) {
    this.#aio = aio;
    this.#root = root;
  }

  /** Answers a request. */
  readonly answer = async (request: Request): Promise<Response> => {
    if (!METHODS.includes(request.method)) {
      return new Response(null, { status: 405, headers: { allow: METHODS.join(", ") } });
    }
    const file = await this.#open(new URL(request.url).pathname);
    if (file === null) return new Response("There is no such file.\n", { status: 404 });
    let isServed = false;
    try {
      const response = respond(request, file, await file.stat());
      isServed = response.body !== null;
      return response;
    } finally {
      // A body closes the file with its end.
      if (!isServed) await file.close();
    }
  };

  /** @returns null if there is no such file in the directory */
  async #open(pathname: string): Promise<AioFile | null> {
    try {
      const path = await Deno.realPath(join(this.#root, decodeURIComponent(pathname)));
      if (!path.startsWith(`${this.#root}/`) || !(await Deno.stat(path)).isFile) return null;
      return await this.#aio.openFile(path);
    } catch (error) {
      const isMissing = error instanceof Deno.errors.NotFound || error instanceof URIError ||
        error instanceof Deno.errors.NotADirectory || error instanceof Deno.errors.NotCapable ||
        error instanceof TypeError;
      if (isMissing) return null;
      throw error;
    }
  }
}

function respond(request: Request, file: AioFile, info: Deno.FileInfo): Response {
  const etag = `"${info.ino!.toString(36)}-${info.size.toString(36)}-${info.mtime!.getTime()}"`;
  const headers = new Headers({
    "accept-ranges": "bytes",
    "content-type": "application/octet-stream",
    etag,
    "last-modified": info.mtime!.toUTCString(),
  });
  const status = preconditionOf(request.headers, etag, info.mtime!);
  if (status !== 200) return new Response(null, { status, headers });
  const part = partOf(request.headers, etag, info);
  if (part === null) {
    headers.set("content-range", `bytes */${info.size}`);
    return new Response(null, { status: 416, headers });
  }
  const isWhole = part.from === 0 && part.to === info.size;
  headers.set("content-length", `${part.to - part.from}`);
  if (!isWhole) headers.set("content-range", `bytes ${part.from}-${part.to - 1}/${info.size}`);
  const body = request.method === "HEAD" ? null : file.readable({
    offset: part.from,
    length: part.to - part.from,
    chunkBytes: CHUNK_BYTES,
    close: true,
  });
  return new Response(body, { status: isWhole ? 200 : 206, headers });
}

/** What RFC 9110 (§13.2.2) says of the conditions: 200: none is in the way. */
function preconditionOf(headers: Headers, etag: string, mtime: Date): 200 | 304 | 412 {
  const [match, noneMatch] = [headers.get("if-match"), headers.get("if-none-match")];
  const seconds = Math.floor(mtime.getTime() / 1000);
  const since = (name: string) => Date.parse(headers.get(name) ?? "") / 1000;
  if (match !== null) {
    if (!names(match, etag)) return 412;
  } else if (seconds > since("if-unmodified-since")) return 412;
  if (noneMatch !== null) return names(noneMatch, etag) ? 304 : 200;
  return seconds <= since("if-modified-since") ? 304 : 200;
}

/** Whether a list of tags has one. */
function names(list: string, etag: string): boolean {
  return list.trim() === "*" ||
    list.split(",").some((one) => one.trim().replace(/^W\//, "") === etag);
}

/** The part that is asked for, the whole file where none is; null: it is not in the file. */
function partOf(headers: Headers, etag: string, { size, mtime }: Deno.FileInfo): Part | null {
  const whole = { from: 0, to: size };
  const ifRange = headers.get("if-range");
  const isCurrent = ifRange === null || ifRange === etag ||
    Date.parse(ifRange) === Math.floor(mtime!.getTime() / 1000) * 1000;
  // Several ranges may be answered by the whole file, and so may those that cannot be read.
  const [, first, last] = /^bytes=(\d*)-(\d*)$/.exec(headers.get("range") ?? "") ?? [];
  if (!isCurrent || first === undefined || (first === "" && last === "")) return whole;
  if (first === "") {
    const from = Math.max(0, size - Number(last));
    return from < size ? { from, to: size } : null;
  }
  const from = Number(first);
  const to = last === "" ? size : Math.min(size, Number(last) + 1);
  if (last !== "" && Number(last) < from) return whole;
  return from < size ? { from, to } : null;
}

if (import.meta.main) {
  const options = { port: { type: "string", default: "8000" } } as const;
  const { values, positionals } = parseArgs({ options, allowPositionals: true });
  if (positionals.length !== 1) {
    console.error("Usage: range_server.ts DIR [--port N]");
    Deno.exit(2);
  }
  const aio = await Aio.open();
  const server = new RangeServer(aio, await Deno.realPath(positionals[0]!));
  Deno.serve({ port: Number(values.port) }, server.answer);
}
