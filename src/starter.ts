// The head of slapgrid.js. The program itself follows it in a comment (scripts/build.ts), so that Node does not compile
// two million characters at each start: what V8 made of them for an agent is kept in the directory `compiled` beside
// slapgrid.js, where there is one. That is code which runs as root: who may write it is decided here (SECURITY.md).
const oldest = 22
/** Bytes before the code: a checksum of what says which program it is of, and one of the code. */
const headerSize = 8

/** How much more there has to be to be worth another file. */
const growth = 1.02

/** An older Node gets one line, not the stack of the first thing that it lacks. */
const requireNode = (): void => {
  if (Number(process.versions.node.split(".")[0]) >= oldest) return
  process.stderr.write(`slapgrid: needs Node.js ${oldest}.22.2 or newer, this is ${process.versions.node}\n`)
  process.exit(1)
}

/**
 * Compiles and runs what the comment in `carrier` has. The text is a part of the source that Node has in memory already,
 * not another copy. `line` is the number of lines above it, so that stacks tell the true ones; `build` stands for the text.
 */
export const start = (carrier: () => void, line: number, build: string): void => {
  requireNode()
  const source = carrier.toString()
  const program = source.slice(source.indexOf("/*") + 2, source.lastIndexOf("*/"))
  const fs = process.getBuiltinModule("node:fs")
  const v8 = process.getBuiltinModule("node:v8")
  const { crc32 } = process.getBuiltinModule("node:zlib")
  const { filename } = import.meta
  const { mtimeMs, uid: owner } = fs.statSync(filename)
  const directory = `${import.meta.dirname}/compiled`
  // V8's tag has its version, its flags and what the processor can do.
  const tag = v8.cachedDataVersionTag()
  const file = `${directory}/${process.version}-${process.arch}-${tag.toString(16)}`
  // With the time, for those who change a letter of it by hand; V8 knows no more of the text than its length.
  const ofProgram = crc32(`${build} ${mtimeMs}`)

  /** Only what the program's owner wrote and nobody else could change; V8 would take it damaged. */
  const read = (): Buffer | undefined => {
    const { O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = fs.constants
    let fd: number | undefined
    try {
      fd = fs.openSync(file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
      const { mode, uid } = fs.fstatSync(fd)
      if (uid !== owner || (mode & 0o022) !== 0) return undefined
      const content = fs.readFileSync(fd)
      const code = content.subarray(headerSize)
      return content.readUInt32LE(0) === ofProgram && content.readUInt32LE(4) === crc32(code) ? code : undefined
    } catch {
      return undefined
    } finally {
      if (fd !== undefined) fs.closeSync(fd)
    }
  }

  const cachedData = read()
  const { Script } = process.getBuiltinModule("node:vm")
  const script = new Script(program, { filename, lineOffset: line, ...(cachedData && { cachedData }) })

  // An agent compiles more, the more it has to do.
  let enough = script.cachedDataRejected === false && cachedData !== undefined ? cachedData.length * growth : 0

  /** For the next start. Nobody but the owner leaves files there, and a start goes well without. */
  const keepCompiled = (): void => {
    if (process.geteuid?.() !== owner || v8.cachedDataVersionTag() !== tag) return
    const unfinished = `${file}.new`
    try {
      fs.accessSync(directory, fs.constants.W_OK)
      const code = script.createCachedData()
      if (code.length < enough) return
      const header = Buffer.alloc(headerSize)
      header.writeUInt32LE(ofProgram, 0)
      header.writeUInt32LE(crc32(code), 4)
      fs.rmSync(unfinished, { force: true })
      fs.writeFileSync(unfinished, Buffer.concat([header, code]), { flag: "wx", mode: 0o644 })
      fs.renameSync(unfinished, file)
      enough = code.length * growth
    } catch {
      // A directory that is missing or cannot be written, a full disk.
    }
  }
  script.runInThisContext()(keepCompiled)
}
