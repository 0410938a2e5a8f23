// Private certificates, made with the openssl command: good ones, and ones with whatever a test needs to be wrong.
import { execFileSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

export interface Issue {
  /** The common name; the files' name when missing. */
  readonly subject?: string
  /** Whom it is for; this machine's loopback address and `master.invalid` when missing. */
  readonly altName?: string
  /** When it is valid, in days from now; for two days when missing. */
  readonly days?: readonly [from: number, until: number]
  /** Signed with its own key instead of the authority's. */
  readonly isSelfSigned?: boolean
}

export interface Authority {
  readonly directory: string
  readonly caFile: string
  /** Makes `<name>.crt` and `<name>.key`, signed by this authority. */
  readonly issue: (name: string, issue?: Issue) => { readonly certFile: string; readonly keyFile: string }
  readonly read: (file: string) => Buffer
  readonly remove: () => void
}

const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]

const settings = `
[ca]
default_ca = own
[own]
database = index.txt
new_certs_dir = .
rand_serial = yes
unique_subject = no
default_md = sha256
default_days = 2
policy = any
copy_extensions = copy
[any]
commonName = supplied
`

/** `20260102030405Z`, as openssl wants it. */
const inDays = (days: number): string => {
  const date = new Date(Date.now() + days * 86_400_000)
  return `${date.toISOString().replaceAll(/[-:T]/g, "").slice(0, 14)}Z`
}

export const makeAuthority = (): Authority => {
  const directory = mkdtempSync(join(tmpdir(), "slapgrid-ca-"))
  const openssl = (...words: ReadonlyArray<string>) => execFileSync("openssl", words, { cwd: directory, stdio: "pipe" })
  writeFileSync(join(directory, "ca.cnf"), settings)
  writeFileSync(join(directory, "index.txt"), "")
  openssl("req", "-x509", ...newKey, "-days", "2", "-subj", "/CN=Test CA", "-keyout", "ca.key", "-out", "ca.crt")
  const sign = (name: string, { days, isSelfSigned = false }: Issue) => {
    const signer = isSelfSigned ? ["-selfsign", "-keyfile", `${name}.key`] : ["-cert", "ca.crt", "-keyfile", "ca.key"]
    const dates = days === undefined ? [] : ["-startdate", inDays(days[0]), "-enddate", inDays(days[1])]
    const files = ["-in", `${name}.csr`, "-out", `${name}.crt`]
    openssl("ca", "-batch", "-notext", "-config", "ca.cnf", ...signer, ...dates, ...files)
  }
  return {
    directory,
    caFile: join(directory, "ca.crt"),
    issue: (name, issue = {}) => {
      const { altName = "IP:127.0.0.1,DNS:master.invalid", subject = name } = issue
      const extensions = ["-addext", `subjectAltName=${altName}`, "-addext", "basicConstraints=critical,CA:FALSE"]
      const files = ["-keyout", `${name}.key`, "-out", `${name}.csr`]
      openssl("req", ...newKey, "-subj", `/CN=${subject}`, ...extensions, ...files)
      sign(name, issue)
      return { certFile: join(directory, `${name}.crt`), keyFile: join(directory, `${name}.key`) }
    },
    read: (file) => readFileSync(join(directory, file)),
    remove: () => rmSync(directory, { recursive: true }),
  }
}
