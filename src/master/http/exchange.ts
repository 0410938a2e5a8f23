// One request and its whole answer, redirects of a GET included. A redirect from https to http is not followed: nobody
// would vouch for the answer.
import { promisify } from "node:util"
import { gunzip } from "node:zlib"
import type { Dispatcher, errors } from "undici"
import { EncodingError, maximumAnswer } from "./failures.ts"

export interface HttpRequest {
  readonly url: URL
  readonly verb: "GET" | "POST"
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | undefined
}

export interface Answer {
  readonly status: number
  readonly body: Uint8Array
  readonly etag: string | undefined
  /** The header `Retry-After`. */
  readonly retryAfter: string | undefined
}

const maximumRedirects = 5

/** Rejects when there is no whole answer: see `transportError`. Aborting the signal ends the connection. */
export const exchange = async (dispatcher: Dispatcher, first: HttpRequest, signal: AbortSignal): Promise<Answer> => {
  let url = first.url
  for (let redirects = 0; ; redirects++) {
    const { body, headers, statusCode } = await dispatcher.request({
      origin: url.origin,
      path: `${url.pathname}${url.search}`,
      signal,
      method: first.verb,
      headers: headersFor(first, url),
      body: first.body ?? null,
      // The caller limits the whole exchange.
      headersTimeout: 0,
      bodyTimeout: 0,
    })
    const next =
      redirects < maximumRedirects ? redirectTarget(first.verb, url, statusCode, headers.location) : undefined
    if (next === undefined) {
      return {
        status: statusCode,
        body: await plain(await body.bytes(), single(headers["content-encoding"])),
        etag: single(headers.etag),
        retryAfter: single(headers["retry-after"]),
      }
    }
    await body.dump()
    url = next
  }
}

/**
 * The same over connections that are kept: one that the other end gave up in the moment when a question went out is
 * no failure, and a question can be repeated.
 */
export const exchangeOnKept = async (
  dispatcher: Dispatcher,
  request: HttpRequest,
  signal: AbortSignal,
): Promise<Answer> => {
  try {
    return await exchange(dispatcher, request, signal)
  } catch (error) {
    if (request.verb !== "GET" || !isOfUsedSocket(error)) throw error
    return await exchange(dispatcher, request, signal)
  }
}

/** Whether an earlier answer came over the connection that failed. */
const isOfUsedSocket = (error: unknown): boolean =>
  error instanceof Error &&
  "code" in error &&
  error.code === "UND_ERR_SOCKET" &&
  ((error as errors.SocketError).socket?.bytesRead ?? 0) > 0

const unzip = promisify(gunzip)

/** A few bytes can stand for gigabytes: the limit is for what they stand for, too. */
const plain = async (body: Uint8Array, encoding: string | undefined): Promise<Uint8Array> => {
  switch (encoding?.toLowerCase()) {
    case undefined:
    case "identity":
      return body
    case "gzip":
    case "x-gzip":
      // A HEAD's or a 304's answer has the header and no body.
      return body.length === 0 ? body : await unzip(body, { maxOutputLength: maximumAnswer })
    default:
      throw new EncodingError(`it is encoded as ${encoding}, which was not asked for`)
  }
}

/** Credentials in the master's URL are for that master only. */
const headersFor = (first: HttpRequest, url: URL): Record<string, string> => {
  const { authorization, ...given } = first.headers
  const others = { ...given, "accept-encoding": "gzip" }
  return authorization !== undefined && url.origin === first.url.origin ? { ...others, authorization } : others
}

const redirectTarget = (
  verb: HttpRequest["verb"],
  from: URL,
  status: number,
  location: string | Array<string> | undefined,
): URL | undefined => {
  const target = URL.parse(single(location) ?? "", from)
  const known = [301, 302, 303, 307, 308].includes(status) && single(location) !== undefined
  const allowed = target?.protocol === "https:" || (target?.protocol === "http:" && from.protocol === "http:")
  return verb === "GET" && known && allowed && target !== null ? target : undefined
}

const single = (header: string | Array<string> | undefined): string | undefined =>
  typeof header === "string" ? header : header?.[0]
