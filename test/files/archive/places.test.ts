import * as fc from "fast-check"
import * as path from "node:path"
import { describe, expect, it } from "vitest"
import { PlaceError, placeOf, staysInside, turnsBack } from "../../../src/files/archive/places.ts"
import { fuzz } from "../../support/fuzz.ts"

describe("the name of an entry", () => {
  it.each([
    ["release", ""],
    ["release/", ""],
    ["./release/./a//b/", "a/b"],
    ["release/..a/b..", "..a/b.."],
  ])("%j means %j", (name, place) => {
    expect(placeOf(name, "release")).toBe(place)
  })

  it.each([
    ["", "is not in the folder release"],
    [".", "is not in the folder release"],
    ["releases/a", "is not in the folder release"],
    ["other/release/a", "is not in the folder release"],
    ["/release/a", "has an absolute name"],
    ["..", "leads out with '..'"],
    ["../release/a", "leads out with '..'"],
    ["release/..", "leads out with '..'"],
    ["release/a/../b", "leads out with '..'"],
    ["release/a\0b", "has a NUL in its name"],
  ])("%j is refused: it %s", (name, why) => {
    expect(() => placeOf(name, "release")).toThrow(new PlaceError(why))
  })
})

describe("a symbolic link", () => {
  const homes = ["/opt/slapgrid/0123"]
  const directories = new Set(["", "bin", "parts", "parts/lib"])
  const stays = (place: string, target: string) => staysInside(place, target, homes, (at) => directories.has(at))

  it.each([
    ["bin/a", "b"],
    ["bin/a", "../parts/lib/x"],
    ["bin/a", "."],
    ["a", "no/such/thing"],
    ["parts/lib/x", "../../bin/./a"],
    ["parts/lib/x", "/opt/slapgrid/0123"],
    ["parts/lib/x", "/opt/slapgrid/0123/parts/lib/y"],
    ["parts/lib/x", "/opt/slapgrid/0123/parts/../bin"],
    ["bin/python", "/usr/bin/python3"],
    ["bin/sh", "/bin/sh"],
    ["lib/libc.so", "/usr/lib/../lib/x86_64-linux-gnu/libc.so.6"],
    ["log", "/dev/null"],
    ["a", "parts/lib/../lib/x"],
  ])("%s → %s stays", (place, target) => {
    expect(stays(place, target)).toBe(true)
  })

  it.each([
    ["bin/a", ""],
    ["a", ".."],
    ["bin/a", "../.."],
    ["bin/a", "../../0123/bin/b"],
    ["a", "../other/x"],
    ["a", "/"],
    ["a", "/etc/passwd"],
    ["a", "/usr/../etc/passwd"],
    ["a", "/usrlocal"],
    ["a", "/opt/slapgrid"],
    ["a", "/opt/slapgrid/01234/x"],
    ["a", "/opt/slapgrid/0123/../4567"],
    ["a", "/opt/slapgrid/0123/parts/../../x"],
    ["a", "/proc/self/root"],
    ["a", "/dev/sda"],
    // `link` can lead anywhere below: what lies above its end is not known.
    ["a", "link/.."],
    ["a", "/opt/slapgrid/0123/link/../x"],
    ["a", "parts\0"],
  ])("%j → %j is refused", (place, target) => {
    expect(stays(place, target)).toBe(false)
  })

  it.each([
    ["../../a/b", false],
    ["a/b", false],
    ["a/../b", true],
    ["../a/..", true],
    ["/a/../b", true],
  ])("%s turns back: %s", (target, expected) => {
    expect(turnsBack(target)).toBe(expected)
  })

  it("that stays does so for whoever follows it through real directories", () => {
    const part = fc.constantFrom("..", ".", "parts", "lib", "x")
    fc.assert(
      fc.property(fc.array(part, { maxLength: 8 }), fc.constantFrom("a", "parts/a", "parts/lib/a"), (parts, place) => {
        const target = parts.join("/")
        if (!staysInside(place, target, homes, () => true)) return
        const end = path.posix.join("/top", path.posix.dirname(place), target)
        expect(end === "/top" || end === "/top/" || end.startsWith("/top/")).toBe(true)
      }),
      fuzz(31, 500),
    )
  })
})
