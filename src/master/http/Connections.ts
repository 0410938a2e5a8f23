// Connections to one master: a pool that is kept while the certificate files stay the same, proxies from the
// environment, and short-lived pools for partitions that speak with their own certificate.
import { createSecureContext } from "node:tls"
import { Agent, type Dispatcher, EnvHttpProxyAgent } from "undici"
import { keyProblem, readPem, type Validity, validitiesIn } from "../../files/certificates.ts"
import { hasTlsProxy, isLoopback, systemCertificates } from "../../files/network.ts"
import { CredentialsError, maximumAnswer } from "./failures.ts"

export interface CertificateFiles {
  readonly keyFile: string
  readonly certFile: string
}

/** Connections that show one certificate. */
export interface Pool {
  readonly dispatcher: Dispatcher
  /** The file of the certificate that is shown, and when it is valid; undefined: none is, or nobody can read it. */
  readonly shown: { readonly file: string; readonly validity: Validity } | undefined
  /** Whether the last call had an answer, so that the next one may go over a connection that was kept. */
  hasAnswered: boolean
}

export interface Trust {
  /** CAs that may have signed the master's certificate; undefined: the system's. */
  readonly caFile: string | undefined
  /** False: anybody is taken for the master. */
  readonly isVerified: boolean
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
  readonly #trust: Trust
  #kept: { readonly credentials: Credentials; readonly pool: Pool } | undefined

  constructor(master: URL, computer: CertificateFiles | undefined, trust: Trust) {
    this.#master = master
    this.#computer = computer
    this.#trust = trust
  }

  /** The pool that shows the computer's certificate. */
  async computer(): Promise<Pool> {
    const credentials = await this.#read(this.#computer)
    if (this.#kept !== undefined && same(this.#kept.credentials, credentials)) {
      return this.#kept.pool
    }
    const former = this.#kept?.pool
    const pool = this.#connect(this.#computer, credentials)
    this.#kept = { credentials, pool }
    // Ends by itself when its last call has its answer.
    void former?.dispatcher.close()
    return pool
  }

  /** The same without a connection yet; whoever asked closes it. */
  async fresh(): Promise<Pool> {
    return this.#connect(this.#computer, await this.#read(this.#computer))
  }

  /** A pool that shows this certificate; whoever asked closes it. Undefined: there is no such certificate, or no TLS. */
  async own(files: CertificateFiles): Promise<Pool | undefined> {
    if (this.#master.protocol !== "https:") {
      return undefined
    }
    try {
      const credentials = await this.#read(files)
      // The files are a partition's own: whatever its user has put into them.
      const problem = credentials.key && keyProblem(credentials.key)
      if (problem) throw new CredentialsError(`${files.keyFile} is not used: ${problem}`)
      return this.#connect(files, credentials)
    } catch (error) {
      if (error instanceof CredentialsError && isMissing(error.cause)) {
        return undefined
      }
      throw error
    }
  }

  async destroy(): Promise<void> {
    await this.#kept?.pool.dispatcher.destroy()
  }

  #connect(files: CertificateFiles | undefined, credentials: Credentials): Pool {
    const validity = credentials.cert === undefined ? undefined : validitiesIn(credentials.cert)?.[0]
    return {
      dispatcher: connect(this.#master, credentials, this.#trust.isVerified),
      shown: files && validity && { file: files.certFile, validity },
      hasAnswered: false,
    }
  }

  async #read(files: CertificateFiles | undefined): Promise<Credentials> {
    if (this.#master.protocol !== "https:") {
      return { key: undefined, cert: undefined, ca: undefined }
    }
    return {
      key: files && (await readCredential(files.keyFile)),
      cert: files && (await readCredential(files.certFile)),
      ca: this.#trust.caFile === undefined ? undefined : await readCredential(this.#trust.caFile),
    }
  }
}

const same = (left: Credentials, right: Credentials): boolean =>
  left.key === right.key && left.cert === right.cert && left.ca === right.ca

/** Milliseconds: until the next question by default, less than servers wait that do not say for how long they do. */
const idleTime = 70_000

/** Reports come in bursts, one for each partition: more calls at once would only queue up in the master. */
const maximumConnections = 16

const connect = (master: URL, { ca, cert, key }: Credentials, isVerified: boolean): Dispatcher => {
  // Made once: reading a system's CAs for every connection would take longer than the call.
  const secureContext =
    master.protocol === "https:"
      ? createSecureContext({ ca: ca === undefined ? systemCertificates() : [ca], ...pairOf(key, cert) })
      : undefined
  const tls = { rejectUnauthorized: isVerified, ...(secureContext && { secureContext }) }
  const options = {
    maxResponseSize: maximumAnswer,
    allowH2: false,
    connections: maximumConnections,
    keepAliveTimeout: idleTime,
  }
  // A proxy could not reach this machine's own master.
  if (isLoopback(master.hostname)) return new Agent({ ...options, connect: tls })
  // Not without need: to read the system's CAs takes as long as the rest of a start, and undici copies its options.
  const proxyTls = hasTlsProxy() ? { ca: systemCertificates() } : undefined
  return new EnvHttpProxyAgent({ ...options, connect: tls, requestTls: tls, ...(proxyTls && { proxyTls }) })
}

const pairOf = (key: string | undefined, cert: string | undefined) =>
  key === undefined || cert === undefined ? {} : { key, cert }

const isMissing = (error: unknown): boolean => error instanceof Error && "code" in error && error.code === "ENOENT"

const readCredential = async (path: string): Promise<string> => {
  try {
    return await readPem(path)
  } catch (cause) {
    const problem = cause instanceof Error ? cause.message : String(cause)
    throw new CredentialsError(`${path} cannot be read (${problem})`, { cause })
  }
}
