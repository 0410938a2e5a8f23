// What V8 has compiled of the program is kept for its next start: src/starter.ts.

/** The starter's, around the built program; the sources run without. */
declare const keepCompiled: (() => void) | undefined

/** Has to come before V8 gets other flags: it takes no code that was compiled under different ones. */
export const keepForNextStart = (): void => {
  if (typeof keepCompiled === "function") keepCompiled()
}
