// Reads a tar archive as its bytes come: ustar, pax and GNU long names. It only tells what the archive says; what may
// become a file is decided by whoever listens. Names are kept byte for byte, as text of one character a byte (latin1).

export interface TarEntry {
  readonly type: "file" | "directory" | "symlink" | "link"
  readonly path: string
  /** What a link leads to, as it is written; "" for other entries. */
  readonly target: string
  /** Bytes of a file. */
  readonly size: number
  readonly mode: number
  /** Seconds since 1970. */
  readonly mtime: number
}

export interface TarListener {
  readonly entry: (entry: TarEntry) => void
  /** A part of the file that was last told of; not to be kept. */
  readonly data: (bytes: Uint8Array) => void
  /** All of that file was told. */
  readonly end: () => void
}

/** The archive is no tar, is cut off or holds what is not unpacked; the message follows 'the archive'. */
export class TarError extends Error {}

const blockSize = 512
/** Names of more than PATH_MAX cannot be used; records also carry attributes, which are skipped. */
const maximumRecords = 1024 * 1024

/** A name as people read it. */
export const shown = (bytes: string): string => JSON.stringify(Buffer.from(bytes, "latin1").toString("utf8"))

/** Bytes up to the first NUL. */
const text = (block: Buffer, from: number, length: number): string => {
  const end = block.indexOf(0, from)
  return block.toString("latin1", from, end < 0 || end > from + length ? from + length : end)
}

/** A number in octal digits, or in GNU's base 256 when the first bit is set. */
const number = (block: Buffer, from: number, length: number, what: string): number => {
  const first = block[from] ?? 0
  if (first === 0x80) {
    let value = 0
    for (let index = from + 1; index < from + length; index++) value = value * 256 + (block[index] ?? 0)
    if (Number.isSafeInteger(value)) return value
  } else {
    const digits = text(block, from, length).trim()
    const value = digits === "" ? 0 : /^[0-7]+$/.test(digits) ? Number.parseInt(digits, 8) : Number.NaN
    if (Number.isSafeInteger(value)) return value
  }
  throw new TarError(`is damaged: a header has no valid ${what}`)
}

/** Also times before 1970, which base 256 can hold: none of a release's files needs one. */
const time = (block: Buffer): number => ((block[136] ?? 0) >= 0x80 ? 0 : number(block, 136, 12, "time"))

const checksumField = { from: 148, to: 156 }

const isChecked = (block: Buffer): boolean => {
  let sum = 0
  for (let index = 0; index < blockSize; index++) sum += block[index] ?? 0
  for (let index = checksumField.from; index < checksumField.to; index++) sum += 0x20 - (block[index] ?? 0)
  return sum === number(block, checksumField.from, 8, "checksum")
}

const isZero = (block: Buffer): boolean => block[0] === 0 && block.every((byte) => byte === 0)

/** Records `<length> <key>=<value>\n` of a pax header; values are UTF-8, read as bytes. */
export const parseRecords = (bytes: Buffer): ReadonlyMap<string, string> => {
  const records = new Map<string, string>()
  let from = 0
  while (from < bytes.length) {
    const space = bytes.indexOf(0x20, from)
    const digits = space < 0 ? "" : bytes.toString("latin1", from, space)
    const end = from + Number(digits)
    const equals = bytes.indexOf(0x3d, space)
    if (
      !/^[1-9]\d{0,6}$/.test(digits) ||
      end > bytes.length ||
      bytes[end - 1] !== 0x0a ||
      equals < 0 ||
      equals >= end
    ) {
      throw new TarError("is damaged: an extended header cannot be read")
    }
    records.set(bytes.toString("latin1", space + 1, equals), bytes.toString("latin1", equals + 1, end - 1))
    from = end
  }
  return records
}

const decimal = (value: string, what: string): number => {
  const parsed = /^\d{1,15}(?:\.\d+)?$/.test(value) ? Number(value) : Number.NaN
  if (Number.isFinite(parsed)) return parsed
  throw new TarError(`is damaged: an extended header has no valid ${what}`)
}

/** What extended headers said about the next entry. */
interface Extended {
  path?: string
  target?: string
  size?: number
  mtime?: number
}

const types: ReadonlyMap<string, TarEntry["type"]> = new Map([
  ["0", "file"],
  ["\0", "file"],
  ["7", "file"],
  ["1", "link"],
  ["2", "symlink"],
  ["5", "directory"],
])

const refused: ReadonlyMap<string, string> = new Map([
  ["3", "a device"],
  ["4", "a device"],
  ["6", "a FIFO"],
  ["S", "a sparse file"],
  ["D", "a list of a directory"],
  ["M", "the continuation of another archive"],
  ["V", "a volume's name"],
])

type State = "header" | "file" | "records" | "padding" | "done"

export class TarReader {
  readonly #listener: TarListener
  #state: State = "header"
  /** A header that came in parts. */
  readonly #block = Buffer.alloc(blockSize)
  #filled = 0
  /** Bytes of the present state that are still to come. */
  #left = 0
  /** Bytes that fill up the last block of what is read now. */
  #padding = 0
  #records = Buffer.alloc(0)
  #recordType = ""
  #extended: Extended = {}

  constructor(listener: TarListener) {
    this.#listener = listener
  }

