// One of the two servers of a network cache, and what it is asked. It may be down, slow or lying: every wait has an
// end, everything that is read has a bound, and what content is worth is told by its hash alone.
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Redacted from "effect/Redacted"
import { createHash } from "node:crypto"
import * as fs from "node:fs"
import { readFile } from "node:fs/promises"
import { Readable } from "node:stream"
import { promisify } from "node:util"
import { Agent, type Dispatcher, EnvHttpProxyAgent } from "undici"
import type { TlsFiles } from "../../config/networkCache.ts"
import { isLoopback, systemCertificates } from "../../files/network.ts"
import { untilSettled } from "./untilSettled.ts"

export class CacheError extends Schema.TaggedError<CacheError>()("CacheError", {
  /** `Absent`: the server says that it does not have it. */
  reason: Schema.Literals(["Absent", "NoSpace", "Failed"]),
  message: Schema.String,
}) {}

/** Milliseconds for a connection, and for the beginning of an answer. */
const patience = 10_000
/** Milliseconds for a whole small answer. */
const smallPatience = 20_000

interface Pace {
  readonly bytes: number
  readonly milliseconds: number
}

/** What content must bring at least in a time: less is as good as nothing. */
const downloadPace: Pace = { bytes: 256 * 1024, milliseconds: 15_000 }
/** Nobody waits for an upload, and a server may store what it got before it answers. */
const uploadPace: Pace = { bytes: 1, milliseconds: 600_000 }
/** Statuses of servers that want to know who asks; the last two are nginx's. */
const refusals: ReadonlySet<number> = new Set([400, 401, 403, 495, 496])
/** Bytes of the largest index and of the largest message. */
const maximumText = 8 * 1024 * 1024

const write = promisify(fs.write)

interface Target {
  readonly dispatcher: Dispatcher
  readonly origin: string
  readonly path: string
  readonly authorization: Readonly<Record<string, string>>
  /** The URL without password, for messages. */
  readonly shown: string
  /** What to say behind an error that may be about who we are. */
  readonly identity: string
}

export interface Upload {
  readonly verb: "POST" | "PUT"
  readonly type: string
  readonly length: number
  readonly content: () => AsyncIterable<Uint8Array> | Iterable<Uint8Array>
}

const counted = async function* (content: ReturnType<Upload["content"]>, progress: { bytes: number }) {
  for await (const chunk of content) {
    progress.bytes += chunk.length
    yield chunk
  }
}

export class CacheServer {
  readonly #target: Target

  private constructor(target: Target) {
    this.#target = target
  }

