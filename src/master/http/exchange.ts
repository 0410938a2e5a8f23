// One request and its whole answer, redirects of a GET included. A redirect from https to http is not followed: nobody
// would vouch for the answer.
import type { Dispatcher } from "undici"

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
      return { status: statusCode, body: await body.bytes(), etag: single(headers.etag) }
    }
    await body.dump()
    url = next
  }
}

/** Credentials in the master's URL are for that master only. */
const headersFor = (first: HttpRequest, url: URL): Record<string, string> => {
  const { authorization, ...others } = first.headers
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
