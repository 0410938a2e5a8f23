// The corpus: profiles that buildout runs cold and warm, with the same result. A step is a `buildout.cfg` and what
// lies beside it; the steps of a profile follow each other in one directory.

export interface Step {
  readonly "buildout.cfg": string
  readonly [file: string]: string
}

export interface Profile {
  readonly name: string
  readonly steps: ReadonlyArray<Step>
  readonly arguments?: ReadonlyArray<string>
}

const buildout = (parts: string, more = ""): string => `[buildout]
parts = ${parts}
develop-eggs-directory = @develop-eggs@
eggs-directory = @eggs@
offline = true
bin-directory = \${buildout:directory}/sbin
${more}`

const one = (name: string, text: string, more?: string): Profile => ({
  name,
  steps: [{ "buildout.cfg": buildout(text === "" ? "" : "part", more) + text }],
})

const part = (recipe: string, ...lines: ReadonlyArray<string>): string =>
  ["[part]", `recipe = corpusrecipes:${recipe}`, ...lines, ""].join("\n")

const finds = (how: string): Profile =>
  one(
    `what a recipe finds in folders, before and after it changes a ${how}`,
    part("finds", `how = ${how}`, "folders = @develop-eggs@ @eggs@ /usr/lib/python3/dist-packages"),
  )

const ends = ["status", "text", "at once", "signal", "abort", "base", "closed"]

export const profiles: ReadonlyArray<Profile> = [
  one("nothing to do", ""),
  one("files with modes", part("file", "mode = 0604", "text =", "  several", "  lines")),
  {
    name: "a chain of extends that adds and removes",
    steps: [
      {
        "buildout.cfg": `[buildout]\nextends = second.cfg\nparts += third\n\n[third]\nrecipe = corpusrecipes:file\nvalue = 3\n\n[second]\nlist -= b\n`,
        "second.cfg": `[buildout]\nextends = first.cfg\nparts += second\n\n[second]\nrecipe = corpusrecipes:file\nlist =\n  a\n  b\n  c\n`,
        "first.cfg": `${buildout("first")}[first]\nrecipe = corpusrecipes:file\nvalue = 1\n`,
      },
    ],
  },
  one(
    "macros",
    `[base]\nrecipe = corpusrecipes:file\nvalue = base\nother = \${:value}!\n\n[part]\n<= base\nvalue = derived\n`,
  ),
  one(
    "substitution across sections",
    `[other]\nrecipe = corpusrecipes:file\nvalue = \${part:computed}\n\n${part("file", "value = ${plain:key} in ${buildout:directory}", "who = ${:_buildout_section_name_}")}\n[plain]\nkey = \${buildout:bin-directory}\n`,
  ),
  one(
    "sections for a platform",
    `${part("file", "value = all")}\n[part:linux]\nonly = linux\n\n[part:windows]\nonly = windows\n`,
  ),
  one("a recipe that fails", part("user-error")),
  one("a recipe that crashes", part("crash")),
  {
    name: "an update",
    steps: [
      { "buildout.cfg": buildout("part") + part("file", "value = 1") },
      { "buildout.cfg": buildout("part") + part("file", "value = 1") },
      { "buildout.cfg": buildout("part") + part("file", "value = 2") },
    ],
  },
  {
    name: "an uninstall",
    steps: [
      { "buildout.cfg": `${buildout("part other")}${part("file")}\n[other]\nrecipe = corpusrecipes:file\n` },
      { "buildout.cfg": `${buildout("other")}${part("file")}\n[other]\nrecipe = corpusrecipes:file\n` },
      { "buildout.cfg": buildout("") },
    ],
  },
  one("a recipe that changes the environment", part("environment")),
  one("a recipe that forks", part("forks")),
  one("a recipe that writes to stdout and stderr", part("output")),
  one("what a recipe sees of its process", part("process")),
  one("work at the interpreter's end", part("ends")),
  one("files and objects that are left to the interpreter's end", part("leaves")),
  ...ends.map((how) => one(`a recipe that ends with: ${how}`, part("exit", `how = ${how}`))),
  one("an extension", part("file", "value = ${buildout:extended}"), "extensions = corpusrecipes\n"),
  one("a missing option", part("file", "value = ${part:nothing}")),
  one("a missing section", part("file", "value = ${nothing:value}")),
  one("a recipe that does not exist", part("nothing")),
  one("an egg that does not exist", "[part]\nrecipe = nosuchegg\n"),
  one("a profile that is none", "this is no profile\n"),
  one("a profile that extends nothing", part("file"), "extends = missing.cfg\n"),
  { ...one("-D after a crash", part("crash")), arguments: ["-U", "-D"] },
  { ...one("verbose", part("file")), arguments: ["-U", "-vvv"] },
  {
    ...one("an option of the command line", part("file", "value = ${buildout:given}")),
    arguments: ["-U", "buildout:given=by hand"],
  },
  finds("finder"),
  finds("function"),
  // The last: nothing is kept for the folder any more.
  finds("link"),
]
