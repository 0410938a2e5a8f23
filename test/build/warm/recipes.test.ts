// What is taken from an `.installed.cfg`, which its partition's user can write.
import { expect, it } from "vitest"
import { recipesIn } from "../../../src/build/warm/recipes.ts"

it.each<[string, string, ReturnType<typeof recipesIn>]>([
  ["nothing", "[buildout]\nparts = a\n", []],
  ["a requirement's default", "[a]\nrecipe = slapos.cookbook\n", [["slapos.cookbook", "default"]]],
  ["a requirement and an entry", "[a]\nrecipe = slapos.cookbook:publish\n", [["slapos.cookbook", "publish"]]],
  [
    "each once",
    "[a]\nrecipe = x:one\n[b]\nrecipe=x:one\n[c]\nrecipe = x:two\n",
    [
      ["x", "one"],
      ["x", "two"],
    ],
  ],
  ["no lines that continue another option", "[a]\ntext = b\n\trecipe = x\n", []],
  ["no paths", "[a]\nrecipe = ../evil\n[b]\nrecipe = /evil\n", []],
  ["no words", "[a]\nrecipe = os system\n", []],
  ["no versions", "[a]\nrecipe = x==1\n", []],
  ["no endless names", `[a]\nrecipe = ${"x".repeat(200)}\n`, []],
])("%s", (_, installed, recipes) => {
  expect(recipesIn(installed)).toStrictEqual(recipes)
})
