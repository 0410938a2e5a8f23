// Tar archives as no tool would write them: a header a block, whatever it says.
import { gzipSync } from "node:zlib"

export interface Member {
  readonly name: string
  /** One of tar's type flags; a file ("0") when missing. */
  readonly type?: string
  readonly target?: string
  readonly content?: string | Uint8Array
  readonly mode?: number
  readonly mtime?: number
  /** What the header says when it is not the content's. */
  readonly size?: number
  readonly magic?: string
  readonly prefix?: string
}

const octal = (value: number, length: number): string => `${value.toString(8).padStart(length - 1, "0")}\0`

export const header = (member: Member): Buffer => {
  const { magic = "ustar\x0000", mode = 0o644, mtime = 1_700_000_000, prefix = "", target = "", type = "0" } = member
  const block = Buffer.alloc(512)
  const put = (text: string, at: number) => block.write(text, at, "latin1")
  put(Buffer.from(member.name).toString("latin1").slice(0, 100), 0)
  put(octal(mode, 8), 100)
  put(octal(0, 8), 108)
  put(octal(0, 8), 116)
  put(octal(member.size ?? Buffer.byteLength(member.content ?? ""), 12), 124)
  put(octal(mtime, 12), 136)
  put("        ", 148)
  put(type, 156)
  put(Buffer.from(target).toString("latin1").slice(0, 100), 157)
  put(magic, 257)
  put(prefix, 345)
  const sum = block.reduce((total, byte) => total + byte, 0)
  put(`${sum.toString(8).padStart(6, "0")}\0 `, 148)
  return block
}

const padded = (content: string | Uint8Array): Buffer => {
  const bytes = Buffer.from(content)
  return Buffer.concat([bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512)])
}

export const member = (one: Member): Buffer => Buffer.concat([header(one), padded(one.content ?? "")])

/** A pax record, which counts its own length. */
export const record = (key: string, value: string): string => {
  const length = Buffer.byteLength(` ${key}=${value}\n`)
  const digits = [1, 2, 3, 4, 5, 6].find((count) => String(length + count).length === count) ?? 6
  return `${length + digits} ${key}=${value}\n`
}

/** An archive of members and of blocks that are what they are. */
export const tarball = (...members: ReadonlyArray<Member | Buffer>): Buffer =>
  Buffer.concat([...members.map((one) => (Buffer.isBuffer(one) ? one : member(one))), Buffer.alloc(1024)])

export const gzipped = (...members: ReadonlyArray<Member | Buffer>): Buffer => gzipSync(tarball(...members))
