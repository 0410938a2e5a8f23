// Connections to one master: a pool that is kept while the certificate files stay the same, proxies from the
// environment, and short-lived pools for partitions that speak with their own certificate.
import { constants } from "node:fs"
import { open } from "node:fs/promises"
import { Agent, type Dispatcher, EnvHttpProxyAgent } from "undici"
import { isLoopback, systemCertificates } from "../../files/network.ts"
import { CredentialsError, maximumAnswer } from "./failures.ts"

export interface CertificateFiles {
  readonly keyFile: string
  readonly certFile: string
}

/** What a TLS connection shows and trusts (PEM texts). */
interface Credentials {
  readonly key: string | undefined
  readonly cert: string | undefined
  readonly ca: string | undefined
}

/**
 * The files are looked at before every call, so that a renewed certificate is used without a restart. Without `https`
 * no file is read.
 */
export class Connections {
  readonly #master: URL
  readonly #computer: CertificateFiles | undefined
  readonly #caFile: string | undefined
  #kept: { readonly credentials: Credentials; readonly dispatcher: Dispatcher } | undefined

  constructor(master: URL, computer: CertificateFiles | undefined, caFile: string | undefined) {
    this.#master = master
    this.#computer = computer
    this.#caFile = caFile
  }

  /** The pool that shows the computer's certificate. */
  async computer(): Promise<Dispatcher> {
    const credentials = await this.#read(this.#computer)
    if (this.#kept !== undefined && same(this.#kept.credentials, credentials)) {
      return this.#kept.dispatcher
    }
    const former = this.#kept?.dispatcher
    const dispatcher = connect(this.#master, credentials)
    this.#kept = { credentials, dispatcher }
    // Ends by itself when its last call has its answer.
    void former?.close()
    return dispatcher
  }

  /** A pool that shows this certificate; whoever asked closes it. Undefined: there is no such certificate, or no TLS. */
  async own(files: CertificateFiles): Promise<Dispatcher | undefined> {
    if (this.#master.protocol !== "https:") {
      return undefined
    }
    try {
      return connect(this.#master, await this.#read(files))
    } catch (error) {
      if (error instanceof CredentialsError && isMissing(error.cause)) {
        return undefined
      }
      throw error
    }
  }

  async destroy(): Promise<void> {
    await this.#kept?.dispatcher.destroy()
  }

  async #read(files: CertificateFiles | undefined): Promise<Credentials> {
    if (this.#master.protocol !== "https:") {
      return { key: undefined, cert: undefined, ca: undefined }
    }
    return {
      key: files && (await readPem(files.keyFile)),
      cert: files && (await readPem(files.certFile)),
      ca: this.#caFile === undefined ? undefined : await readPem(this.#caFile),
    }
  }
}

const same = (left: Credentials, right: Credentials): boolean =>
  left.key === right.key && left.cert === right.cert && left.ca === right.ca

/** Reports come in bursts, one for each partition: more calls at once would only queue up in the master. */
const maximumConnections = 16

const connect = (master: URL, { ca, cert, key }: Credentials): Dispatcher => {
  const tls = {
    ca: ca === undefined ? systemCertificates() : [ca],
    ...(key !== undefined && cert !== undefined ? { key, cert } : {}),
  }
  const options = { maxResponseSize: maximumAnswer, allowH2: false, connections: maximumConnections }
  // A proxy could not reach this machine's own master.
  return isLoopback(master.hostname)
    ? new Agent({ ...options, connect: tls })
    : new EnvHttpProxyAgent({ ...options, connect: tls, requestTls: tls })
}

const isMissing = (error: unknown): boolean => error instanceof Error && "code" in error && error.code === "ENOENT"

/** A file of CAs can hold hundreds; a partition owns its own certificate file and may fill it with anything. */
const maximumPem = 2 * 1024 * 1024

const readPem = async (path: string): Promise<string> => {
  try {
    await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
    const { size } = await file.stat()
    if (size > maximumPem) {
      throw new Error(`it has ${size} bytes`)
    }
    return await file.readFile("latin1")
  } catch (cause) {
    const problem = cause instanceof Error ? cause.message : String(cause)
    throw new CredentialsError(`${path} cannot be read (${problem})`, { cause })
  }
}
