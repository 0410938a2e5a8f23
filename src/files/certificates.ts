// Files of certificates and keys (PEM): their text for a TLS connection, and from when until when what is in them is
// valid. Paths come from the configuration and may be links, as tools that renew certificates make them.
import { X509Certificate } from "node:crypto"
import { constants } from "node:fs"
import { open } from "node:fs/promises"

/** Milliseconds since 1970. */
export interface Validity {
  readonly from: number
  readonly until: number
}

/** A file of CAs can hold hundreds; a partition owns its own certificate file and may fill it with anything. */
const maximumPem = 2 * 1024 * 1024

/** The text of a file; rejects with what is wrong. A FIFO or a device keeps nobody waiting. */
export const readPem = async (path: string): Promise<string> => {
  await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
  const stats = await file.stat()
  if (!stats.isFile()) throw new Error("it is no regular file")
  if (stats.size > maximumPem) throw new Error(`it has ${stats.size} bytes`)
  return await file.readFile("latin1")
}

const certificate = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g

/** When the certificates of a PEM text are valid, in their order; undefined when one of them cannot be read. */
export const validitiesIn = (pem: string): ReadonlyArray<Validity> | undefined => {
  try {
    return (pem.match(certificate) ?? []).map((text) => {
      const { validFromDate, validToDate } = new X509Certificate(text)
      return { from: validFromDate.getTime(), until: validToDate.getTime() }
    })
  } catch {
    return undefined
  }
}
