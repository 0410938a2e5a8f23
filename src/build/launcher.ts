// Which words start a buildout script, and the small launcher that makes Debian 12's zc.buildout 2.13.2 start on its
// Python 3.11: that release imports names from `collections` that Python has moved to `collections.abc`.

/** Restores the names, then runs the script as the interpreter would have. No partition's directory enters sys.path. */
const launcher = `
import sys, collections, collections.abc, os.path, runpy
for name in collections.abc.__all__:
    if not hasattr(collections, name):
        setattr(collections, name, getattr(collections.abc, name))
del sys.argv[0]
sys.path[0] = os.path.dirname(os.path.abspath(sys.argv[0]))
runpy.run_path(sys.argv[0], run_name="__main__")
`.trim()

/** Only Debian's package needs the launcher: its modules lie in dist-packages, and its own script names the version. */
const needsLauncher = (script: string): boolean =>
  script.includes("'/usr/lib/python3/dist-packages'") || script.includes("zc.buildout==2.13.2")

/** Whether these words start a Python, by a path or through env(1): to nothing else the launcher means anything. */
const isPython = (words: ReadonlyArray<string>): boolean => words.some((word) => /(?:^|\/)python[\d.]*$/.test(word))

/**
 * The words that run `path`, whose text is `script`: those of its first line (which can be too long for the kernel)
 * and the path itself.
 */
export const invocation = (path: string, script: string): readonly [string, ...ReadonlyArray<string>] => {
  const line = script.slice(0, script.indexOf("\n") < 0 ? undefined : script.indexOf("\n"))
  const [interpreter, ...words] = line.startsWith("#!") ? line.slice(2).split(/\s+/).filter(Boolean) : []
  if (interpreter === undefined) return [path]
  return needsLauncher(script) && isPython([interpreter, ...words])
    ? [interpreter, ...words, "-c", launcher, path]
    : [interpreter, ...words, path]
}

/** The words of a shell's simple command, without their quotes. */
const shellWords = (line: string): ReadonlyArray<string> =>
  (line.match(/(?:[^\s"'\\]|\\.|"(?:[^"\\]|\\.)*"|'[^']*')+/g) ?? []).map((word) =>
    word.replaceAll(/\\(.)|"((?:[^"\\]|\\.)*)"|'([^']*)'/g, (_, escaped, double, single) =>
      String(escaped ?? double?.replaceAll(/\\(["\\$`])/g, "$1") ?? single),
    ),
  )

/** What starts the Python of a buildout script: words before the script, and whether moved names have to be restored. */
export interface PythonWords {
  readonly words: readonly [string, ...ReadonlyArray<string>]
  readonly restoresNames: boolean
}

/** Undefined for what no Python runs. A `/bin/sh` wrapper's second line is `exec` with the interpreter and its options. */
export const pythonOf = (script: string): PythonWords | undefined => {
  const [first = "", second = ""] = script.split("\n", 2)
  if (!first.startsWith("#!")) return undefined
  const own = first.slice(2).split(/\s+/).filter(Boolean)
  const [exec, ...wrapped] = own[0] === "/bin/sh" ? shellWords(second) : ["exec", ...own]
  const end = wrapped.findIndex((word) => word.startsWith("$"))
  const [program, ...options] = end < 0 ? wrapped : wrapped.slice(0, end)
  if (exec !== "exec" || program === undefined || !isPython([program, ...options])) return undefined
  return { words: [program, ...options], restoresNames: needsLauncher(script) }
}

/** The absolute paths that a script names in quotes: the eggs on its sys.path. */
export const pathsIn = (script: string): ReadonlyArray<string> => [
  ...new Set([...script.matchAll(/'(\/[^'\n]+)'|"(\/[^"\n]+)"/g)].map(([, single, double]) => single ?? double ?? "")),
]

/** The Python interpreter behind a release's `bin/buildout`; `/bin/sh` wrappers name it on their second line. */
export const interpreterOf = (script: string): string | undefined => {
  const [first = "", second = ""] = script.split("\n", 2)
  if (!first.startsWith("#!")) return undefined
  const interpreter = first.slice(2).split(/\s+/).find(Boolean)
  if (interpreter !== "/bin/sh") return interpreter
  const [exec, python] = shellWords(second)
  return exec === "exec" && python !== undefined ? python : interpreter
}
