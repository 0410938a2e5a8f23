// The demo's HTTP calls: to its master as a user's client, and to the services that its instances run. All on this
// machine, so no proxy is asked.
import * as Effect from "effect/Effect"
import { Agent } from "undici"
import { decodeMarshal, SlapObject, type SlapValue } from "../master/wire/marshal.ts"
import * as Result from "effect/Result"
import { DemoError } from "./DemoError.ts"
import type { Form } from "./plan.ts"

export interface Web {
  /** Posts a form to the master; gives the body of its answer. */
  readonly post: (method: string, form: Form) => Effect.Effect<string, DemoError>
  /** First line of what a URL answers. */
  readonly firstLine: (url: string) => Effect.Effect<string, DemoError>
}

/** How long a service may take for an answer, in milliseconds. */
const patience = 3_000

const reasonOf = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause))

/** The connections end with the Scope. */
export const makeWeb = Effect.fnUntraced(function* (masterUrl: string) {
  const dispatcher = yield* Effect.acquireRelease(
    // Every call on a connection of its own: services may be killed between two.
    Effect.sync(() => new Agent({ pipelining: 0, connect: { timeout: patience } })),
    (agent) => Effect.promise(() => agent.destroy()),
  )
  const call = (url: string, options: { readonly body?: string; readonly timeout: number }) =>
    Effect.tryPromise({
      try: async (signal) => {
        const { origin, pathname, search } = new URL(url)
        const { body, statusCode } = await dispatcher.request({
          origin,
          path: `${pathname}${search}`,
          signal,
          headersTimeout: options.timeout,
          bodyTimeout: options.timeout,
          ...(options.body === undefined
            ? { method: "GET" }
            : {
                method: "POST",
                body: options.body,
                headers: { "content-type": "application/x-www-form-urlencoded" },
              }),
        })
        const text = await body.text()
        if (statusCode !== 200) throw new Error(`status ${statusCode}: ${text.trimEnd()}`)
        return text
      },
      catch: (cause) => new DemoError({ message: `${url}: ${reasonOf(cause)}` }),
    })
  const web: Web = {
    post: (method, form) =>
      call(`${masterUrl}${method}`, { body: new URLSearchParams(form).toString(), timeout: 60_000 }),
    firstLine: (url) => Effect.map(call(url, { timeout: patience }), (text) => text.split("\n")[0] ?? ""),
  }
  return web
})

export interface Granted {
  readonly partition: string | undefined
  /** Connection parameter `url`. */
  readonly url: string | undefined
}

const textOf = (value: SlapValue | undefined): string | undefined => (typeof value === "string" ? value : undefined)

/** The parts of an answer to a request that the demo shows. */
export const grantedOf = (document: string): Granted => {
  const value = Result.getOrElse(decodeMarshal(document), () => null)
  if (!(value instanceof SlapObject)) return { partition: undefined, url: undefined }
  const connection = value.attributes.get("_connection_dict")
  return {
    partition: textOf(value.attributes.get("slap_computer_partition_id")),
    url: connection instanceof Map ? textOf(connection.get("url")) : undefined,
  }
}
