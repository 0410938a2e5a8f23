// Signatures as they are on the wire: RSA with PKCS#1 v1.5 over the SHA-1 of an entry's text. It is all that holders of
// the reference's keys make and check; what it guards against a second text with the same SHA-1 is the signer's honesty.
import { createPublicKey, sign, verify } from "node:crypto"

/** Whether one of the certificates (PEM) belongs to the key that made the signature. Without any, nobody's does. */
export const isSignedByOneOf = (text: string, signature: string, certificates: ReadonlyArray<string>): boolean =>
  certificates.some((certificate) => {
    const key = createPublicKey(certificate)
    return key.asymmetricKeyType === "rsa" && verify("sha1", Buffer.from(text), key, Buffer.from(signature, "base64"))
  })

/** The signature in base64. Throws when the text of the key file is no RSA key without a passphrase. */
export const signWith = (text: string, key: string): string => sign("sha1", Buffer.from(text), key).toString("base64")