  /**
   * Connections to the server at `place`, closed with the Scope. With `certified` the client certificate is shown; CAs of
   * the configuration are then the only ones, else they are trusted beside the system's.
   */
  static open(
    place: Redacted.Redacted,
    tls: TlsFiles,
    certified: boolean,
  ): Effect.Effect<CacheServer, CacheError, Scope.Scope> {
    const url = new URL(Redacted.value(place))
    const { host, origin, password, pathname, protocol, username } = url
    const shown = `${protocol}//${host}${pathname === "/" ? "" : pathname}`
    const certificate = tls.certFile === undefined ? "without a client certificate" : `with ${tls.certFile}`
    const identity = certified && protocol === "https:" ? `, ${certificate}` : ""
    return Effect.acquireRelease(
      Effect.tryPromise({
        try: () => connect(url, tls, certified),
        catch: (cause) => failed(`certificate files for ${shown} cannot be used: ${describe(cause)}`),
      }),
      (dispatcher) => Effect.promise(() => dispatcher.destroy()),
    ).pipe(
      Effect.map((dispatcher) => {
        const credentials = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`
        const authorization: Record<string, string> =
          username === "" && password === ""
            ? {}
            : { authorization: `Basic ${Buffer.from(credentials).toString("base64")}` }
        return new CacheServer({
          dispatcher,
          origin,
          path: pathname.replace(/\/$/, ""),
          authorization,
          shown,
          identity,
        })
      }),
    )
  }

  /** A small text. */
  text(name: string): Effect.Effect<string, CacheError> {
    return this.#answer(name, { method: "GET" }, readText).pipe(this.#within(smallPatience, name))
  }

  /** Whether there is content of that hash. */
  has(hash: string): Effect.Effect<boolean, CacheError> {
    return this.#answer(hash, { method: "GET" }, async (body) => abandon(body)).pipe(
      this.#within(smallPatience, hash),
      Effect.as(true),
      Effect.catchIf(
        (error) => error.reason === "Absent",
        () => Effect.succeed(false),
      ),
    )
  }

  /**
   * Writes the content of that hash (SHA-512) into an open file from its beginning; at most as many bytes as `room`
   * gives when it is asked. Gives the size. Other content than the hash's is an error.
   */
  download(hash: string, fd: number, room: () => number): Effect.Effect<number, CacheError> {
    return Effect.suspend(() => {
      const progress = { bytes: 0 }
      const receive = this.#answer(hash, { method: "GET" }, (body) => pour(body, fd, room, progress))
      return Effect.raceFirst(receive, this.#watch(progress, downloadPace, hash)).pipe(
        Effect.flatMap((found) =>
          found === hash ? Effect.succeed(progress.bytes) : this.#fail(hash, "the content is not what its name says"),
        ),
      )
    })
  }

  /** Sends so many bytes; gives what the server answers. */
  send(name: string, { content, length, type, verb }: Upload): Effect.Effect<string, CacheError> {
    return Effect.suspend(() => {
      const progress = { bytes: 0 }
      const headers = { "content-type": type, "content-length": String(length) }
      const body = () => Readable.from(counted(content(), progress), { objectMode: false })
      return Effect.raceFirst(
        this.#answer(name, { method: verb, headers, body }, readText),
        this.#watch(progress, uploadPace, name),
      )
    })
  }

  /** Never ends well: fails when too little was done. */
  #watch(progress: { readonly bytes: number }, pace: Pace, name: string): Effect.Effect<never, CacheError> {
    return Effect.gen({ self: this }, function* () {
      for (let before = 0; ; before = progress.bytes) {
        yield* Effect.sleep(pace.milliseconds)
        const done = progress.bytes - before
        if (done < pace.bytes) return yield* this.#fail(name, `only ${done} bytes in ${pace.milliseconds / 1000} s`)
      }
    })
  }

  #within(milliseconds: number, name: string) {
    return <A>(effect: Effect.Effect<A, CacheError>): Effect.Effect<A, CacheError> =>
      Effect.timeoutOrElse(effect, {
        duration: milliseconds,
        orElse: () => this.#fail(name, `no complete answer in ${milliseconds / 1000} s`),
      })
  }

  #urlOf(name: string): string {
    return name === "" ? this.#target.shown : `${this.#target.shown}/${name}`
  }

  #fail(name: string, why: string): Effect.Effect<never, CacheError> {
    return failed(`${this.#urlOf(name)}: ${why}`)
  }

  /** One exchange; an interruption ends the connection. */
  #answer<A>(
    name: string,
    request: {
      readonly method: "GET" | "POST" | "PUT"
      readonly headers?: Readonly<Record<string, string>>
      readonly body?: () => Readable
    },
    read: (body: Dispatcher.ResponseData["body"]) => Promise<A>,
  ): Effect.Effect<A, CacheError> {
    const { authorization, dispatcher, identity, origin, path } = this.#target
    const url = this.#urlOf(name)
    return untilSettled(
      async (signal) => {
        const { body, statusCode } = await dispatcher.request({
          origin,
          path: name === "" ? path || "/" : `${path}/${name}`,
          method: request.method,
          headers: { "user-agent": "slapgrid", accept: "*/*", ...authorization, ...request.headers },
          body: request.body?.() ?? null,
          signal,
          headersTimeout: request.body === undefined ? patience : 0,
          bodyTimeout: 0,
        })
        if (statusCode >= 200 && statusCode < 300) return await read(body)
        abandon(body)
        const reason = statusCode === 404 ? "Absent" : "Failed"
        const who = refusals.has(statusCode) ? identity : ""
        throw new CacheError({ reason, message: `${url}: the server answers with status ${statusCode}${who}` })
      },
      // A server that wants another certificate often says no more than goodbye.
      (cause) => (cause instanceof CacheError ? cause : failed(`${url}: ${describe(cause)}${identity}`)),
    )
  }
}

/** The rest does not matter; without a listener its end would be an error that nobody expects. */
const abandon = (body: Dispatcher.ResponseData["body"]): void => void body.on("error", () => undefined).destroy()

const failed = (message: string): CacheError => new CacheError({ reason: "Failed", message })

/** Errors come wrapped (a refused connection to several addresses): the innermost tells. */
const describe = (cause: unknown): string => {
  if (!(cause instanceof Error)) return String(cause)
  const inner: unknown = cause instanceof AggregateError ? cause.errors[0] : cause.cause
  if (inner instanceof Error) return describe(inner)
  const code = "code" in cause ? String(cause.code) : ""
  return code === "" || cause.message.includes(code) ? cause.message : `${cause.message} (${code})`
}

const connect = async (url: URL, files: TlsFiles, certified: boolean): Promise<Dispatcher> => {
  const read = async (path: string | undefined) => (path === undefined ? undefined : await readFile(path, "latin1"))
  const isSecure = url.protocol === "https:"
  const ca = isSecure ? await read(files.caFile) : undefined
  const cert = isSecure && certified ? await read(files.certFile) : undefined
  // One file can hold both.
  const key = cert === undefined ? undefined : ((await read(files.keyFile)) ?? cert)
  const tls = {
    timeout: patience,
    ...(isSecure ? { ca: ca !== undefined && certified ? [ca] : [...systemCertificates(), ...(ca ? [ca] : [])] } : {}),
    ...(cert === undefined || key === undefined ? {} : { cert, key }),
  }
  const options = { allowH2: false, connections: 1, connect: tls }
  return isLoopback(url.hostname) ? new Agent(options) : new EnvHttpProxyAgent({ ...options, requestTls: tls })
}

const readText = async (body: Dispatcher.ResponseData["body"]): Promise<string> => {
  const chunks: Array<Buffer> = []
  let size = 0
  for await (const chunk of body as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > maximumText) throw new Error(`the answer is larger than ${maximumText} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString("utf8")
}

/** Bytes between two looks at the room. */
const roomInterval = 16 * 1024 * 1024

/** Gives the SHA-512 of what came, in hex. */
const pour = async (
  body: Dispatcher.ResponseData["body"],
  fd: number,
  room: () => number,
  progress: { bytes: number },
): Promise<string> => {
  const digest = createHash("sha512")
  let limit = 0
  for await (const chunk of body as AsyncIterable<Buffer>) {
    if (progress.bytes + chunk.length > limit) {
      const left = room()
      if (left < chunk.length) {
        throw new CacheError({ reason: "NoSpace", message: `there is no space for more than ${progress.bytes} bytes` })
      }
      limit = progress.bytes + Math.min(left, Math.max(roomInterval, chunk.length))
    }
    digest.update(chunk)
    for (let written = 0; written < chunk.length;) {
      const { bytesWritten } = await write(fd, chunk, written, chunk.length - written, progress.bytes + written)
      written += bytesWritten
    }
    progress.bytes += chunk.length
  }
  return digest.digest("hex")
}
