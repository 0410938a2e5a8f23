// One request and its whole answer, redirects of a GET included. A redirect from https to http is not followed: nobody
// would vouch for the answer.
import { setImmediate } from "node:timers/promises"
import { promisify } from "node:util"
import { gunzip } from "node:zlib"
import type { Dispatcher } from "undici"
import type { Pool } from "./Connections.ts"
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
      const bytes = await body.bytes()
      // Only then the connection is free: a call that follows at once would open another one.
      await setImmediate()
      return {
        status: statusCode,
        body: await plain(bytes, single(headers["content-encoding"])),
        etag: single(headers.etag),
        retryAfter: single(headers["retry-after"]),
      }
    }
    await body.dump()
    url = next
  }
}

/**
 * The same over connections that are kept: one that the other end gave up in the moment when a call went out is no
 * failure of the master's, and what is repeatable is repeated, once.
 */
export const exchangeOnKept = async (
  pool: Pool,
  request: HttpRequest,
  isRepeatable: boolean,
  signal: AbortSignal,
): Promise<Answer> => {
  const mayBeKept = pool.hasAnswered
  try {
    return await exchangeIn(pool, request, signal)
  } catch (error) {
    if (!mayBeKept || !isRepeatable || !isBroken(error)) throw error
    return await exchangeIn(pool, request, signal)
  }
}

const exchangeIn = async (pool: Pool, request: HttpRequest, signal: AbortSignal): Promise<Answer> => {
  try {
    const answer = await exchange(pool.dispatcher, request, signal)
    pool.hasAnswered = true
    return answer
  } catch (error) {
    pool.hasAnswered = false
    throw error
  }
}

/** What a connection ends with that its other end has closed. */
const broken: ReadonlySet<unknown> = new Set(["UND_ERR_SOCKET", "ECONNRESET", "EPIPE"])

const isBroken = (error: unknown): boolean => error instanceof Error && "code" in error && broken.has(error.code)

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
