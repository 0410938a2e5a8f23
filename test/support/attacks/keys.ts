// A pair that a partition's user makes for the agent to sign with: an RSA key of any size, without looking for primes.
// TLS takes it, because certificate and key belong together; nobody has to have signed the certificate.
import { createHash } from "node:crypto"

const lengthOf = (length: number): Buffer => {
  if (length < 128) return Buffer.from([length])
  const bytes = Buffer.from(evenHex(BigInt(length)), "hex")
  return Buffer.concat([Buffer.from([0x80 | bytes.length]), bytes])
}
const evenHex = (value: bigint): string => {
  const hex = value.toString(16)
  return hex.length % 2 === 0 ? hex : `0${hex}`
}
const tagged = (tag: number, ...parts: ReadonlyArray<Buffer>): Buffer => {
  const content = Buffer.concat(parts)
  return Buffer.concat([Buffer.from([tag]), lengthOf(content.length), content])
}
const sequence = (...parts: ReadonlyArray<Buffer>): Buffer => tagged(0x30, ...parts)
const integer = (value: bigint): Buffer => {
  const hex = evenHex(value)
  // A byte of zeros before what would be negative.
  return tagged(0x02, Buffer.from(/^[89a-f]/.test(hex) ? `00${hex}` : hex, "hex"))
}
const identifier = (hex: string): Buffer => tagged(0x06, Buffer.from(hex, "hex"))
const nothing = tagged(0x05)
const bits = (content: Buffer): Buffer => tagged(0x03, Buffer.from([0]), content)
const time = (text: string): Buffer => tagged(0x17, Buffer.from(text))

const pem = (label: string, content: Buffer): string =>
  `-----BEGIN ${label}-----\n${content.toString("base64").replaceAll(/.{64}/g, "$&\n").trimEnd()}\n-----END ${label}-----\n`

/** Odd, of exactly so many bits, always the same. */
const oddNumber = (size: number, seed: string): bigint => {
  const bytes = createHash("shake256", { outputLength: size / 8 })
    .update(seed)
    .digest()
  bytes[0]! |= 0xc0
  bytes[bytes.length - 1]! |= 1
  return BigInt(`0x${bytes.toString("hex")}`)
}

export const makeGiantPair = (size: number): { readonly key: string; readonly certificate: string } => {
  const [p, q, d] = [oddNumber(size / 2, "p"), oddNumber(size / 2, "q"), oddNumber(size, "d")]
  const [n, e] = [p * q, 65_537n]
  const key = sequence(...[0n, n, e, d, p, q, d % (p - 1n), d % (q - 1n), 3n].map(integer))
  const [rsaEncryption, sha256WithRsa] = [identifier("2a864886f70d010101"), identifier("2a864886f70d01010b")]
  const name = sequence(tagged(0x31, sequence(identifier("550403"), tagged(0x0c, Buffer.from("slappart0")))))
  const algorithm = sequence(sha256WithRsa, nothing)
  const body = sequence(
    tagged(0xa0, integer(2n)),
    integer(1n),
    algorithm,
    name,
    sequence(time("200101000000Z"), time("491231000000Z")),
    name,
    sequence(sequence(rsaEncryption, nothing), bits(sequence(integer(n), integer(e)))),
  )
  const certificate = sequence(body, algorithm, bits(Buffer.from("unsigned")))
  return { key: pem("RSA PRIVATE KEY", key), certificate: pem("CERTIFICATE", certificate) }
}