  /** Takes the next bytes. */
  feed(chunk: Buffer): void {
    let from = 0
    while (from < chunk.length && this.#state !== "done") {
      from += this.#state === "header" ? this.#takeHeader(chunk, from) : this.#takeBody(chunk, from)
    }
  }

  /** To be called when all bytes came. */
  close(): void {
    if (this.#state !== "done") throw new TarError("is cut off: its end is missing")
  }

  #takeHeader(chunk: Buffer, from: number): number {
    if (this.#filled === 0 && chunk.length - from >= blockSize) {
      this.#begin(chunk.subarray(from, from + blockSize))
      return blockSize
    }
    const count = chunk.copy(this.#block, this.#filled, from)
    this.#filled += count
    if (this.#filled === blockSize) {
      this.#filled = 0
      this.#begin(this.#block)
    }
    return count
  }

  #takeBody(chunk: Buffer, from: number): number {
    const count = Math.min(this.#left, chunk.length - from)
    if (this.#state === "file") this.#listener.data(chunk.subarray(from, from + count))
    if (this.#state === "records") chunk.copy(this.#records, this.#records.length - this.#left, from, from + count)
    this.#left -= count
    if (this.#left === 0) this.#finishBody()
    return count
  }

  #finishBody(): void {
    const state = this.#state
    this.#left = state === "padding" ? 0 : this.#padding
    this.#state = this.#left > 0 ? "padding" : "header"
    if (state === "file") this.#listener.end()
    if (state === "records") this.#applyRecords()
  }

  #await(state: "file" | "records", size: number): void {
    this.#state = state
    this.#left = size
    this.#padding = (blockSize - (size % blockSize)) % blockSize
    if (size === 0) this.#finishBody()
  }

  #begin(block: Buffer): void {
    if (isZero(block)) {
      // One block of zeros is the end: readers of tar archives take that, and look at nothing behind it.
      this.#state = "done"
      return
    }
    if (!isChecked(block)) throw new TarError("is damaged: a header has the wrong checksum, or it is no tar archive")
    const type = String.fromCharCode(block[156] ?? 0)
    if (["x", "g", "L", "K"].includes(type)) this.#beginRecords(type, number(block, 124, 12, "size"))
    else this.#beginEntry(type, block)
  }

  #beginRecords(type: string, size: number): void {
    if (size > maximumRecords) throw new TarError(`has an extended header of ${size} bytes`)
    this.#recordType = type
    this.#records = Buffer.alloc(size)
    this.#await("records", size)
  }

  #beginEntry(code: string, block: Buffer): void {
    const extended = this.#extended
    this.#extended = {}
    const path = extended.path ?? headerPath(block)
    const size = extended.size ?? number(block, 124, 12, "size")
    const known = types.get(code)
    if (known === undefined) {
      throw new TarError(`holds ${refused.get(code) ?? `an entry of the unknown type ${shown(code)}`}: ${shown(path)}`)
    }
    // Before there were types a directory was a name with a slash at its end.
    const type = code === "\0" && path.endsWith("/") ? "directory" : known
    if (type !== "file" && size !== 0) throw new TarError(`is damaged: ${shown(path)} is no file and has content`)
    const isLink = type === "link" || type === "symlink"
    this.#listener.entry({
      type,
      path,
      target: isLink ? (extended.target ?? text(block, 157, 100)) : "",
      size,
      mode: number(block, 100, 8, "mode"),
      mtime: extended.mtime ?? time(block),
    })
    if (type === "file") this.#await("file", size)
  }

  #applyRecords(): void {
    const bytes = this.#records
    this.#records = Buffer.alloc(0)
    if (this.#recordType === "L") this.#extended.path = text(bytes, 0, bytes.length)
    else if (this.#recordType === "K") this.#extended.target = text(bytes, 0, bytes.length)
    else if (this.#recordType === "g") refuseDefaults(parseRecords(bytes))
    else this.#extend(parseRecords(bytes))
  }

  #extend(records: ReadonlyMap<string, string>): void {
    refuseSparse(records)
    const path = records.get("path")
    const target = records.get("linkpath")
    const size = records.get("size")
    const mtime = records.get("mtime")
    if (path !== undefined) this.#extended.path = path
    if (target !== undefined) this.#extended.target = target
    if (size !== undefined) this.#extended.size = Math.trunc(decimal(size, "size"))
    if (mtime !== undefined) this.#extended.mtime = mtime.startsWith("-") ? 0 : decimal(mtime, "time")
  }
}

/** The name in a header itself: ustar cuts long ones in two; GNU has other things in the place of the first half. */
const headerPath = (block: Buffer): string => {
  const name = text(block, 0, 100)
  const prefix = block.toString("latin1", 257, 263) === "ustar\0" ? text(block, 345, 155) : ""
  return prefix === "" ? name : `${prefix}/${name}`
}

const refuseSparse = (records: ReadonlyMap<string, string>): void => {
  for (const key of records.keys()) {
    if (key.startsWith("GNU.sparse.")) throw new TarError("holds a sparse file")
  }
}

/** Comments are common; a name or size for every entry means no good. */
const refuseDefaults = (records: ReadonlyMap<string, string>): void => {
  refuseSparse(records)
  for (const key of ["path", "linkpath", "size"]) {
    if (records.has(key)) throw new TarError(`gives one ${key} to all its entries`)
  }
}
