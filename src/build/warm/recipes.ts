// Which recipes the instances of a release use: a helper that has them imported already saves each instance what they
// import. The names come from what buildout left in partitions, so they are anybody's: they are looked up among the
// entry points of the release's own eggs, and nothing else is ever imported for them.
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { writeDurably } from "../../files/durable.ts"
import { agentDirectory, pathExists } from "../../files/machine.ts"
import { OwnedDirectory } from "../../files/OwnedDirectory.ts"
import type { Recipes } from "../../process/warm/protocol.ts"

const recipePattern = /^recipe[ \t]*=[ \t]*([A-Za-z0-9][\w.-]{0,99})(?::([\w.-]{1,100}))?[ \t]*$/gm
/** More than the recipes of one release are; further ones are imported by each instance. */
const mostRecipes = 100

const eachOnce = (recipes: Recipes): Recipes => [...new Map(recipes.map((one) => [one.join(":"), one])).values()]

/** The recipes that an `.installed.cfg` names. Pure. */
export const recipesIn = (installed: string): Recipes =>
  eachOnce([...installed.matchAll(recipePattern)].map(([, egg = "", entry = "default"]) => [egg, entry] as const))

/** Where buildout puts the eggs of a release. */
export const eggFolders = (release: string): ReadonlyArray<string> => [`${release}/develop-eggs`, `${release}/eggs`]

/** What is kept: recipes that a helper has imported without trouble, or that none may. */
const Known = Schema.Struct({
  version: Schema.Literal(1),
  releases: Schema.Record(
    Schema.String,
    Schema.Struct({
      stamp: Schema.String,
      recipes: Schema.Array(Schema.Tuple([Schema.String, Schema.String])),
      isAvoided: Schema.Boolean,
    }),
  ),
})

const decode = Schema.decodeUnknownEffect(Schema.fromJsonString(Known))
const fileName = "recipes.json"
const maxSize = 4 * 1024 * 1024
const maxInstalled = 1024 * 1024

/** Of releases, by their directory, whose files have a stamp: with other files all begins anew. */
export interface KnownRecipes {
  /** Those that a helper has imported before. */
  readonly tried: (release: string, stamp: string) => Recipes
  /** Those and what an instance is made of; none when they are to be left to the instances. */
  readonly found: (release: string, stamp: string, instance: string) => Effect.Effect<Recipes>
  readonly keep: (release: string, stamp: string, recipes: Recipes) => Effect.Effect<void>
  /** Leaves them to the instances. */
  readonly avoid: (release: string, stamp: string) => Effect.Effect<void>
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

  const knownOf = (release: string, stamp: string) => {
    const known = releases.get(release)
    return known?.stamp === stamp ? known : undefined
  }
  const tried = (release: string, stamp: string): Recipes => knownOf(release, stamp)?.recipes ?? []

  const found = (release: string, stamp: string, instance: string) =>
    OwnedDirectory.open(instance).pipe(
      Effect.flatMap((directory) => directory.readIfPresent(".installed.cfg", maxInstalled)),
      Effect.map((installed) => recipesIn(installed ?? "")),
      Effect.orElseSucceed((): Recipes => []),
      Effect.map((recipes) =>
        knownOf(release, stamp)?.isAvoided === true
          ? []
          : eachOnce([...tried(release, stamp), ...recipes]).slice(0, mostRecipes),
      ),
    )

  const store = (release: string, known: (typeof Known.Type)["releases"][string]) =>
    Effect.suspend(() => {
      releases.set(release, known)
      for (const other of releases.keys()) if (!pathExists(other)) releases.delete(other)
      return Effect.ignore(writeDurably(path, JSON.stringify({ version: 1, releases: Object.fromEntries(releases) })))
    })
  const made: KnownRecipes = {
    tried,
    found,
    keep: (release, stamp, recipes) => store(release, { stamp, recipes, isAvoided: false }),
    avoid: (release, stamp) => store(release, { stamp, recipes: [], isAvoided: true }),
  }
  return made
})
