// What the lock file promises of the packages that this one is made of (SECURITY.md, Supply).
import { readFileSync } from "node:fs"
import { describe, expect, it } from "vitest"

interface Package {
  readonly version?: string
  readonly integrity?: string
  readonly resolved?: string
  readonly link?: boolean
  readonly dev?: boolean
  readonly optional?: boolean
  readonly os?: ReadonlyArray<string>
  readonly cpu?: ReadonlyArray<string>
  readonly libc?: ReadonlyArray<string>
  readonly hasInstallScript?: boolean
}

const read = (name: string) => JSON.parse(readFileSync(new URL(`../${name}`, import.meta.url), "utf8"))
const { packages } = read("package-lock.json") as { readonly packages: Readonly<Record<string, Package>> }
const { dependencies, devDependencies } = read("package.json") as Readonly<
  Record<string, Readonly<Record<string, string>>>
>
const installed = Object.entries(packages).filter(([path]) => path !== "")
const names = (found: ReadonlyArray<readonly [string, Package]>) => found.map(([path]) => path)

/** Tools for development on other machines than those that test and ship: never loaded where the lock file says nothing. */
const isElsewhere = ({ cpu, dev, libc, optional, os }: Package): boolean =>
  dev === true &&
  optional === true &&
  (os?.includes("linux") !== true || cpu?.includes("x64") !== true || libc?.includes("musl") === true)

describe("packages", () => {
  it("have a SHA-512 each", () => {
    const without = installed.filter(([, one]) => !/^sha512-[A-Za-z0-9+/]{86}==$/.test(one.integrity ?? ""))
    expect(names(without.filter(([, one]) => !isElsewhere(one)))).toStrictEqual([])
    expect(installed.length - without.length).toBeGreaterThan(100)
  })

  it("come from the registry, and run nothing at their installation", () => {
    const others = installed.filter(
      ([, { link, resolved }]) =>
        link || !(resolved ?? "https://registry.npmjs.org/").startsWith("https://registry.npmjs.org/"),
    )
    expect(names(others)).toStrictEqual([])
    expect(names(installed.filter(([, { hasInstallScript }]) => hasInstallScript))).toStrictEqual([])
  })

  it("are named by their exact versions, which are those of the lock file", () => {
    const direct = Object.entries({ ...dependencies, ...devDependencies })
    expect(direct.filter(([, version]) => !/^\d+\.\d+\.\d+(?:-[\w.]+)?$/.test(version))).toStrictEqual([])
    expect(direct.map(([name]) => [name, packages[`node_modules/${name}`]?.version])).toStrictEqual(direct)
  })
})
