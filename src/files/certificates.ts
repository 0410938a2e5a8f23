// Files of certificates and keys (PEM): their text for a TLS connection, from when until when what is in them is valid,
// and whether a key may be used. Paths come from the configuration and may be links, as tools that renew certificates make them.
import { createPrivateKey, X509Certificate } from "node:crypto"
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

/** Of the text of a key, and of an RSA key's modulus: a signature then takes a fraction of a second. */
const maximumKey = 12 * 1024
const maximumModulus = 8192
const usualKeys = new Set<string | undefined>(["rsa", "rsa-pss", "ec", "ed25519", "ed448"])

/**
 * Why a key that a partition's user may have made is not to be used; undefined when it may be. Signing is the event loop's
 * own work, and with a key of a hundred thousand bits it takes minutes.
 */
export const keyProblem = (pem: string): string | undefined => {
  if (pem.length > maximumKey) return `it has ${pem.length} bytes, more than ${maximumKey}`
  try {
    const { asymmetricKeyDetails, asymmetricKeyType } = createPrivateKey(pem)
    const { modulusLength = 0 } = asymmetricKeyDetails ?? {}
    if (modulusLength > maximumModulus) return `its key has ${modulusLength} bits, more than ${maximumModulus}`
    return usualKeys.has(asymmetricKeyType) ? undefined : `it is a ${asymmetricKeyType} key`
  } catch {
    return "it is no private key in PEM without a passphrase"
  }
}
