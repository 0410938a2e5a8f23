// Which recipes the instances of a release use: a helper that has them imported already saves each instance what they
// import. The names come from what buildout left in partitions, so they are anybody's: they are looked up among the
// entry points of the release's own eggs, and nothing else is ever imported for them.
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { writeDurably } from "../../files/durable.ts"
import { agentDirectory, pathExists } from "../../files/machine.ts"
import { OwnedDirectory } from "../../files/OwnedDirectory.ts"

/** A requirement and the name of an entry point. */
export type Recipe = readonly [requirement: string, entry: string]

const recipePattern = /^recipe[ \t]*=[ \t]*([A-Za-z0-9][\w.-]{0,99})(?::([\w.-]{1,100}))?[ \t]*$/gm
/** More than the recipes of one release are; further ones are imported by each instance. */
const mostRecipes = 100

/** The recipes that an `.installed.cfg` names. Pure. */
export const recipesIn = (installed: string): ReadonlyArray<Recipe> => [
  ...new Map(
    [...installed.matchAll(recipePattern)].map(([, requirement = "", entry = "default"]): [string, Recipe] => [
      `${requirement}:${entry}`,
      [requirement, entry],
    ]),
  ).values(),
]

/** Where buildout puts the eggs of a release. */
export const eggFolders = (release: string): ReadonlyArray<string> => [`${release}/develop-eggs`, `${release}/eggs`]

const Known = Schema.Struct({
  version: Schema.Literal(1),
  releases: Schema.Record(
    Schema.String,
    Schema.Struct({ stamp: Schema.String, recipes: Schema.Array(Schema.Tuple([Schema.String, Schema.String])) }),
  ),
})

const decode = Schema.decodeUnknownEffect(Schema.fromJsonString(Known))
const fileName = "recipes.json"
const maxSize = 4 * 1024 * 1024
const maxInstalled = 1024 * 1024

export interface KnownRecipes {
  /** Those of a release whose files have this stamp. */
  readonly of: (release: string, stamp: string) => ReadonlyArray<Recipe>
  /** Looks at what an instance was made of. */
  readonly learn: (release: string, stamp: string, instance: string) => Effect.Effect<void>
}

/** What an earlier agent knew, and what this one finds. A list that cannot be kept is found again. */
export const makeKnownRecipes = Effect.fnUntraced(function* (instanceRoot: string) {
  const path = `${agentDirectory(instanceRoot)}/${fileName}`
  const earlier = yield* OwnedDirectory.open(agentDirectory(instanceRoot)).pipe(
    Effect.flatMap((directory) => directory.read(fileName, maxSize)),
    Effect.flatMap(decode),
    Effect.orElseSucceed((): typeof Known.Type => ({ version: 1, releases: {} })),
  )
  const releases = new Map(Object.entries(earlier.releases))

  const of = (release: string, stamp: string): ReadonlyArray<Recipe> => {
    const known = releases.get(release)
    return known?.stamp === stamp ? known.recipes : []
  }

  const keep = Effect.suspend(() => {
    for (const release of releases.keys()) if (!pathExists(release)) releases.delete(release)
    const known: typeof Known.Type = { version: 1, releases: Object.fromEntries(releases) }
    return Effect.ignore(writeDurably(path, JSON.stringify(known)))
  })

  const learn = Effect.fnUntraced(
    function* (release: string, stamp: string, instance: string) {
      const directory = yield* OwnedDirectory.open(instance)
      const found = recipesIn((yield* directory.readIfPresent(".installed.cfg", maxInstalled)) ?? "")
      const known = of(release, stamp)
      const names = new Set(known.map(String))
      const recipes = [...known, ...found.filter((one) => !names.has(String(one)))].slice(0, mostRecipes)
      if (recipes.length === known.length) return
      releases.set(release, { stamp, recipes })
      yield* keep
    },
    (learning) => Effect.ignore(learning),
  )
  const made: KnownRecipes = { of, learn }
  return made
})
